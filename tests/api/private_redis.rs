//! A Redis that is reached by TLS and shows a certificate of a private authority.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use crate::{
    files::Folder,
    support::{Server, ServerBuilder, binary, eventually, finish},
    tls_support::Authority,
};

/// A Redis with TLS and nothing else. Dropped, it is killed.
struct PrivateRedis {
    process: Child,
    url: String,
    authority: Authority,
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl PrivateRedis {
    /// One that asks its clients for certificates, or does not.
    fn start(asks: bool) -> Self {
        let authority = Authority::new();
        let [certificate, key] = authority.issue("redis");
        // Another process may be given the port before Redis has it; then the test says so.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--bind", "127.0.0.1", "--save", "", "--tls-port", &port.to_string()]);
        command.args(["--tls-auth-clients", if asks { "yes" } else { "no" }, "--tls-ca-cert-file", &authority.file()]);
        command.args(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
        let process = command.stdout(Stdio::null()).spawn().unwrap();
        Self { process, url: format!("rediss://127.0.0.1:{port}"), authority }
    }

    /// A server that knows its authority.
    fn server(&self) -> ServerBuilder {
        let server = Server::builder().env("MCP__STORE__URL", &self.url);
        server.env("MCP__STORE__CA_FILE", &self.authority.file())
    }
}

async fn is_ready(server: &Server) -> bool {
    server.http.get(format!("{}/readyz", server.url)).send().await.unwrap().status() == 200
}

#[tokio::test]
async fn a_redis_with_a_private_authority_is_used_where_that_is_named() {
    let redis = PrivateRedis::start(false);
    let server = redis.server().start();
    eventually("it is ready", async || is_ready(&server).await).await;
    let ann = server.client("ann").header("x-chat-id", "monday").open().await;
    assert_eq!(ann.chats().await.json()["monday"], ann.session.clone().unwrap());

    let stranger = Server::builder().env("MCP__STORE__URL", &redis.url).start();
    stranger.wait_for_log("can't be used, which is tried again");
    assert!(stranger.log().contains("certificate"), "{}", stranger.log());
    assert!(!is_ready(&stranger).await, "public authorities know nothing of it");

    let other = Authority::new();
    let wrong = redis.server().env("MCP__STORE__CA_FILE", &other.file());
    assert!(!is_ready(&wrong.start()).await, "another authority");
}

#[tokio::test]
async fn a_redis_that_asks_for_a_certificate_is_shown_one() {
    let redis = PrivateRedis::start(true);
    let with = |[certificate, key]: [String; 2]| {
        redis.server().env("MCP__STORE__CERT_FILE", &certificate).env("MCP__STORE__KEY_FILE", &key).start()
    };
    let server = with(redis.authority.issue("server"));
    eventually("it is ready", async || is_ready(&server).await).await;
    assert!(!server.client("ann").open().await.tools().await.is_empty());
    assert!(!is_ready(&redis.server().start()).await, "without a certificate");
    assert!(!is_ready(&with(Authority::new().issue("server"))).await, "by another authority");
}

#[test]
fn a_file_of_tls_that_cannot_be_used_is_named() {
    let folder = Folder::new().with("empty.pem", "").with("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let authority = Authority::new();
    let [certificate, key] = authority.issue("server").map(|file| std::fs::read_to_string(file).unwrap());
    let folder = folder.with("good.pem", &certificate).with("good.key", &key);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let tls = "rediss://127.0.0.1:1";
    let cases = [
        (tls, path("missing.pem"), String::new(), String::new(), "store.ca_file", "No such file"),
        (tls, path("empty.pem"), String::new(), String::new(), "store.ca_file", "no certificate"),
        (tls, path("broken.pem"), String::new(), String::new(), "store.ca_file", "broken.pem"),
        (tls, String::new(), path("empty.pem"), path("good.key"), "store.cert_file", "no certificate"),
        (tls, String::new(), path("good.pem"), path("good.pem"), "store.key_file", "no private key"),
        (tls, String::new(), path("good.pem"), String::new(), "store.key_file", "must be the private key"),
        (tls, String::new(), String::new(), path("good.key"), "store.cert_file", "must be the certificate"),
        (
            "redis-cluster://127.0.0.1:1",
            path("good.pem"),
            String::new(),
            String::new(),
            "store.ca_file",
            "must be empty",
        ),
        ("redis://127.0.0.1:1", String::new(), path("good.pem"), path("good.key"), "store.cert_file", "must be empty"),
        ("", path("empty.pem"), String::new(), String::new(), "store.ca_file", "must be empty, unless store.url is"),
        ("redis+cluster://127.0.0.1", String::new(), String::new(), String::new(), "store.url", "redis-cluster://"),
        (
            "redis-sentinel://127.0.0.1",
            String::new(),
            String::new(),
            String::new(),
            "store.url",
            "the name of the master",
        ),
    ];
    for (url, authorities, certificate, key, setting, expected) in cases {
        let mut command = binary();
        command.args(["--sandbox"]).env("PORT", "0").env("MCP__ADMIN__PORT", "0").env("MCP__STORE__PATH", "");
        command.env("MCP__STORE__CA_FILE", authorities).env("MCP__STORE__CERT_FILE", certificate);
        let output = finish(command.env("MCP__STORE__URL", url).env("MCP__STORE__KEY_FILE", key));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(setting) && said.contains(expected), "{url}: {said}");
    }
}
