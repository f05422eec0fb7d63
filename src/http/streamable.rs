//! Streamable HTTP with sessions (MCP 2025-03-26 to 2025-11-25, basic/transports § Streamable HTTP).

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::header::HeaderValue, web::Data};
use bytes::Bytes;
use futures_util::{future::join_all, stream};

use super::{
    access_log,
    headers::{self, Accepts},
    in_session::{InSession, instructions, require_batches},
    pages,
    posted::{Post, read_params},
    reply,
    respond::{Response, ResponseMode, pending, respond},
    spans,
    worker::Worker,
};
use crate::{
    chunks::into_bytes,
    error::Error,
    http::error::HttpError,
    ids::SessionId,
    protocol::{
        answer::ServerResult,
        jsonrpc::{self, Body, Message, Request, Unusable},
        lifecycle::{InitializeParams, InitializeResult},
        request::ClientRequest,
        revision::{Era, Revision},
    },
    session::{
        messages::{OpenSession, OpenStream},
        permit::session_permit,
        profile::Profile,
    },
    tools::Instructions,
};

/// Answers a POST of the legacy era.
pub(super) async fn answer(post: Post, body: Body) -> Result<HttpResponse, HttpError> {
    let session = if is_initialize(&body) {
        living_session(&post).await?
    } else {
        headers::require_known_revision(&post.http)?;
        headers::session_id(&post.http)?
    };
    access_log::note(&post.http, |line| line.session = session);
    match body {
        Body::Single(Message::Request(message)) => answer_request(post, session, message).await,
        Body::Single(Message::Notification(notification)) => {
            in_session(&post, session).await?.notify(&notification).await?;
            Ok(HttpResponse::Accepted().finish())
        }
        // We ask clients nothing, so a response answers nothing of ours; it is taken all the same, as the transport wants.
        Body::Single(Message::Response) => {
            in_session(&post, session).await?.describe().await?;
            Ok(HttpResponse::Accepted().finish())
        }
        Body::Batch(messages) => answer_batch(post, session, messages).await,
    }
}

/// Returns whether a body is the request that opens a session.
pub(super) fn is_initialize(body: &Body) -> bool {
    matches!(body, Body::Single(Message::Request(request)) if request.method == "initialize")
}

