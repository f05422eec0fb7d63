//! Servers that share a Redis, behind a proxy that sends each request to the next of them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{
    leaks,
    redis::Redis,
    support::{Client, Server, ServerBuilder},
};

/// See the [module](self).
pub struct Fleet {
    pub servers: Vec<Server>,
    /// Leads to the proxy, and to the sandbox that all servers share. It is none of them.
    pub front: Server,
    pub redis: Redis,
}

impl Fleet {
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, |server| server).await
    }

    /// With settings that all have.
    pub async fn start_with(count: usize, set: impl Fn(ServerBuilder) -> ServerBuilder) -> Self {
        let (redis, mut front) = (Redis::start(), Server::start());
        // A busy machine may keep Redis from answering in the time that it has by default.
        let shared = |_| {
            let server = Server::before(&front.sandbox).env("MCP__STORE__URL", &redis.url());
            set(server.env("MCP__STORE__TIMEOUT_MS", "10000")).start()
        };
        let servers: Vec<_> = (0..count).map(shared).collect();
        front.url = round_robin(servers.iter().map(|server| server.url.clone()).collect()).await;
        Self { servers, front, redis }
    }

    /// A client of the first server.
    pub fn client(&self, user: &str) -> Client<'_> {
        self.servers[0].client(user)
    }

    /// The same client, of another server.
    pub fn at<'a>(&'a self, number: usize, client: &Client<'_>) -> Client<'a> {
        Client { server: &self.servers[number], ..client.clone() }
    }

    /// The same client, behind the proxy.
    pub fn behind<'a>(&'a self, client: &Client<'_>) -> Client<'a> {
        Client { server: &self.front, ..client.clone() }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        leaks::assert_none(&self.redis.seen(), "what Redis was given");
        assert!(std::thread::panicking() || !self.redis.seen().is_empty(), "Redis was given something");
    }
}

/// A proxy that sends each request to the next server that takes connections, and gives its URL.
pub async fn round_robin(servers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let servers: Arc<[String]> = servers.iter().map(|url| url.replace("http://", "")).collect();
    let next = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (servers, next) = (Arc::clone(&servers), Arc::clone(&next));
            tokio::spawn(async move { pass_on(client, &servers, &next).await });
        }
    });
    url
}

/// Passes one request on, and closes the connection after its answer, so that the next one comes on another.
async fn pass_on(mut client: TcpStream, servers: &[String], next: &AtomicUsize) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let (first, headers) = head.split_once("\r\n").unwrap_or_default();
    let kept = headers.lines().filter(|line| !line.to_lowercase().starts_with("connection:") && !line.is_empty());
    let head = format!("{first}\r\n{}\r\nconnection: close\r\n\r\n", kept.collect::<Vec<_>>().join("\r\n"));
    let begin = next.fetch_add(1, Ordering::Relaxed);
    for address in servers.iter().cycle().skip(begin % servers.len()).take(servers.len()) {
        if let Ok(mut server) = TcpStream::connect(address).await {
            server.write_all(head.as_bytes()).await?;
            copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
    }
    Err(io::ErrorKind::ConnectionRefused.into())
}
