//! Streamable HTTP with sessions (MCP 2025-03-26 to 2025-11-25, basic/transports § Streamable HTTP).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::HeaderValue,
    web::{Data, Payload},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::join_all, stream};
use tokio::sync::mpsc;

use super::{
    Worker, access_log,
    caller::authenticate,
    headers::{self, Accepts},
    in_session::{InSession, response_to},
    query::Query,
    reply,
};
use crate::{
    error::Error,
    ids::{ChatId, SessionId},
    membrane::{Caller, Proof},
    protocol::{
        answer::Answer,
        jsonrpc::{self, Body, Message, Notification, Request, RequestId, Unusable},
        lifecycle::{InitializeParams, InitializeResult},
        request::ClientRequest,
        revision::Revision,
    },
    session::messages::{Event, OpenSession, OpenStream, Profile},
};

/// Why a POST is refused, with the id to answer under.
struct Refused {
    id: Option<RequestId>,
    error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { id: None, error }
    }
}

impl From<Unusable> for Refused {
    fn from(Unusable { id, error }: Unusable) -> Self {
        Self { id, error }
    }
}

/// What a POST comes with, besides its body.
struct Post {
    worker: Data<Worker>,
    caller: Caller,
    query: Query,
    session: Option<SessionId>,
    chat: Option<ChatId>,
    accepts: Accepts,
}

/// `POST /mcp`: a message, or in 2025-03-26 a batch of them.
pub async fn post(request: HttpRequest, payload: Payload, worker: Data<Worker>) -> HttpResponse {
    match answer_post(&request, payload, worker).await {
        Ok(response) => response,
        Err(Refused { id, error }) => reply::error(id.as_ref(), &error),
    }
}

async fn answer_post(request: &HttpRequest, payload: Payload, worker: Data<Worker>) -> Result<HttpResponse, Refused> {
    let query = Query::of(request);
    // A request without a session opens one, which will want the tools next.
    let proof = match request.headers().contains_key(headers::SESSION_ID) {
        true => Proof::Customer,
        false => Proof::Catalog(query.apps()),
    };
    let caller = authenticate(request, &query, &worker, proof).await?;
    let accepts = Accepts::of(request);
    headers::require_json(request)?;
    if !accepts.json && !accepts.events {
        return Err(Error::NotAcceptable("application/json and text/event-stream").into());
    }
    let body = read_body(payload, worker.settings.server.max_body_bytes.get()).await?;
    let body = jsonrpc::parse(&body)?;
    note_method(request, &body);

    let id = match &body {
        Body::Single(Message::Request(request)) => Some(request.id.clone()),
        _ => None,
    };
    let post = async {
        headers::require_known_revision(request)?;
        query.mode()?;
        Ok(Post {
            session: headers::session_id(request)?,
            chat: headers::chat_id(request)?,
            worker,
            caller,
            query,
            accepts,
        })
    };
    let post: Post = post.await.map_err(|error| Refused { id: id.clone(), error })?;
    access_log::note(request, |line| {
        line.chat.clone_from(&post.chat);
        line.session = post.session;
    });
    let answered = match body {
        Body::Single(Message::Request(message)) => answer_request(request, post, message).await,
        Body::Single(Message::Notification(message)) => take_notification(post, &message).await,
        Body::Single(Message::Response) => take_response(post).await,
        Body::Batch(messages) => answer_batch(post, messages).await,
    };
    answered.map_err(|error| Refused { id, error })
}

async fn read_body(payload: Payload, limit: usize) -> Result<Bytes, Error> {
    match payload.to_bytes_limited(limit).await {
        Err(_too_large) => Err(Error::BodyTooLarge { limit }),
        Ok(Err(broken)) => Err(Error::BadRequest(format!("the body can't be read: {broken}"))),
        Ok(Ok(body)) => Ok(body),
    }
}

fn note_method(request: &HttpRequest, body: &Body) {
    access_log::note(request, |line| {
        line.rpc = match body {
            Body::Single(Message::Request(request)) => Some(request.method.clone()),
            Body::Single(Message::Notification(notification)) => Some(notification.method.clone()),
            Body::Single(Message::Response) => Some("response".to_owned()),
            Body::Batch(_) => Some("batch".to_owned()),
        }
    });
}

impl Post {
    /// The request's session, which it must name (MCP 2025-11-25, basic/transports § Session Management).
    fn in_session(&self) -> Result<InSession, Error> {
        Ok(InSession {
            worker: self.worker.clone(),
            caller: self.caller.clone(),
            session: self.session.ok_or(Error::SessionIdMissing)?,
            chat: self.chat.clone(),
        })
    }
}

