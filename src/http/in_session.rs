//! Messages that belong to a session, and their answers.

use std::sync::Arc;

use actix::{Handler, Message as ActorMessage};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use bytes::Bytes;

use super::{
    access_log, base, caller::authenticate, headers, posted::read_params, query::Query, reply, respond::Running, spans,
    worker::Worker,
};
use crate::{
    chunks::into_bytes,
    error::Error,
    http::error::HttpError,
    ids::{ChatId, RequestTag, SessionId},
    membrane::{Caller, Proof},
    protocol::{
        answer::ServerResult,
        error_object::ErrorObject,
        jsonrpc::{self, Message, Notification, Request, RequestId, Unusable},
        request::{ClientNotification, ClientRequest},
        revision::{Era, Revision},
    },
    session::{
        SessionActor, SessionRegistry,
        messages::{CallTool, Cancel, Deliver, Describe, FindTool, ListTools, OpenReply, SendOnStream},
        profile::Profile,
    },
    tools::{AskBy, Instructions, Origin, Scope, instructions, mode},
    trace::Span,
};

/// A request that names its session.
#[derive(Clone)]
pub(super) struct InSession {
    pub(super) worker: Data<Worker>,
    pub(super) caller: Caller,
    pub(super) session: SessionId,
    pub(super) chat: Option<ChatId>,
    pub(super) request: RequestTag,
    /// Address of this server for the user's browser, which calls may have to tell; empty for all else.
    pub(super) site: Arc<str>,
}

impl InSession {
    /// Reads a request that has no body: GET and DELETE.
    pub(super) async fn of(request: &HttpRequest, worker: &Data<Worker>) -> Result<Self, HttpError> {
        let caller = authenticate(request, &Query::of(request), worker, Proof::Customer).await?;
        headers::require_known_revision(request)?;
        let session = headers::session_id(request)?.ok_or(HttpError::SessionIdMissing)?;
        let chat = headers::chat_id(request)?;
        access_log::note(request, |line| {
            line.session = Some(session);
            line.chat.clone_from(&chat);
        });
        let (tag, worker) = (access_log::tag_of(request), worker.clone());
        Ok(Self { worker, caller, session, chat, request: tag, site: Arc::default() })
    }

    /// Lets calls tell the address at which `request` came.
    pub(super) fn for_calls(mut self, request: &HttpRequest) -> Self {
        self.site = base::of(request, &self.worker).into();
        self
    }

    /// Returns the session as it is now, wherever it was last changed.
    pub(super) async fn up_to_date(self) -> Result<Self, Error> {
        self.worker.sessions.refresh(self.session, self.caller.user()).await?;
        Ok(self)
    }

    /// Passes a message to the session.
    pub(super) async fn deliver<M, T>(&self, message: M) -> Result<T, Error>
    where
        M: ActorMessage<Result = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
        SessionActor: Handler<M>,
        SessionRegistry: Handler<Deliver<M>>,
    {
        self.worker.sessions.deliver(self.session, &self.caller, self.chat.clone(), message).await
    }

    /// Returns the session's profile, if the session is there at all.
    pub(super) async fn describe(&self) -> Result<Profile, Error> {
        self.deliver(Describe).await
    }

    /// Returns the same for one message, with the span of that.
    pub(super) fn traced(mut self, message: &Request) -> (Self, Span) {
        let span = spans::of_message(message, Some(self.session));
        self.caller = self.caller.within(span.context());
        (self, span)
    }

    fn origin(&self) -> Origin {
        Origin {
            chat: self.chat.clone(),
            session: Some(self.session),
            request: self.request.clone(),
            site: Arc::clone(&self.site),
            // The session knows what its client can do.
            ask_by: AskBy::Text,
        }
    }

    /// Answers a request, or an attempt at one. That the session is gone is the first thing a client has to know.
    pub(super) async fn answer(
        &self,
        request: Result<ClientRequest, Error>,
        id: RequestId,
        mut span: Span,
    ) -> Result<ServerResult, Error> {
        let caller = self.caller.clone();
        let answer = match request {
            Ok(ClientRequest::ListTools) => {
                self.deliver(ListTools { caller, era: Era::Legacy, scope: None }).await.map(ServerResult::Tools)
            }
            Ok(ClientRequest::CallTool(call)) => {
                spans::note_tool(&mut span, &call);
                self.deliver(CallTool { caller, id, origin: self.origin(), call }).await.map(ServerResult::Call)
            }
            Ok(ClientRequest::Ping) => self.describe().await.map(|_| ServerResult::Empty),
            Ok(ClientRequest::Initialize(_)) => self.describe().await.and(Err(Error::AlreadyInitialized)),
            Err(error) => self.describe().await.and(Err(error)),
        };
        spans::end(span, &answer);
        answer
    }

