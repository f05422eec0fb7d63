//! HTTP by hand, over connections that a test can kill, stall, or send through a proxy that cuts them.

use std::{collections::BTreeSet, io, net::SocketAddr, time::Duration};

use reqwest::{
    Method, RequestBuilder,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::support::{Client, PATIENCE};

/// The answer to one request on a connection of its own. Dropped, the connection is lost.
pub struct Wire {
    stream: TcpStream,
    raw: Vec<u8>,
    text: Vec<u8>,
    is_chunked: bool,
    pub status: u16,
    /// Milliseconds that the server wants to be left alone before the client comes back.
    pub retry: Option<u64>,
    /// Whether the answer has come to its end; a connection that was lost has not.
    pub is_complete: bool,
}

/// An event that has data, or at least an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub data: String,
}

impl Event {
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_else(|| panic!("no id: {self:?}"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Wire {
    /// Sends a request and reads the head of the answer.
    pub async fn send(request: RequestBuilder) -> Self {
        Self::try_send(request, None).await.unwrap()
    }

    /// The same, which may fail, and by a proxy where there is one.
    pub async fn try_send(request: RequestBuilder, proxy: Option<SocketAddr>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        Self::send_on(socket, request, proxy).await
    }

    /// Sends a request for a client that takes in next to nothing until it reads.
    pub async fn send_stalling(request: RequestBuilder) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::send_on(socket, request, None).await.unwrap()
    }

    async fn send_on(socket: TcpSocket, request: RequestBuilder, proxy: Option<SocketAddr>) -> io::Result<Self> {
        let request = request.build().unwrap();
        let url = request.url();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let path = url.as_str().split_once(&server).unwrap().1;
        let header = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}\r\n", value.to_str().unwrap());
        let headers: String = request.headers().iter().map(header).collect();
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
        let (method, length) = (request.method(), body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {server}\r\n{headers}content-length: {length}\r\n\r\n");

        let stream = socket.connect(proxy.unwrap_or_else(|| server.parse().unwrap())).await?;
        let (raw, text) = (Vec::new(), Vec::new());
        let mut wire = Self { stream, raw, text, is_chunked: false, status: 0, retry: None, is_complete: false };
        wire.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        let head = wire.text_up_to(b"\r\n\r\n").await?.to_lowercase();
        wire.status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        wire.is_chunked = head.contains("transfer-encoding: chunked");
        Ok(wire)
    }

    async fn fill(&mut self) -> io::Result<()> {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.raw)).await.expect("the server says something");
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn text_up_to(&mut self, end: &[u8]) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.raw, end) {
                let line = String::from_utf8(self.raw.drain(..at + end.len()).collect()).unwrap();
                return Ok(line[..at].to_owned());
            }
            self.fill().await?;
        }
    }

    /// Reads one more chunk.
    async fn chunk(&mut self) -> io::Result<()> {
        assert!(self.is_chunked, "a stream is sent in chunks");
        let size = usize::from_str_radix(&self.text_up_to(b"\r\n").await?, 16).unwrap();
        while self.raw.len() < size + 2 {
            self.fill().await?;
        }
        self.text.extend(self.raw.drain(..size));
        self.raw.drain(..2);
        self.is_complete = size == 0;
        Ok(())
    }

    /// The next event; nothing where the stream has ended, or the connection was lost.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = find(&self.text, b"\n\n") {
                let block = String::from_utf8(self.text.drain(..end + 2).collect()).unwrap();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(retry) = field("retry: ") {
                    self.retry = retry.parse().ok();
                }
                if let Some(data) = field("data: ") {
                    return Some(Event { id: field("id: "), data });
                }
            }
            if self.is_complete || self.chunk().await.is_err() {
                return None;
            }
        }
    }

    /// All events up to the end of the stream, which must come.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        assert!(self.is_complete, "the connection was lost after {events:?}");
        events
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// A POST that takes any answer.
pub fn post(client: &Client<'_>, body: Value) -> RequestBuilder {
    let accept = "application/json, text/event-stream";
    client.request(Method::POST).header("accept", accept).json(&body)
}

/// A POST that takes events alone, so that its answer is a stream from the start.
pub fn post_for_events(client: &Client<'_>, body: Value) -> RequestBuilder {
    client.request(Method::POST).header("accept", "text/event-stream").json(&body)
}

/// A call.
pub fn call(id: Value, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

/// A call that takes so many milliseconds.
pub fn sleep(id: Value, ms: u64) -> Value {
    call(id, "sandbox-faults_sleep", json!({"ms": ms}))
}

/// A call that wants to be told of its progress under this token.
pub fn with_progress(mut call: Value, token: &str) -> Value {
    call["params"]["_meta"] = json!({"progressToken": token});
    call
}

/// A GET of the session's own stream, or of the stream of the event that came last.
pub fn get(client: &Client<'_>, last: Option<&str>) -> RequestBuilder {
    let request = client.request(Method::GET).header("accept", "text/event-stream");
    last.into_iter().fold(request, |request, last| request.header("last-event-id", last))
}

/// Goes on after an event, up to the end of its stream.
pub async fn resume(client: &Client<'_>, last: &str) -> Vec<Event> {
    let wire = Wire::send(get(client, Some(last))).await;
    assert_eq!(wire.status, 200, "after {last}");
    wire.rest().await
}

/// Asserts that no two events have one id.
pub fn assert_unique<'a>(events: impl IntoIterator<Item = &'a Event>) {
    let mut seen = BTreeSet::new();
    for event in events {
        assert!(seen.insert(event.id()), "twice: {event:?}");
    }
}

/// A proxy that cuts every connection so long after the server's first word on it, and gives its address.
pub async fn cutting_proxy(server: &str, life: Duration) -> SocketAddr {
    let server = server.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = TcpStream::connect(server.clone()).await;
            tokio::spawn(async move {
                let mut server = server?;
                {
                    let (mut from_client, _) = client.split();
                    let (from_server, mut to_server) = server.split();
                    tokio::select! {
                        _ = copy(&mut from_client, &mut to_server) => return Ok(()),
                        answered = from_server.readable() => answered?,
                    }
                }
                // What is cut off is what the tests are about.
                let _cut = timeout(life, copy_bidirectional(&mut client, &mut server)).await;
                Ok::<(), io::Error>(())
            });
        }
    });
    address
}
