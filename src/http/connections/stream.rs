//! The bytes of a connection, on their way.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Connection, upgrade::ignore_offers};

/// A TCP stream that tells its connection of each read and write.
pub(super) struct Watched {
    stream: TcpStream,
    connection: Rc<Connection>,
}

impl Watched {
    /// Watches a stream for its connection.
    pub(super) fn new(stream: TcpStream, connection: Rc<Connection>) -> Self {
        Self { stream, connection }
    }

    /// Returns the record of the connection's phases.
    pub(super) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = bytes.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, bytes);
        if let Some(read) = bytes.filled_mut().get_mut(before..)
            && !read.is_empty()
        {
            if self.connection.expects_head() {
                ignore_offers(read);
            }
            self.connection.note_read();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        match polled {
            Poll::Pending => self.connection.note_blocked(),
            Poll::Ready(_) => self.connection.note_written(),
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The dispatcher flushes when it has handed over all that it had.
        self.connection.note_flushed();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
