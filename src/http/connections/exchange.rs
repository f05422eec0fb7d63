//! A request and its answer, as a connection sees them.

use std::{
    cell::RefCell,
    future::pending,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_http::{
    ConnectionType, Payload, Request, Response, Version,
    body::{BodySize, MessageBody},
    error::PayloadError,
};
use actix_web::dev::Service;
use bytes::Bytes;
use futures_util::Stream;

use super::{Connection, traffic::Stage};

/// Request in flight. Dropped, it has been answered, or given up.
struct Exchange(Rc<Connection>);

impl Exchange {
    /// Begins a request, and shares its body if it has one.
    fn begin(connection: &Rc<Connection>, request: &mut Request) -> (Self, Option<Incoming>) {
        let payload = request.take_payload();
        let has_body = !matches!(payload, Payload::None);
        connection.begin_request(has_body);
        let payload = Rc::new(RefCell::new(payload));
        let incoming = || Incoming { payload: Rc::clone(&payload), connection: Rc::clone(connection) };
        if has_body {
            *request.payload() = Payload::Stream { payload: Box::pin(incoming()) };
        }
        (Self(Rc::clone(connection)), has_body.then(incoming))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// The body of a request, shared by its handler and [`Attended`].
///
/// The dispatcher reads what is left of a chunked body after the answer, however long that takes, if nobody holds the body
/// any more. While somebody does, it says in the answer that the connection ends, and waits for no more than
/// `client_disconnect_timeout`.
struct Incoming {
    payload: Rc<RefCell<Payload>>,
    connection: Rc<Connection>,
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut *self.payload.borrow_mut()).poll_next(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.connection.end_body();
        }
        polled
    }
}

/// The body of an answer. It holds what is left of the request's body for as long as the answer is sent.
pub(super) struct Attended<B> {
    body: B,
    rest: Option<Incoming>,
    _exchange: Exchange,
}

impl<B> Attended<B> {
    /// Takes in what is left of the request's body, to learn when it has arrived whole.
    fn poll_rest(&mut self, cx: &mut Context<'_>) {
        while let Some(rest) = &mut self.rest {
            match Pin::new(rest).poll_next(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None | Some(Err(_))) => self.rest = None,
                Poll::Pending => break,
            }
        }
    }
}

impl<B: MessageBody + Unpin> MessageBody for Attended<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        self.poll_rest(cx);
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// Has a request served, unless its connection takes no more.
pub(super) fn attend<S, B>(
    mut request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<Attended<B>>, S::Error>> + use<S, B>
where
    S: Service<Request>,
    S::Response: Into<Response<B>>,
    B: MessageBody,
{
    let knows_chunks = request.version() >= Version::HTTP_11;
    // Each connection puts itself into the data of its requests.
    let connection = request.conn_data::<Rc<Connection>>().cloned();
    let begun = connection.clone().filter(|connection| !connection.is_over()).map(|connection| {
        let (exchange, rest) = Exchange::begin(&connection, &mut request);
        (service.call(request), exchange, rest)
    });
    async move {
        let Some((called, exchange, rest)) = begun else {
            if let Some(connection) = connection {
                connection.end_when_written();
            }
            return pending().await;
        };
        let connection = &exchange.0;
        let answered = called.await;
        connection.begin_answer();
        let mut answer: Response<B> = match answered {
            Ok(answer) => answer.into(),
            Err(error) => {
                // The dispatcher makes an answer of it, which can't be told here to be the last.
                if !connection.is_let_in() {
                    connection.end_after_answer();
                }
                return Err(error);
            }
        };
        // A body of unknown length then ends with its connection (RFC 9112 § 6.1), which actix-http does not see to.
        if !knows_chunks && answer.body().size() == BodySize::Stream {
            answer.head_mut().no_chunking(true);
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        if connection.stage() != Stage::Serving {
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        if answer.head().connection_type() == ConnectionType::Close {
            connection.end_after_answer();
        }
        Ok(answer.map_body(|_, body| Attended { body, rest, _exchange: exchange }))
    }
}
