//! A POST as it came in, and the note of its method.

use std::borrow::Cow;

use actix_web::{HttpRequest, web::Data};

use super::{access_log, headers::Accepts, worker::Worker};
use crate::{
    error::Error,
    ids::ChatId,
    membrane::Caller,
    metrics,
    protocol::jsonrpc::{Body, Message, Request},
    tools::Scope,
};

/// Everything that a POST comes with besides its body.
pub(super) struct Post {
    pub(super) http: HttpRequest,
    pub(super) worker: Data<Worker>,
    pub(super) caller: Caller,
    pub(super) scope: Scope,
    pub(super) chat: Option<ChatId>,
    pub(super) accepts: Accepts,
}

/// Reads the parameters of a message, beside the worker where they are large: each look at 10 MB takes tens of milliseconds.
///
/// # Errors
/// [`Error::Internal`] where reading has panicked.
pub(super) async fn read_params<T: Send + 'static>(
    worker: &Worker,
    message: Request,
    read: impl FnOnce(&Request) -> T + Send + 'static,
) -> Result<(Request, T), Error> {
    let bytes = message.params.as_deref().map_or(0, |params| params.get().len());
    let work = move || {
        let read = read(&message);
        (message, read)
    };
    worker.pool().run(bytes, work).await.ok_or(Error::Internal)
}

/// Notes the method for the log, and counts it.
pub(super) fn note_method(http: &HttpRequest, body: &Body) {
    count_messages(body);
    access_log::note(http, |line| {
        line.rpc = Some(match body {
            Body::Single(Message::Request(request)) => method_of(&request.method),
            Body::Single(Message::Notification(notification)) => method_of(&notification.method),
            Body::Single(Message::Response) => "response".into(),
            Body::Batch(_) => "batch".into(),
        });
    });
}

/// Returns a method as it was sent.
fn method_of(method: &str) -> Cow<'static, str> {
    match metrics::known_method(method) {
        known if known == method => known.into(),
        _ => method.to_owned().into(),
    }
}

fn count_messages(body: &Body) {
    let count = |message: &Message| match message {
        Message::Request(request) => metrics::count_message(&request.method),
        Message::Notification(notification) => metrics::count_message(&notification.method),
        Message::Response => metrics::count_message("response"),
    };
    match body {
        Body::Single(message) => count(message),
        Body::Batch(messages) => messages.iter().flatten().for_each(count),
    }
}
