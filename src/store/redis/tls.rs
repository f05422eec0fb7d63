//! Files by which this server and Redis prove to each other who they are.

use std::{fs, path::Path};

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{pem::certificates, store::StoreError};

/// Files in PEM form for a connection by TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsFiles<'a> {
    /// Authorities that may sign the certificate of Redis. Without the file the public ones may.
    pub authorities: Option<&'a Path>,
    /// Certificate that this server shows, and its private key.
    pub client: Option<[&'a Path; 2]>,
}

impl TlsFiles<'_> {
    /// Reads the files, if there are some.
    ///
    /// # Errors
    /// [`StoreError::TlsFile`].
    pub(super) fn read(self) -> Result<Option<TlsCertificates>, StoreError> {
        let Self { authorities, client } = self;
        if authorities.is_none() && client.is_none() {
            return Ok(None);
        }
        let root_cert = authorities.map(|path| {
            read("store.ca_file", path, |pem| {
                let mut store = RootCertStore::empty();
                certificates(CertificateDer::pem_slice_iter(pem))?
                    .into_iter()
                    .try_for_each(|certificate| store.add(certificate))
                    .map_err(|error| error.to_string())
            })
        });
        let client_tls = client.map(|[certificate, key]| {
            let client_cert = read("store.cert_file", certificate, |pem| {
                certificates(CertificateDer::pem_slice_iter(pem)).map(|_| ())
            })?;
            let client_key = read("store.key_file", key, |pem| {
                PrivateKeyDer::from_pem_slice(pem)
                    .map_err(|error| format!("it holds no private key in PEM form: {error}"))
                    .map(|_| ())
            })?;
            Ok::<_, StoreError>(ClientTlsConfig { client_cert, client_key })
        });
        Ok(Some(TlsCertificates { client_tls: client_tls.transpose()?, root_cert: root_cert.transpose()? }))
    }
}

/// Reads the file of a setting, whose content must pass a check: the connection would fail by it later, and name no file.
fn read(
    setting: &'static str,
    path: &Path,
    check: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Result<Vec<u8>, StoreError> {
    let pem = fs::read(path).map_err(|error| error.to_string());
    let checked = pem.and_then(|pem| check(&pem).map(|()| pem));
    checked.map_err(|reason| StoreError::TlsFile { setting, path: path.display().to_string(), reason })
}
