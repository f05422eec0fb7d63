//! The HTTP+SSE transport (MCP 2024-11-05, basic/transports § HTTP with SSE): one stream for all answers, and a path to POST
//! messages to. The session lives as long as its stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix::Recipient;
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use actix_web_lab::sse;
use futures_util::{Stream, StreamExt, stream};

use super::{
    Worker, access_log,
    caller::authenticate,
    headers::{self, Accepts},
    in_session::{InSession, response_to},
    post::{note_method, read_body},
    query::Query,
    reply,
};
use crate::{
    error::Error,
    ids::SessionId,
    membrane::Proof,
    protocol::{
        answer::Answer,
        jsonrpc::{self, Body, Message, Request},
        lifecycle::InitializeResult,
        request::ClientRequest,
        revision::{Era, Revision},
    },
    session::{
        messages::{Answering, CloseSession, Event, Introduce, OpenOutbox, OpenSession, Profile, Push},
        queue,
    },
};

/// `GET /sse`: opens a session and its stream.
pub(super) async fn open(http: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    match answer_open(&http, &worker).await {
        Ok(response) => response,
        Err(error) => reply::error(None, &error, Era::Legacy),
    }
}

async fn answer_open(http: &HttpRequest, worker: &Data<Worker>) -> Result<HttpResponse, Error> {
    let query = Query::of(http);
    let caller = authenticate(http, &query, worker, Proof::Catalog(query.apps())).await?;
    if !Accepts::of(http).events {
        return Err(Error::NotAcceptable("text/event-stream"));
    }
    if query.session().is_some() {
        // A stream that has ended took its session along, so there is none to come back to.
        return Err(Error::SessionNotFound);
    }
    let user = caller.user().clone();
    let profile = Profile { revision: None, client: None, scope: query.scope()? };
    let open = OpenSession { user: user.clone(), profile, chat: None };
    let session = worker.shards.open(worker.local.number, open).await?;
    access_log::note(http, |line| line.session = Some(session));

    let events = worker.shards.deliver(session, user.clone(), None, OpenOutbox).await?;
    let endpoint = sse::Data::new(endpoint(worker, session, &query)).event("endpoint");
    let messages = stream::iter([sse::Event::Data(endpoint)]).chain(messages(events));
    let messages = ClosesSession {
        messages: Box::pin(messages),
        closer: worker.shards.closer(session)?,
        close: CloseSession { session, user },
    };
    Ok(reply::events(messages, worker.settings.streams.keep_alive))
}

/// What comes by the outbox, as events.
fn messages(events: queue::Receiver<Event>) -> impl Stream<Item = sse::Event> {
    stream::unfold(events, async |mut events| {
        let message = match events.next().await? {
            Event::ToolsChanged => reply::message(&[jsonrpc::notification("notifications/tools/list_changed").into()]),
            Event::Message(pieces) => reply::message(&pieces),
        };
        Some((message, events))
    })
}

/// Where the client is to POST. The token stands there only if it came by query: such a client can send no header.
fn endpoint(worker: &Worker, session: SessionId, query: &Query) -> String {
    let mut endpoint = format!("{}/sse/messages?sessionId={session}", worker.settings.server.public_path);
    if let Some(token) = query.token() {
        // A pair of texts always encodes.
        let token = serde_urlencoded::to_string([("token", token)]).unwrap_or_default();
        endpoint = format!("{endpoint}&{token}");
    }
    endpoint
}

/// A stream that takes its session along when it ends, however it ends.
struct ClosesSession<S> {
    messages: Pin<Box<S>>,
    closer: Recipient<CloseSession>,
    close: CloseSession,
}

impl<S: Stream> Stream for ClosesSession<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.messages.as_mut().poll_next(cx)
    }
}

impl<S> Drop for ClosesSession<S> {
    fn drop(&mut self) {
        self.closer.do_send(self.close.clone());
    }
}

/// `POST /sse/messages`: takes a message, whose answer comes on the stream.
pub(super) async fn post(http: HttpRequest, payload: Payload, worker: Data<Worker>) -> HttpResponse {
    match take(&http, payload, &worker).await {
        Ok(()) => HttpResponse::Accepted().body("Accepted"),
        Err((id, error)) => reply::error(id.as_ref(), &error, Era::Legacy),
    }
}

type Refused = (Option<jsonrpc::RequestId>, Error);

async fn take(http: &HttpRequest, payload: Payload, worker: &Data<Worker>) -> Result<(), Refused> {
    let refused = |error| (None, error);
    let query = Query::of(http);
    let caller = authenticate(http, &query, worker, Proof::Customer).await.map_err(refused)?;
    let session = match query.session().map(SessionId::parse) {
        None => return Err(refused(Error::BadRequest("sessionId is required".to_owned()))),
        Some(None) => return Err(refused(Error::SessionNotFound)),
        Some(Some(session)) => session,
    };
    access_log::note(http, |line| line.session = Some(session));
    let in_session = InSession { worker: worker.clone(), caller, session, chat: None };
    in_session.describe().await.map_err(refused)?;
    headers::require_json(http).map_err(refused)?;
    let body = read_body(payload, worker).await.map_err(refused)?;
    let body = jsonrpc::parse(&body).map_err(|unusable| (unusable.id, unusable.error))?;
    note_method(http, &body);

    in_session.deliver(Answering::Begins).await.map_err(refused)?;
    // The stream answers, so nothing is left to wait for here.
    actix_web::rt::spawn(async move {
        let messages = match body {
            Body::Single(message) => vec![Ok(message)],
            Body::Batch(messages) => messages,
        };
        for message in messages {
            let answer = match message {
                Ok(Message::Request(request)) if request.method == "initialize" => {
                    response_to(&request.id, introduce(&in_session, &request).await)
                }
                other => in_session.answer_item(other).await,
            };
            if let Some(answer) = answer {
                // A session that is gone has nobody to tell.
                let _ = in_session.deliver(Push(answer)).await;
            }
        }
        let _ = in_session.deliver(Answering::Ended).await;
    });
    Ok(())
}

async fn introduce(in_session: &InSession, request: &Request) -> Result<Answer, Error> {
    let ClientRequest::Initialize(params) = ClientRequest::read(request)? else {
        // The method is initialize.
        return Err(Error::Internal);
    };
    let revision = Revision::negotiate(&params.protocol_version);
    let profile = in_session.deliver(Introduce { revision, client: params.client_info }).await?;
    Ok(Answer::Initialize(InitializeResult::new(revision, profile.scope.mode)))
}
