//! Opening connections, and finding out which HTTP the upstream speaks.
//!
//! `awc` chooses between HTTP/1.1 and HTTP/2 by the scheme of the URL that it is given: built without TLS of its own, it
//! speaks HTTP/1.1 for `http` and HTTP/2 for `https`, on whatever the connector returns. So TLS is done here, with the
//! [guard](super::guard) on top of it, and [`Connector::protocol`] tells which scheme to write.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, ConnectorService};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use rustls::pki_types::ServerName;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use super::{
    guard::GuardedStream,
    idle::{Connection as Idle, IdleConnections},
    responses::Responses,
    stream::UpstreamStream,
    tls::UpstreamTls,
};
use crate::secret::Fingerprint;

tokio::task_local! {
    /// Token of the request for which a connection is wanted, which `awc` has no way to pass on.
    static TOKEN: Fingerprint;
}

/// Time between two looks for connections that have been idle for too long.
const SWEEP: Duration = Duration::from_secs(5);

/// Version of HTTP that is spoken with the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Each connection carries one request at a time.
    Http1,
    /// Each response names its request, so that many share a connection.
    Http2,
}

/// Opens the connections of one client to one upstream. Cheap to clone; it lives on one thread.
#[derive(Clone)]
pub struct Connector(Rc<Inner>);

struct Inner {
    tcp: ConnectorService,
    tls: Option<UpstreamTls>,
    /// Learnt from the first connection over TLS.
    protocol: OnceCell<Cell<Protocol>>,
    /// HTTP/2 connection by which the protocol was learnt, for the first request.
    spare: RefCell<Option<UpstreamStream>>,
    idle: Rc<IdleConnections>,
}

impl Connector {
    /// Returns a connector that speaks TLS, where it is given how. It must be made within an actix system.
    #[must_use]
    pub fn new(tls: Option<UpstreamTls>) -> Self {
        let inner = Rc::new(Inner {
            tcp: ConnectorService::default(),
            tls,
            protocol: OnceCell::new(),
            spare: RefCell::default(),
            idle: Rc::default(),
        });
        // Weak, or the task would keep the connector and its connections for good.
        let swept = Rc::downgrade(&inner);
        actix::spawn(async move {
            let mut sweep = tokio::time::interval(SWEEP);
            loop {
                sweep.tick().await;
                let Some(inner) = swept.upgrade() else { break };
                inner.idle.close_old();
            }
        });
        Self(inner)
    }

    /// Runs an exchange on connections that carry requests with this token alone.
    pub fn with_token<F: Future>(token: Fingerprint, exchange: F) -> impl Future<Output = F::Output> {
        TOKEN.scope(token, exchange)
    }

    /// Returns the version of HTTP to speak with the upstream, where that need not be found out.
    pub fn known_protocol(&self) -> Option<Protocol> {
        match self.0.tls {
            None => Some(Protocol::Http1),
            Some(_) => self.0.protocol.get().map(Cell::get),
        }
    }

    /// Finds out which version of HTTP to speak with the upstream at `url`. The first caller connects to find out, and leaves the
    /// connection for the next request; others wait for it.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn protocol(&self, url: &Uri) -> Result<Protocol, ConnectError> {
        if let Some(known) = self.known_protocol() {
            return Ok(known);
        }
        let learn = async || {
            let info = ConnectInfo::new(url.clone());
            let (stream, protocol) = self.0.connect(info, Protocol::Http2, token()?).await?;
            match stream.0 {
                Either::Left(mut guarded) => guarded.give_back(),
                http_2 @ Either::Right(_) => *self.0.spare.borrow_mut() = Some(UpstreamStream(http_2)),
            }
            Ok(Cell::new(protocol))
        };
        // A failure leaves the cell empty, so that the next request tries again.
        Ok(self.0.protocol.get_or_try_init(learn).await?.get())
    }
}

impl Inner {
    /// Opens a connection on which at best `wanted` is spoken.
    async fn connect(
        &self,
        info: ConnectInfo<Uri>,
        wanted: Protocol,
        token: Fingerprint,
    ) -> Result<(UpstreamStream, Protocol), ConnectError> {
        let (tcp, url) = self.tcp.call(info).await?.into_parts();
        let guarded = |stream| self.guard(Idle { stream, responses: Responses::new(), token, opened: Instant::now() });
        let Some(tls) = &self.tls else {
            return Ok((guarded(Either::Left(tcp)), Protocol::Http1));
        };
        // For a request that awc writes as HTTP/1.1, HTTP/2 must not be offered.
        let config = match wanted {
            Protocol::Http1 => &tls.http_1,
            Protocol::Http2 => &tls.either,
        };
        // URLs have IPv6 addresses in brackets, and names of certificates have not.
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| ConnectError::Io(io::Error::other(error)))?;
        let stream = TlsConnector::from(config.clone()).connect(name, tcp).await.map_err(ConnectError::Io)?;
        let speaks_http_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Either::Right(Box::new(stream));
        Ok(match speaks_http_2 {
            true => (UpstreamStream(Either::Right(stream)), Protocol::Http2),
            false => (guarded(stream), Protocol::Http1),
        })
    }

    fn guard(&self, connection: Idle) -> UpstreamStream {
        UpstreamStream(Either::Left(GuardedStream::new(connection, Rc::downgrade(&self.idle))))
    }

    /// Returns a connection that a request with `token` may use: an idle one of its own, or a new one.
    async fn open(
        &self,
        info: ConnectInfo<Uri>,
        wanted: Protocol,
        token: Fingerprint,
    ) -> Result<(UpstreamStream, Protocol), ConnectError> {
        // awc keeps and shares connections of HTTP/2 itself. Ready is at most the one by which the protocol was learnt.
        let ready = match wanted {
            Protocol::Http1 => self.idle.take(token).map(|idle| self.guard(idle)),
            Protocol::Http2 => self.spare.borrow_mut().take(),
        };
        match ready {
            Some(stream) => Ok((stream, wanted)),
            None => self.connect(info, wanted, token).await,
        }
    }
}

/// Returns the token of the request at hand.
fn token() -> Result<Fingerprint, ConnectError> {
    TOKEN.try_with(|token| *token).map_err(|error| ConnectError::Io(io::Error::other(error)))
}

impl Service<ConnectInfo<Uri>> for Connector {
    type Response = Connection<Uri, UpstreamStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let inner = Rc::clone(&self.0);
        Box::pin(async move {
            let url = info.request().clone();
            // The scheme says what awc is going to speak: see the module.
            let wanted = if url.scheme_str() == Some("https") { Protocol::Http2 } else { Protocol::Http1 };
            let (stream, protocol) = inner.open(info, wanted, token()?).await?;
            if protocol == wanted {
                return Ok(Connection::new(url, stream));
            }
            // No byte was sent. The request fails as one that could not connect, and the next ones speak the other
            // protocol.
            if let Some(learnt) = inner.protocol.get() {
                learnt.set(protocol);
            }
            Err(ConnectError::Io(io::Error::other("the upstream no longer speaks HTTP/2")))
        })
    }
}
