//! A Redis that is reached by TLS and shows a certificate of a private authority.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::{
    files::Folder,
    support::{Server, binary, eventually, finish},
};

/// A Redis with TLS and nothing else. Dropped, it is killed.
struct PrivateRedis {
    process: Child,
    url: String,
    folder: Folder,
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl PrivateRedis {
    fn start() -> Self {
        let folder = Folder::new();
        let (authority, authority_key) = (authority(), KeyPair::generate().unwrap());
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let issuer = Issuer::from_params(&authority, &authority_key);
        let certificate = certificate.signed_by(&key, &issuer).unwrap();
        let ca = authority.self_signed(&authority_key).unwrap();
        let write = |name: &str, pem: String| {
            let path = folder.path().join(name);
            fs::write(&path, pem).unwrap();
            path
        };
        let files =
            [write("ca.pem", ca.pem()), write("cert.pem", certificate.pem()), write("key.pem", key.serialize_pem())];
        // Another process may be given the port before Redis has it; then the test says so.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--bind", "127.0.0.1", "--save", "", "--tls-auth-clients", "no"]);
        command.args(["--dir", folder.as_str(), "--tls-port", &port.to_string()]);
        for (option, file) in ["--tls-ca-cert-file", "--tls-cert-file", "--tls-key-file"].iter().zip(&files) {
            command.arg(option).arg(file);
        }
        let process = command.stdout(Stdio::null()).spawn().unwrap();
        Self { process, url: format!("rediss://127.0.0.1:{port}"), folder }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

fn authority() -> CertificateParams {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
}

async fn is_ready(server: &Server) -> bool {
    server.http.get(format!("{}/readyz", server.url)).send().await.unwrap().status() == 200
}

#[tokio::test]
async fn a_redis_with_a_private_authority_is_used_where_that_is_named() {
    let redis = PrivateRedis::start();
    let server = Server::builder()
        .env("MCP__STORE__URL", &redis.url)
        .env("MCP__STORE__CA_FILE", redis.authority().to_str().unwrap())
        .start();
    eventually("it is ready", async || is_ready(&server).await).await;
    let ann = server.client("ann").header("x-chat-id", "monday").open().await;
    assert_eq!(ann.chats().await.json()["monday"], ann.session.clone().unwrap());

    let stranger = Server::builder().env("MCP__STORE__URL", &redis.url).start();
    stranger.wait_for_log("can't be used, which is tried again");
    assert!(stranger.log().contains("certificate"), "{}", stranger.log());
    assert!(!is_ready(&stranger).await, "public authorities know nothing of it");

    let other = redis.folder.path().join("other.pem");
    fs::write(&other, authority().self_signed(&KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
    let wrong =
        Server::builder().env("MCP__STORE__URL", &redis.url).env("MCP__STORE__CA_FILE", other.to_str().unwrap());
    assert!(!is_ready(&wrong.start()).await, "another authority");
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_named() {
    let folder = Folder::new().with("empty.pem", "").with("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let cases = [
        ("rediss://127.0.0.1:1", path("missing.pem"), "No such file"),
        ("rediss://127.0.0.1:1", path("empty.pem"), "no certificate"),
        ("rediss://127.0.0.1:1", path("broken.pem"), "broken.pem"),
        ("redis://127.0.0.1:1", path("empty.pem"), "must be empty, unless store.url is a rediss:// URL"),
        ("", path("empty.pem"), "must be empty, unless store.url is a rediss:// URL"),
    ];
    for (url, file, expected) in cases {
        let mut command = binary();
        command.args(["--sandbox"]).env("PORT", "0").env("MCP__ADMIN__PORT", "0").env("MCP__STORE__PATH", "");
        let output = finish(command.env("MCP__STORE__URL", url).env("MCP__STORE__CA_FILE", &file));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("ca_file") && said.contains(expected), "{file}: {said}");
    }
}
