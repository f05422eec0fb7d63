//! The HTTP+SSE transport (MCP 2024-11-05, basic/transports § HTTP with SSE): one stream for all answers, and a path to POST
//! messages to. The session lives as long as its stream.

use std::sync::Arc;

use actix::Recipient;
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use actix_web_lab::sse;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::{
    access_log,
    caller::authenticate,
    headers::{self, Accepts},
    in_session::{InSession, instructions, progress_token, require_batches, response_to},
    pages,
    posted::{note_method, read_params},
    query::Query,
    reply,
    respond::{Running, pending},
    worker::Worker,
};
use crate::{
    error::Error,
    http::error::HttpError,
    ids::SessionId,
    membrane::Proof,
    protocol::{
        answer::ServerResult,
        jsonrpc::{self, Body, Message, Request},
        lifecycle::{InitializeParams, InitializeResult},
        request::ClientRequest,
        revision::{Era, Revision},
    },
    session::{
        messages::{Answered, CloseSession, Event, Expect, Introduce, OpenOutbox, OpenSession, Push},
        permit::session_permit,
        profile::Profile,
        queue,
    },
    trace::Context,
};

/// `GET /sse`: opens a session and its stream.
pub(super) async fn open(http: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    if pages::is_browser(&http) {
        return pages::endpoint(&http, &worker);
    }
    match answer_open(&http, &worker).await {
        Ok(response) => response,
        Err(error) => reply::error(None, &error, Era::Legacy),
    }
}

async fn answer_open(http: &HttpRequest, worker: &Data<Worker>) -> Result<HttpResponse, HttpError> {
    let query = Query::of(http);
    let max_apps = worker.settings.tuning.max_apps;
    let caller = authenticate(http, &query, worker, Proof::Catalog(query.apps(max_apps)?)).await?;
    if !Accepts::of(http).events {
        return Err(HttpError::NotAcceptable("text/event-stream"));
    }
    if query.session()?.is_some() {
        // A stream that has ended took its session along, so there is none to come back to.
        return Err(Error::SessionNotFound.into());
    }
    let permit = caller.user_limits().stream().await?;
    let user = caller.user().clone();
    let profile = Profile { revision: None, client: None, opens_pages: false, scope: query.scope(max_apps)? };
    let counted = session_permit(&worker.sessions, caller.user_limits()).await?;
    let open = OpenSession { user: user.clone(), permit: counted, profile, chat: None };
    let session = worker.sessions.open(worker.number, open).await?;
    access_log::note(http, |line| line.session = Some(session));

    // From here on the session goes when this does.
    let guard = ClosesSession { closer: worker.sessions.closer(session)?, close: CloseSession { session, user } };

    let events = worker.sessions.deliver(session, &caller, None, OpenOutbox).await?;
    let endpoint = sse::Data::new(endpoint(worker, session, &query)).event("endpoint");
    let messages = stream::iter([sse::Event::Data(endpoint)]).chain(messages(events));
    let messages = messages.map(move |message| {
        let _with_the_stream = &guard;
        message
    });
    Ok(reply::events(permit.hold(messages), worker.settings.tuning.stream_keep_alive))
}

/// Takes a session along when it goes, however it goes.
struct ClosesSession {
    closer: Recipient<CloseSession>,
    close: CloseSession,
}

impl Drop for ClosesSession {
    fn drop(&mut self) {
        self.closer.do_send(self.close.clone());
    }
}

/// Returns the messages of an HTTP+SSE session as events.
fn messages(events: queue::Receiver<Event>) -> impl Stream<Item = sse::Event> {
    stream::unfold(events, async |mut events| {
        let message = match events.next().await? {
            Event::ToolsChanged => reply::message(&[jsonrpc::notification("notifications/tools/list_changed").into()]),
            Event::Message(chunks) => reply::message(&chunks),
        };
        Some((message, events))
    })
}

/// Returns where the client is to POST. The token stands there only if it came by query: such a client can send no
/// header.
fn endpoint(worker: &Worker, session: SessionId, query: &Query) -> String {
    let mut endpoint = format!("{}/sse/messages?sessionId={session}", worker.settings.server.public_path);
    if let Ok(Some(token)) = query.token() {
        // A pair of texts always encodes.
        let token = serde_urlencoded::to_string([("token", token)]).unwrap_or_default();
        endpoint = format!("{endpoint}&{token}");
    }
    endpoint
}

