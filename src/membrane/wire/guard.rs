//! Guard between an HTTP/1.1 connection and `awc`: an answer reaches the request it belongs to, and nothing else.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Weak,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    idle::{Connection, IdleConnections},
    responses::Next,
    tls::Stream,
    violation::Violation,
};

/// Bytes read at once while a head is awaited.
const HEAD_READ_BYTES: usize = 4096;

/// HTTP/1.1 connection of which `awc` sees final responses only, each after its own request.
///
/// A connection on which anything else comes is closed: bytes while no request is unanswered, bytes behind the end of a
/// response, or a response that does not say where it ends. What `awc` reads and writes afterwards fails.
///
/// A connection serves one request. With the last byte of the response the connection goes back to the connector, which knows whose
/// next request it may carry; to `awc`, which would lend it to anybody, it looks closed from then on.
pub struct GuardedStream {
    /// Gone once the connection is closed.
    connection: Option<Connection>,
    /// Head of a response, and what came with it of its body, that `awc` has not read yet.
    ready: Vec<u8>,
    read: usize,
    idle: Weak<IdleConnections>,
}

impl GuardedStream {
    /// Guards a connection on which no request is unanswered, until it goes back to `idle`.
    pub(super) fn new(connection: Connection, idle: Weak<IdleConnections>) -> Self {
        Self { connection: Some(connection), ready: Vec::new(), read: 0, idle }
    }

    /// Parts with the connection if the response was read to its end.
    fn part_at_the_end(&mut self) {
        let Some(connection) = &self.connection else { return };
        // The next request may use the connection once it is given back, so awc must have read all of this response.
        if self.read < self.ready.len() {
            return;
        }
        match connection.responses.next() {
            Next::Nothing => self.give_back(),
            // The response itself is sound. What has come behind it is nobody's.
            Next::Broken => drop(self.close(Violation::Unasked)),
            Next::Head | Next::Body(_) => {}
        }
    }

    /// Gives the connection back for the next request.
    pub(super) fn give_back(&mut self) {
        // Closed instead where the upstream has said that it will close it.
        let connection = self.connection.take().filter(|connection| connection.responses.is_reusable());
        if let (Some(connection), Some(idle)) = (connection, self.idle.upgrade()) {
            idle.put(connection);
        }
    }

    /// Closes the connection and returns the error that tells why.
    fn close(&mut self, violation: Violation) -> io::Error {
        self.connection = None;
        metrics::counter!("mcp_upstream_connections_refused_total").increment(1);
        log::warn!("a connection to the upstream is closed: {violation}");
        io::Error::new(io::ErrorKind::InvalidData, violation)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(rest) = self.ready.get(self.read..).filter(|rest| !rest.is_empty()) {
                let (now, _) = rest.split_at(rest.len().min(out.remaining()));
                out.put_slice(now);
                self.read += now.len();
                self.part_at_the_end();
                return Poll::Ready(Ok(()));
            }
            // A read of no bytes is the end of the stream to awc, which then takes the connection out of its own pool.
            let Some(Connection { stream, responses, .. }) = &mut self.connection else { return Poll::Ready(Ok(())) };
            match responses.next() {
                // No request is on it, so that there is nothing to read.
                Next::Nothing | Next::Broken => return Poll::Ready(Ok(())),
                Next::Head => {
                    // Mostly nothing has come yet when this is first asked, so that filling it with zeros would cost the most.
                    let mut bytes = [MaybeUninit::uninit(); HEAD_READ_BYTES];
                    let mut head = ReadBuf::uninit(&mut bytes);
                    ready!(Pin::new(stream).poll_read(cx, &mut head))?;
                    if head.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    match responses.read_head(head.filled()) {
                        Ok(None) => {}
                        Ok(Some(response)) => (self.ready, self.read) = (response, 0),
                        Err(violation) => {
                            let error = self.close(violation);
                            return Poll::Ready(Err(error));
                        }
                    }
                }
                Next::Body(left) => {
                    let wanted = out.remaining().min(usize::try_from(left).unwrap_or(usize::MAX));
                    // No further than the body goes: what lies behind it is seen when the connection is to be used again.
                    let mut body = ReadBuf::new(out.initialize_unfilled_to(wanted));
                    ready!(Pin::new(stream).poll_read(cx, &mut body))?;
                    return match responses.read_body(body.filled()) {
                        Ok(taken) => {
                            out.advance(taken);
                            self.part_at_the_end();
                            Poll::Ready(Ok(()))
                        }
                        Err(violation) => Poll::Ready(Err(self.close(violation))),
                    };
                }
            }
        }
    }

    /// Passes bytes of the request on.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Some(Connection { stream, responses, .. }) = &mut self.connection else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        // awc begins a request where it saw the last response end. If the guard did not see that, one of them is wrong.
        match responses.begin_request() {
            Ok(()) => write(Pin::new(stream), cx),
            Err(violation) => Poll::Ready(Err(self.close(violation))),
        }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_next(cx, out)
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_request(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_request(cx, |stream, cx| stream.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.connection {
            Some(connection) => Pin::new(&mut connection.stream).poll_flush(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.connection {
            Some(connection) => Pin::new(&mut connection.stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
