//! One keep-alive connection that speaks just enough HTTP/1.1 to measure a server without costing much itself.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What is read at once at most; what lies beyond the head of a sized answer is counted and forgotten.
const READ_BYTES: usize = 256 * 1024;

/// A request, ready to be sent.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.extend(["\r\n", body]);
    request.into()
}

/// An answer, as far as it is kept.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The session that it names.
    pub session: Option<String>,
    /// Bytes of its body.
    pub bytes: usize,
}

/// A connection to a server.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The body of the last answer, where it is kept.
    pub body: Vec<u8>,
    pub keeps_body: bool,
}

/// How long the body is.
enum Framing {
    Sized(usize),
    Chunked,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_BYTES), body: Vec::new(), keeps_body: false })
    }

    /// Sends a request and reads the whole answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Reply> {
        self.stream.write_all(request).await?;
        let (mut reply, framing) = self.read_head().await?;
        self.body.clear();
        reply.bytes = match framing {
            Framing::Sized(length) => self.read_sized(length).await?,
            Framing::Chunked => self.read_chunked().await?,
        };
        Ok(reply)
    }

    /// Sends a request and reads the head of the answer and the first of its body: the rest is to come as events.
    pub async fn begin_stream(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        let (reply, _) = self.read_head().await?;
        // Read no more, so that it need not be kept.
        self.buffer = Vec::new();
        Ok(reply.status)
    }

    async fn read(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads the head; what came with it of the body is left in the buffer.
    async fn read_head(&mut self) -> Result<(Reply, Framing)> {
        self.buffer.clear();
        let end = loop {
            self.read().await?;
            if let Some(end) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break end;
            }
        };
        let head = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default()).to_ascii_lowercase();
        self.buffer.drain(..end + 4);
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let malformed = || Error::new(ErrorKind::InvalidData, head.clone());
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
        let framing = match (value("content-length"), value("transfer-encoding")) {
            (Some(length), _) => Framing::Sized(length.trim().parse().map_err(|_number| malformed())?),
            (None, Some("chunked")) => Framing::Chunked,
            _ => Framing::Sized(0),
        };
        Ok((Reply { status, session: value("mcp-session-id").map(str::to_owned), bytes: 0 }, framing))
    }

    async fn read_sized(&mut self, length: usize) -> Result<usize> {
        let mut left = length;
        loop {
            if self.keeps_body {
                self.body.extend_from_slice(&self.buffer);
            }
            left = left.saturating_sub(self.buffer.len());
            self.buffer.clear();
            if left == 0 {
                return Ok(length);
            }
            self.read().await?;
        }
    }

    /// Nothing is sent ahead, so that what ends with the last chunk is the whole body. JSON has no line breaks of this form.
    async fn read_chunked(&mut self) -> Result<usize> {
        let mut bytes = 0;
        let mut tail = Vec::new();
        loop {
            bytes += self.buffer.len();
            if self.keeps_body {
                self.body.extend_from_slice(&self.buffer);
            }
            tail.extend_from_slice(self.buffer.get(self.buffer.len().saturating_sub(5)..).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(5));
            self.buffer.clear();
            if tail == b"0\r\n\r\n" {
                return Ok(bytes);
            }
            self.read().await?;
        }
    }
}