async fn answer_request(http: &HttpRequest, post: Post, message: Request) -> Result<HttpResponse, Error> {
    let request = match ClientRequest::read(&message) {
        Ok(ClientRequest::Initialize(params)) if post.session.is_none() => {
            return open_session(http, post, &message.id, &params).await;
        }
        Ok(ClientRequest::Initialize(_)) => Err(Error::AlreadyInitialized),
        Err(error) if post.session.is_none() && message.method == "initialize" => return Err(error),
        other => other,
    };
    let in_session = post.in_session()?;
    let keep_alive = post.worker.settings.streams.keep_alive;
    if post.accepts.json {
        let answer = in_session.answer(request, message.id.clone()).await?;
        return Ok(reply::json(jsonrpc::result_response(&message.id, answer.into_pieces())));
    }
    // What refuses the request must be said before the stream begins.
    in_session.describe().await?;
    let request = request?;
    let answer = async move {
        let answer = in_session.answer(Ok(request), message.id.clone()).await;
        response_to(&message.id, answer)
    };
    let messages = stream::once(answer).filter_map(std::future::ready);
    Ok(reply::events(messages, keep_alive))
}

async fn open_session(
    http: &HttpRequest,
    post: Post,
    id: &RequestId,
    params: &InitializeParams,
) -> Result<HttpResponse, Error> {
    let revision = Revision::negotiate(&params.protocol_version);
    let mode = post.query.mode()?;
    let open = OpenSession {
        caller: post.caller,
        profile: Profile { revision, client: params.client_info.clone(), mode, apps: post.query.apps() },
        chat: post.chat,
    };
    let session = post.worker.shards.open(post.worker.shard, open).await?;
    access_log::note(http, |line| line.session = Some(session));

    let answer = Answer::Initialize(InitializeResult::new(revision, mode));
    let message = jsonrpc::result_response(id, answer.into_pieces());
    let mut response = match post.accepts.json {
        true => reply::json(message),
        false => reply::events(stream::iter([message]), post.worker.settings.streams.keep_alive),
    };
    // A UUID is a sound header value.
    if let Ok(value) = HeaderValue::from_str(&session.to_string()) {
        response.headers_mut().insert(headers::SESSION_ID, value);
    }
    Ok(response)
}

async fn take_notification(post: Post, notification: &Notification) -> Result<HttpResponse, Error> {
    post.in_session()?.notify(notification).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// We ask clients nothing, so a response answers nothing of ours; it is taken all the same, as the transport wants.
async fn take_response(post: Post) -> Result<HttpResponse, Error> {
    post.in_session()?.describe().await?;
    Ok(HttpResponse::Accepted().finish())
}

async fn answer_batch(post: Post, messages: Vec<Result<Message, Unusable>>) -> Result<HttpResponse, Error> {
    let in_session = post.in_session()?;
    if !in_session.describe().await?.revision.accepts_batches() {
        return Err(Error::InvalidRequest("batches are part of revision 2025-03-26 alone".to_owned()));
    }
    let answers = join_all(messages.into_iter().map(|message| in_session.answer_item(message))).await;
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    if answers.is_empty() {
        return Ok(HttpResponse::Accepted().finish());
    }
    if !post.accepts.json {
        return Ok(reply::events(stream::iter(answers), post.worker.settings.streams.keep_alive));
    }
    let mut pieces = Vec::new();
    let mut before = Bytes::from_static(b"[");
    for answer in answers {
        pieces.push(before);
        pieces.extend(answer);
        before = Bytes::from_static(b",");
    }
    pieces.push(Bytes::from_static(b"]"));
    Ok(reply::json(pieces))
}

/// `GET /mcp`: the session's stream of notifications.
pub async fn get(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    let stream = async {
        let in_session = InSession::of(&request, &worker).await?;
        if !Accepts::of(&request).events {
            return Err(Error::NotAcceptable("text/event-stream"));
        }
        in_session.deliver(OpenStream).await
    };
    match stream.await {
        Ok(events) => reply::events(notifications(events), worker.settings.streams.keep_alive),
        Err(error) => reply::error(None, &error),
    }
}

fn notifications(events: mpsc::Receiver<Event>) -> impl Stream<Item = Vec<Bytes>> {
    stream::unfold(events, async |mut events| {
        let Event::ToolsChanged = events.recv().await?;
        let message = jsonrpc::notification("notifications/tools/list_changed");
        Some((vec![message.into()], events))
    })
}

/// `DELETE /mcp`: ends the session.
pub async fn delete(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    let closed = async {
        let InSession { caller, session, .. } = InSession::of(&request, &worker).await?;
        worker.shards.close(session, caller.user().clone()).await
    };
    match closed.await {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(error) => reply::error(None, &error),
    }
}