/// Returns the session that `initialize` names, if it lives. Clients keep the id of a session that is gone, or send a variable
/// without content as `null`: refused, they would never get another.
async fn living_session(post: &Post) -> Result<Option<SessionId>, HttpError> {
    let Ok(Some(session)) = headers::session_id(&post.http) else { return Ok(None) };
    let living = async { Ok(in_session(post, Some(session)).await?.describe().await?) };
    match living.await {
        Ok(_) => Ok(Some(session)),
        Err(HttpError::Other(Error::SessionNotFound)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the request in its session, which it must name (MCP 2025-11-25, basic/transports § Session Management).
async fn in_session(post: &Post, session: Option<SessionId>) -> Result<InSession, HttpError> {
    let named = InSession {
        worker: post.worker.clone(),
        caller: post.caller.clone(),
        session: session.ok_or(HttpError::SessionIdMissing)?,
        chat: post.chat.clone(),
        request: access_log::tag_of(&post.http),
        site: Arc::default(),
    };
    Ok(named.up_to_date().await?)
}

async fn answer_request(post: Post, session: Option<SessionId>, message: Request) -> Result<HttpResponse, HttpError> {
    let (message, request) = read_params(&post.worker, message, ClientRequest::read).await?;
    let request = match (request, session) {
        (Ok(ClientRequest::Initialize(params)), None) => return open_session(post, &message, &params).await,
        (Err(error), None) if message.method == "initialize" => return Err(error.into()),
        (request, _) => request,
    };
    let (mut in_session, span) = in_session(&post, session).await?.traced(&message);
    let response_mode = match &request {
        Ok(ClientRequest::CallTool(call)) => {
            in_session = in_session.for_calls(&post.http);
            ResponseMode::of_call(&post, Era::Legacy, call.progress_token.clone())
        }
        _ => ResponseMode::of_other(&post, Era::Legacy),
    };
    if response_mode.streams_at_once() {
        // What refuses the request must be said before the stream begins.
        in_session.check_refusal(request.as_ref()).await?;
    }
    let (id, relay) = (message.into_id(), in_session.clone());
    let asked = id.clone();
    let answer = async move { in_session.answer(request, asked, span).await.map(ServerResult::into_chunks) };
    match respond(id, pending(answer), response_mode).await? {
        Response::Ready(response) => Ok(response),
        Response::Running(running) => Ok(relay.relay(running).await?),
    }
}

async fn open_session(post: Post, message: &Request, params: &InitializeParams) -> Result<HttpResponse, HttpError> {
    let mut span = spans::of_message(message, None);
    let revision = Revision::negotiate(&params.protocol_version);
    let Instructions { text, .. } = instructions(&post.worker, &post.caller, &post.scope).await;
    let permit = session_permit(&post.worker.sessions, post.caller.user_limits()).await?;
    let open = OpenSession {
        user: post.caller.user().clone(),
        permit,
        profile: Profile {
            revision: Some(revision),
            client: params.client_info.clone(),
            opens_pages: params.capabilities.opens_pages,
            scope: post.scope,
        },
        chat: post.chat,
    };
    let session = post.worker.sessions.open(post.worker.number, open).await?;
    access_log::note(&post.http, |line| line.session = Some(session));
    spans::note_session(&mut span, Some(session));

    let answer = ServerResult::Initialize(InitializeResult::new(revision, text));
    let message = into_bytes(jsonrpc::result_response(&message.id, answer.into_chunks()));
    let mut response = match post.accepts.json {
        true => reply::json(message),
        false => reply::events(stream::iter([reply::message(&message)]), post.worker.settings.tuning.stream_keep_alive),
    };
    // A UUID is a sound header value.
    if let Ok(value) = HeaderValue::from_str(&session.to_string()) {
        response.headers_mut().insert(headers::SESSION_ID, value);
    }
    Ok(response)
}

async fn answer_batch(
    post: Post,
    session: Option<SessionId>,
    messages: Vec<Result<Message, Unusable>>,
) -> Result<HttpResponse, HttpError> {
    let in_session = in_session(&post, session).await?.for_calls(&post.http);
    require_batches(&in_session.describe().await?)?;
    let answers = join_all(messages.into_iter().map(|message| in_session.answer_item(message))).await;
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    if answers.is_empty() {
        return Ok(HttpResponse::Accepted().finish());
    }
    if !post.accepts.json {
        let events: Vec<_> = answers.iter().map(|answer| reply::message(answer)).collect();
        return Ok(reply::events(stream::iter(events), post.worker.settings.tuning.stream_keep_alive));
    }
    let mut chunks = Vec::new();
    let mut before = Bytes::from_static(b"[");
    for answer in answers {
        chunks.push(before);
        chunks.extend(answer);
        before = Bytes::from_static(b",");
    }
    chunks.push(Bytes::from_static(b"]"));
    Ok(reply::json(chunks))
}

/// `GET /mcp`: the session's stream of notifications, or any of its streams after the event that `Last-Event-ID` names.
pub(super) async fn get(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    if pages::is_browser(&request) {
        return pages::endpoint(&request, &worker);
    }
    let stream = async {
        let in_session = InSession::of(&request, &worker).await?.up_to_date().await?;
        if !Accepts::of(&request).events {
            return Err(HttpError::NotAcceptable("text/event-stream"));
        }
        let after = headers::last_event_id(&request)?;
        let permit = in_session.caller.user_limits().stream().await?;
        Ok(permit.hold(in_session.deliver(OpenStream { after }).await?))
    };
    match stream.await {
        Ok(events) => reply::resumable(events, &worker.settings.tuning),
        Err(error) => reply::error(None, &error, Era::Legacy),
    }
}

/// `DELETE /mcp`: ends the session.
pub(super) async fn delete(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    let closed = async {
        let InSession { caller, session, .. } = InSession::of(&request, &worker).await?;
        Ok(worker.sessions.close(session, caller.user().clone()).await?)
    };
    let closed: Result<(), HttpError> = closed.await;
    match closed {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(error) => reply::error(None, &error, Era::Legacy),
    }
}