/// `POST /sse/messages`: takes a message, whose answer comes on the stream.
pub(super) async fn post(http: HttpRequest, payload: Payload, worker: Data<Worker>) -> HttpResponse {
    match take(&http, payload, &worker).await {
        Ok(()) => HttpResponse::Accepted().body("Accepted"),
        Err((id, error)) => reply::error(id.as_ref(), &error, Era::Legacy),
    }
}

type RefusedMessage = (Option<jsonrpc::RequestId>, HttpError);

/// Returns why a message is refused whose id is not known.
fn refused(error: impl Into<HttpError>) -> RefusedMessage {
    (None, error.into())
}

async fn take(http: &HttpRequest, payload: Payload, worker: &Data<Worker>) -> Result<(), RefusedMessage> {
    let query = Query::of(http);
    let caller = authenticate(http, &query, worker, Proof::Customer).await.map_err(refused)?;
    let session = match query.session().map_err(refused)?.map(SessionId::parse) {
        None => return Err(refused(HttpError::BadRequest("sessionId is required".to_owned()))),
        Some(None) => return Err(refused(Error::SessionNotFound)),
        Some(Some(session)) => session,
    };
    access_log::note(http, |line| line.session = Some(session));
    let request = access_log::tag_of(http);
    let in_session = InSession { worker: worker.clone(), caller, session, chat: None, request, site: Arc::default() }
        .for_calls(http);
    let in_session = in_session.up_to_date().await.map_err(refused)?;
    let profile = in_session.describe().await.map_err(refused)?;
    headers::require_json(http).map_err(refused)?;
    let body = worker
        .bodies
        .read(http, payload, Some(in_session.caller.user()), &worker.settings.tuning, worker.pool())
        .await
        .map_err(refused)?;
    let parsed = worker.pool().run(body.len(), move || jsonrpc::parse(&body)).await;
    let parsed = parsed.ok_or_else(|| refused(Error::Internal))?;
    let body = parsed.map_err(|unusable| (unusable.id, unusable.error.into()))?;
    note_method(http, &body);
    if matches!(body, Body::Batch(_)) {
        require_batches(&profile).map_err(refused)?;
    }
    in_session.deliver(Expect).await.map_err(refused)?;
    let (sessions, by) = (worker.sessions.clone(), in_session.caller.clone());
    // The session counts on it, whatever becomes of the future.
    let answered = scopeguard::guard(Answered, move |answered| sessions.tell(session, &by, answered));
    // The stream answers, so nothing is left to wait for here.
    actix_web::rt::spawn(Context::current().around(async move {
        match body {
            Body::Single(Message::Request(request)) => answer(&in_session, request).await,
            Body::Single(other) => push(&in_session, in_session.answer_item(Ok(other)).await).await,
            Body::Batch(messages) => {
                for message in messages {
                    push(&in_session, in_session.answer_item(message).await).await;
                }
            }
        }
        drop(answered);
    }));
    Ok(())
}

/// Answers a request on the stream, with word of its progress.
async fn answer(in_session: &InSession, request: Request) {
    let id = request.id.clone();
    let (request, read) = match read_params(&in_session.worker, request, ClientRequest::read).await {
        Ok((_, Ok(ClientRequest::Initialize(params)))) => {
            let answer = introduce(in_session, params).await;
            return push(in_session, response_to(&id, answer)).await;
        }
        Ok(read) => read,
        Err(error) => return push(in_session, response_to(&id, Err(error))).await,
    };
    let progress_token = progress_token(&read);
    let (asked, span) = in_session.clone().traced(&request);
    drop(request);
    let asked_by = id.clone();
    let answer = async move { asked.answer(read, asked_by, span).await.map(ServerResult::into_chunks) };
    let mut running =
        Running::new(id, pending(answer), progress_token, Era::Legacy, &in_session.worker.settings.tuning);
    while let Some(message) = running.next().await {
        push(in_session, Some(message)).await;
    }
}

async fn push(in_session: &InSession, message: Option<Vec<Bytes>>) {
    if let Some(message) = message {
        // A session that is gone has nobody to tell.
        let _ = in_session.deliver(Push(message)).await;
    }
}

async fn introduce(in_session: &InSession, params: InitializeParams) -> Result<ServerResult, Error> {
    let revision = Revision::negotiate(&params.protocol_version);
    let (client, opens_pages) = (params.client_info, params.capabilities.opens_pages);
    let profile = in_session.deliver(Introduce { revision, client, opens_pages }).await?;
    let instructions = instructions(&in_session.worker, &in_session.caller, &profile.scope).await;
    Ok(ServerResult::Initialize(InitializeResult::new(revision, instructions.text)))
}
