//! `POST /mcp`: who asks, for what, and in which era (MCP 2026-07-28, basic/versioning § Backward Compatibility).

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

use super::{
    access_log,
    bodies::Arrived,
    caller::authenticate,
    headers::{self, Accepts},
    posted::{Post, note_method},
    query::Query,
    reply, stateless, streamable,
    worker::Worker,
};
use crate::{
    error::Error,
    http::error::HttpError,
    membrane::{Caller, Proof},
    protocol::{
        jsonrpc::{self, Body, Message, RequestId, Unusable},
        modern_request::is_claimed,
        revision::Era,
    },
};

/// Why a POST is refused, with the id to answer under.
pub(super) struct RefusedPost {
    id: Option<RequestId>,
    error: HttpError,
    era: Era,
}

/// `POST /mcp`: a message, or in 2025-03-26 a batch of them.
pub(super) async fn post(http: HttpRequest, payload: Payload, worker: Data<Worker>) -> HttpResponse {
    match answer(http, payload, worker).await {
        Ok(response) => response,
        Err(RefusedPost { id, error, era }) => reply::error(id.as_ref(), &error, era),
    }
}

async fn answer(http: HttpRequest, payload: Payload, worker: Data<Worker>) -> Result<HttpResponse, RefusedPost> {
    let header_era = headers::era(&http);
    let refused = |id: Option<RequestId>, era| move |error| RefusedPost { id, error, era };
    let (caller, query) = enter(&http, &worker).await.map_err(refused(None, header_era))?;
    let (accepts, body) = read(&http, payload, &caller, &worker).await.map_err(refused(None, header_era))?;
    let bytes = body.len();
    // The bytes end with this: the message has a copy, and a large one must not be held twice while the call lasts.
    let parse = move || {
        let parsed = jsonrpc::parse(&body)?;
        let is_modern = is_claimed(match &parsed {
            Body::Single(Message::Request(request)) => request.params.as_deref(),
            Body::Single(Message::Notification(notification)) => notification.params.as_deref(),
            _ => None,
        });
        Ok((parsed, is_modern))
    };
    let parsed = worker.pool().run(bytes, parse).await;
    let parsed = parsed.unwrap_or(Err(Unusable { id: None, error: Error::Internal }));
    let (body, is_modern) =
        parsed.map_err(|Unusable { id, error }| RefusedPost { id, error: error.into(), era: header_era })?;
    note_method(&http, &body);

    let id = match &body {
        Body::Single(Message::Request(request)) => Some(request.id.clone()),
        _ => None,
    };
    // Whatever the header says, `initialize` settles on a revision by its body (MCP 2025-11-25, basic/lifecycle § Version
    // Negotiation): clients that have tried 2026-07-28 first may still send that.
    let is_initialize = streamable::is_initialize(&body);
    let era = match (is_modern, is_initialize) {
        (true, _) => Era::Modern,
        (false, true) => Era::Legacy,
        (false, false) => header_era,
    };
    let max_apps = worker.settings.tuning.max_apps;
    let post = || {
        let chat = headers::chat_id(&http)?;
        access_log::note(&http, |line| {
            line.chat.clone_from(&chat);
            line.era = Some(era);
        });
        Ok(Post { scope: query.scope(max_apps)?, http: http.clone(), worker, caller, chat, accepts })
    };
    let post = post().map_err(refused(id.clone(), era))?;

    let answered = match (era, body) {
        (Era::Legacy, Body::Batch(messages)) if messages.iter().any(is_claimed_item) => {
            Err(Error::InvalidRequest("2026-07-28 has no batches".to_owned()).into())
        }
        (Era::Modern, Body::Single(Message::Request(request))) => stateless::answer(post, request).await,
        // The modern era has no notifications to act on: what a stream is about ends with the stream.
        (Era::Modern, Body::Single(Message::Notification(_))) => Ok(HttpResponse::Accepted().finish()),
        (Era::Modern, Body::Single(Message::Response) | Body::Batch(_)) => {
            Err(Error::InvalidRequest("the body must be one request or notification".to_owned()).into())
        }
        (Era::Legacy, body) => streamable::answer(post, body).await,
    };
    answered.map_err(refused(id, era))
}

/// Finds out the caller, and reads the query.
async fn enter(http: &HttpRequest, worker: &Worker) -> Result<(Caller, Query), HttpError> {
    let query = Query::of(http);
    // A request without a session opens one or needs none; either way it will want the tools next.
    let proof = match http.headers().contains_key(headers::SESSION_ID) {
        true => Proof::Customer,
        false => Proof::Catalog(query.apps(worker.settings.tuning.max_apps)?),
    };
    let caller = authenticate(http, &query, worker, proof).await?;
    Ok((caller, query))
}

async fn read(
    http: &HttpRequest,
    payload: Payload,
    caller: &Caller,
    worker: &Worker,
) -> Result<(Accepts, Arrived), HttpError> {
    headers::require_json(http)?;
    let accepts = Accepts::of(http);
    if !accepts.json && !accepts.events {
        return Err(HttpError::NotAcceptable("application/json, text/event-stream"));
    }
    Ok((accepts, worker.bodies.read(http, payload, Some(caller.user()), &worker.settings.tuning, worker.pool()).await?))
}

fn is_claimed_item(message: &Result<Message, Unusable>) -> bool {
    let params = match message {
        Ok(Message::Request(request)) => request.params.as_deref(),
        Ok(Message::Notification(notification)) => notification.params.as_deref(),
        Ok(Message::Response) | Err(_) => None,
    };
    is_claimed(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<F: Future>(_: impl Fn(HttpRequest, Payload, Data<Worker>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_has_no_room_for_what_is_awaited_elsewhere() {
        // actix-web moves it some times before it is polled.
        let bytes = bytes_of(post);
        assert!(bytes <= 3072, "{bytes} bytes");
    }
}
