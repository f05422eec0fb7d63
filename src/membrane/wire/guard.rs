//! Guard between an HTTP/1.1 connection and `awc`: an answer reaches the request it belongs to, and nothing else.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    responses::{Next, Responses},
    tls::Stream,
    violation::Violation,
};

/// Bytes read at once while a head is awaited.
const HEAD_READ_BYTES: usize = 4096;

/// HTTP/1.1 connection of which `awc` sees final responses only, each after its own request.
///
/// A connection on which anything else comes is closed: bytes while no request is unanswered, bytes behind the end of a
/// response, or a response that does not say where it ends. What `awc` reads and writes afterwards fails, so that it drops the
/// connection rather than use it again.
pub struct GuardedStream(Rc<RefCell<Guarded>>);

pub(super) struct Guarded {
    /// Gone once the connection is closed.
    stream: Option<Stream>,
    responses: Responses,
    /// Head of a response, and what came with it of its body, that `awc` has not read yet.
    ready: Vec<u8>,
    read: usize,
    /// Set by a sweep and cleared by use: two sweeps that find it idle close it.
    was_idle: bool,
}

impl GuardedStream {
    /// Guards a connection on which nothing was sent yet.
    pub(super) fn new(stream: Stream) -> Self {
        let guarded =
            Guarded { stream: Some(stream), responses: Responses::new(), ready: Vec::new(), read: 0, was_idle: false };
        Self(Rc::new(RefCell::new(guarded)))
    }

    /// Returns the connection for [`close_idle`], which does not keep it.
    pub(super) fn downgrade(&self) -> Weak<RefCell<Guarded>> {
        Rc::downgrade(&self.0)
    }
}

/// Closes the connections that are idle now and were so at the last sweep, and forgets those that are gone. `awc` looks at the
/// age of a connection only when it wants one, so that without this the last ones would stay open for ever.
pub(super) fn close_idle(connections: &mut Vec<Weak<RefCell<Guarded>>>) {
    connections.retain(|connection| {
        let Some(connection) = connection.upgrade() else { return false };
        let mut guarded = connection.borrow_mut();
        if !guarded.responses.is_idle() {
            guarded.was_idle = false;
        } else if std::mem::replace(&mut guarded.was_idle, true) {
            guarded.stream = None;
        }
        guarded.stream.is_some()
    });
}

impl Guarded {
    /// Closes the connection and returns the error that tells why.
    fn close(&mut self, violation: Violation) -> io::Error {
        self.stream = None;
        let violation = self.responses.fail(violation);
        metrics::counter!("mcp_upstream_connections_refused_total").increment(1);
        log::warn!("a connection to the upstream is closed: {violation}");
        io::Error::new(io::ErrorKind::InvalidData, violation)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(rest) = self.ready.get(self.read..).filter(|rest| !rest.is_empty()) {
                let (now, _) = rest.split_at(rest.len().min(out.remaining()));
                out.put_slice(now);
                self.read += now.len();
                return Poll::Ready(Ok(()));
            }
            // A closed connection reads as one that the other side has closed.
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
            match self.responses.next() {
                Next::Broken => {
                    // Its last response was read in full; what came behind it is nobody's.
                    let error = self.close(Violation::Unasked);
                    return Poll::Ready(Err(error));
                }
                Next::Nothing => {
                    let mut byte = [0; 1];
                    let mut unasked = ReadBuf::new(&mut byte);
                    ready!(Pin::new(stream).poll_read(cx, &mut unasked))?;
                    if unasked.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    let error = self.close(Violation::Unasked);
                    return Poll::Ready(Err(error));
                }
                Next::Head => {
                    let mut bytes = [0; HEAD_READ_BYTES];
                    let mut head = ReadBuf::new(&mut bytes);
                    ready!(Pin::new(stream).poll_read(cx, &mut head))?;
                    if head.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    match self.responses.read_head(head.filled()) {
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
                    // No further than the body goes: what lies behind it is seen as unasked when the connection is used next.
                    let mut body = ReadBuf::new(out.initialize_unfilled_to(wanted));
                    ready!(Pin::new(stream).poll_read(cx, &mut body))?;
                    return match self.responses.read_body(body.filled()) {
                        Ok(taken) => {
                            out.advance(taken);
                            Poll::Ready(Ok(()))
                        }
                        Err(violation) => Poll::Ready(Err(self.close(violation))),
                    };
                }
            }
        }
    }

    /// Prepares for bytes of a request. The first ones wait for nothing, but see whether something has come unasked: `awc`
    /// looks when it takes the connection, and may write later.
    fn begin_request(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        if self.responses.is_idle() {
            let mut byte = [0; 1];
            let mut unasked = ReadBuf::new(&mut byte);
            match Pin::new(stream).poll_read(cx, &mut unasked) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) if unasked.filled().is_empty() => return Err(io::ErrorKind::NotConnected.into()),
                Poll::Ready(Ok(())) => return Err(self.close(Violation::Unasked)),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        self.responses.begin_request().map_err(|violation| self.close(violation))
    }

    /// Passes a write on, where the connection is open and a request may be written.
    fn poll_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.begin_request(cx)?;
        self.poll_open(cx, write)
    }

    fn poll_open<T>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.stream {
            Some(stream) => act(Pin::new(stream), cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(cx, out)
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, |stream, cx| stream.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_open(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0.borrow_mut().stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
