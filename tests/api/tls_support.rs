//! Certificates for upstreams of the tests' own, and an upstream that speaks HTTP/2.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{
    files::Folder,
    raw_upstream::{right_answer, user_of},
};

/// A certificate authority, with its own certificate in a file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: Folder,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// The file that holds its certificate.
    pub fn file(&self) -> String {
        self.folder.path().join("ca.pem").to_str().unwrap().to_owned()
    }

    /// A certificate for this machine and its key, each in a file that is named.
    pub fn issue(&self, name: &str) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        // OpenSSL takes a certificate for one that signs itself whose subject is named as its authority.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        [("pem", certificate), ("key", key.serialize_pem())].map(|(kind, pem)| {
            let path = self.folder.path().join(format!("{name}.{kind}"));
            std::fs::write(&path, pem).unwrap();
            path.to_str().unwrap().to_owned()
        })
    }

    /// A server on this machine that the authority vouches for, and that speaks these protocols.
    pub fn server(&self, protocols: &[&[u8]]) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
        let mut config = config.unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }
}

/// An upstream over HTTP/2 that sends so many interim responses before each answer.
pub struct Http2Upstream {
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl Http2Upstream {
    pub fn start(authority: &Authority, interim: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server(&[b"h2"])));
        let requests = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&requests);
        // It ends with the runtime of the test.
        tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        count.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(answer(request, respond, interim));
                    }
                });
            }
        });
        Self { url, requests }
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn answer(request: hyper::Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>, interim: usize) {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(bytes)) = stream.data().await {
        body.extend_from_slice(&bytes);
        let _ = stream.flow_control().release_capacity(bytes.len());
    }
    let token = head.headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
    let (user, is_good) = user_of(&token);
    let (status, body) = right_answer(head.uri.path(), &user, is_good, &body);
    for _ in 0..interim {
        respond.send_informational(hyper::Response::builder().status(103).body(()).unwrap()).unwrap();
        tokio::task::yield_now().await;
    }
    let response = hyper::Response::builder().status(status).body(()).unwrap();
    let mut send = respond.send_response(response, false).unwrap();
    send.send_data(Bytes::from(body.to_string()), true).unwrap();
}
