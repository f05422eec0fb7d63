//! The requests that are being answered. No worker may stop before all of them are: the session of a request, or the tools of
//! its user, may live on any.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::ConnectionType,
    middleware::Next,
    web::Data,
};
use bytes::Bytes;
use tokio::sync::watch;

use super::Worker;

/// Counts requests from when they arrive until their answers are written. The same on every thread.
#[derive(Debug, Clone, Default)]
pub struct Exchanges {
    open: watch::Sender<usize>,
    are_last: Arc<AtomicBool>,
}

impl Exchanges {
    fn begin(&self) -> Exchange {
        self.open.send_modify(|open| *open += 1);
        Exchange(self.clone())
    }

    /// Waits until there are none. Connections that bring more until then are closed after the answer.
    pub async fn end(&self) {
        self.are_last.store(true, Ordering::Relaxed);
        // The sender is here, so that the wait has no other end.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

/// One that is counted.
struct Exchange(Exchanges);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// Counts a request.
///
/// # Errors
/// Those of the service around which it stands.
pub async fn count<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Counted>, Error> {
    let exchange = request.app_data::<Data<Worker>>().map(|worker| worker.exchanges.begin());
    let mut response = next.call(request).await?;
    if exchange.as_ref().is_some_and(|exchange| exchange.0.are_last.load(Ordering::Relaxed)) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response.map_body(|_, body| Counted { body: body.boxed(), exchange }))
}

/// The body of an answer, at whose end the exchange ends.
pub struct Counted {
    body: BoxBody,
    exchange: Option<Exchange>,
}

impl MessageBody for Counted {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(cx)
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let Self { body, exchange } = self;
        body.try_into_bytes().map_err(|body| Self { body, exchange })
    }
}
