//! TLS to the upstream: which certificates count, and what is spoken within.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::pem::certificates;

/// TCP connection, with or without TLS on it.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Why the authorities of `membrane.ca_file` can't be used.
#[derive(Debug, thiserror::Error)]
#[error("membrane.ca_file: {}: {why}", .path.display())]
pub struct CaFileError {
    path: PathBuf,
    why: String,
}

/// How TLS is spoken with the upstream. Cheap to clone, and the same on every thread.
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    /// Offers HTTP/2 and HTTP/1.1 to the upstream.
    pub(super) either: Arc<ClientConfig>,
    /// Offers HTTP/1.1 alone, once the upstream is known to speak no other.
    pub(super) http_1: Arc<ClientConfig>,
}

impl UpstreamTls {
    /// Trusts Mozilla's authorities, and those of the PEM file `own`, where one is given.
    ///
    /// # Errors
    /// [`CaFileError`], where the file can't be read or holds no certificate.
    pub fn new(own: Option<&Path>) -> Result<Self, CaFileError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = own {
            add(&mut roots, path).map_err(|why| CaFileError { path: path.to_owned(), why })?;
        }
        let http_1 = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        // Two configurations, as the protocols that are offered are part of one.
        let (mut http_1, mut either) = (http_1.clone(), http_1);
        http_1.alpn_protocols = vec![b"http/1.1".to_vec()];
        either.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { either: Arc::new(either), http_1: Arc::new(http_1) })
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let mut certificates = certificates(found)?.into_iter();
    certificates.try_for_each(|certificate| roots.add(certificate)).map_err(|error| error.to_string())
}

/// Returns whether an error of a connection is one of TLS.
pub fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}