    /// Finds out whether a request would be refused as such, which can't be said any more once its stream has begun: clients
    /// would take the error for an answer that broke off.
    pub(super) async fn check_refusal(&self, request: Result<&ClientRequest, &Error>) -> Result<(), Error> {
        let Profile { scope, .. } = self.describe().await?;
        match request {
            Err(error) => Err(error.clone()),
            Ok(ClientRequest::Initialize(_)) => Err(Error::AlreadyInitialized),
            Ok(ClientRequest::CallTool(call)) if mode::builtin(scope.mode, &call.name).is_none() => {
                let (caller, name) = (self.caller.clone(), call.name.clone());
                self.deliver(FindTool { caller, scope, name }).await.map(|_| ()).inspect_err(|error| {
                    self.worker.tools.audit(self.origin(), &self.caller, call).refuse(error);
                })
            }
            Ok(_) => Ok(()),
        }
    }

    /// Lets what comes of a request go on a stream of the session, where it can be resumed. A connection that is lost does not
    /// end the request (MCP 2025-11-25, basic/transports § Sending Messages to the Server).
    pub(super) async fn relay(self, mut running: Running) -> Result<HttpResponse, Error> {
        let request = running.id().clone();
        let (stream, events) = self.deliver(OpenReply { request: request.clone() }).await?;
        let response = reply::resumable(events, &self.worker.settings.tuning);
        let (sessions, session, caller) = (self.worker.sessions.clone(), self.session, self.caller.clone());
        let end = SendOnStream { stream, request: request.clone(), message: None };
        // A stream without an end would keep the session in memory, and the server from stopping.
        let end = scopeguard::guard(end, move |end| sessions.tell(session, &caller, end));
        actix_web::rt::spawn(async move {
            while let Some(message) = running.next().await {
                // A session that is gone has nobody to tell.
                if self
                    .deliver(SendOnStream { stream, request: request.clone(), message: Some(message) })
                    .await
                    .is_err()
                {
                    break;
                }
            }
            drop(end);
        });
        Ok(response)
    }

    /// Takes a notification in its session.
    pub(super) async fn notify(&self, notification: &Notification) -> Result<(), Error> {
        match ClientNotification::read(notification) {
            ClientNotification::Cancelled(id) => self.deliver(Cancel { id, is_here: false }).await,
            ClientNotification::Other => self.describe().await.map(|_| ()),
        }
    }

    /// Answers a message of a batch; what needs no answer gets none.
    pub(super) async fn answer_item(&self, message: Result<Message, Unusable>) -> Option<Vec<Bytes>> {
        match message {
            Ok(Message::Request(request)) => {
                let id = request.id.clone();
                let (request, read) = match read_params(&self.worker, request, ClientRequest::read).await {
                    Ok((request, Ok(ClientRequest::Initialize(_)))) => {
                        let why = "initialize must not be part of a batch".to_owned();
                        (request, Err(Error::InvalidRequest(why)))
                    }
                    Ok(read) => read,
                    Err(error) => return response_to(&id, Err(error)),
                };
                let (this, span) = self.clone().traced(&request);
                drop(request);
                let answer = this.answer(read, id.clone(), span).await;
                response_to(&id, answer)
            }
            Ok(Message::Notification(notification)) => {
                // Whether it could be passed on is nothing a notification is told.
                let _ = self.notify(&notification).await;
                None
            }
            Ok(Message::Response) => None,
            Err(Unusable { id, error }) => {
                Some(vec![jsonrpc::error_response(id.as_ref(), &ErrorObject::of(&error, Era::Legacy))])
            }
        }
    }
}

/// Returns what a model should know, by the tools as they are known. A load is not waited for: a client that is the first to
/// ask learns the rest by a list or a call.
pub(super) async fn instructions(worker: &Worker, caller: &Caller, scope: &Scope) -> Instructions {
    let known = worker.tools.known_catalog(caller, scope).await.ok().flatten();
    instructions::instructions(scope, known.as_deref())
}

/// Sees to it that a session may send batches.
pub(super) fn require_batches(profile: &Profile) -> Result<(), Error> {
    match profile.revision {
        Some(revision) if revision.accepts_batches() => Ok(()),
        _ => Err(Error::InvalidRequest(format!("batches are part of revision {} alone", Revision::V2025_03_26))),
    }
}

/// Under which token a client wants to hear of a request's progress.
pub(super) fn progress_token(request: &Result<ClientRequest, Error>) -> Option<RequestId> {
    match request {
        Ok(ClientRequest::CallTool(call)) => call.progress_token.clone(),
        _ => None,
    }
}

/// Returns the response to a request; none where the client has cancelled it.
pub(super) fn response_to(id: &RequestId, answer: Result<ServerResult, Error>) -> Option<Vec<Bytes>> {
    match answer {
        Ok(answer) => Some(into_bytes(jsonrpc::result_response(id, answer.into_chunks()))),
        Err(Error::Cancelled) => None,
        Err(error) => Some(vec![jsonrpc::error_response(Some(id), &ErrorObject::of(&error, Era::Legacy))]),
    }
}
