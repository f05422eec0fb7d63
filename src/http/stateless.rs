//! Revision 2026-07-28: each request stands alone (MCP 2026-07-28, basic/transports/streamable-http).
//!
//! A request with `x-chat-id` names state: the chat's session, which holds what was enabled. One without is served with no
//! state at all. A call runs here, in its own request, so that a client that closes the connection cancels it.

use std::time::Duration;

use actix_web::{HttpResponse, http::header::HeaderValue};
use actix_web_lab::sse;
use futures_util::{Stream, StreamExt, stream};

use super::{
    access_log, base, headers,
    in_session::instructions,
    param_headers,
    posted::{Post, read_params},
    reply,
    respond::{ResponseMode, pending, respond},
    spans,
};
use crate::{
    error::Error,
    http::error::HttpError,
    ids::SessionId,
    protocol::{
        answer::{ServerResult, ToolList},
        elicitation::ClientCapabilities,
        jsonrpc::{Request, RequestId},
        modern::{self, LASTING_TTL_MS},
        modern_request::{Envelope, Filter, ModernRequest},
        request::CallTool,
        revision::{Era, Revision},
    },
    session::{
        messages::{BeginCall, Enable, Event, ListTools, Listen, Subscribe},
        profile::Profile,
        queue,
    },
    tools::{AskBy, Enabled, Origin, Outcome, ReadyCall, View},
};

/// Answers a request of the modern era.
pub(super) async fn answer(mut post: Post, message: Request) -> Result<HttpResponse, HttpError> {
    let (message, parsed) = read_params(&post.worker, message, ModernRequest::parse).await?;
    let (envelope, request) = parsed?;
    headers::require_agreement(&post.http, &headers::PROTOCOL_VERSION, &envelope.version, false)?;
    envelope.require_modern()?;
    headers::require_agreement(&post.http, &headers::METHOD, &message.method, false)?;
    if let Some(name) = &envelope.subject {
        headers::require_agreement(&post.http, &headers::NAME, name, true)?;
    }
    let request = request?;
    let Envelope { capabilities, trace, .. } = envelope;
    let mut span = spans::of_method(&message.method, trace, None);
    post.caller = post.caller.within(span.context());
    let id = message.into_id();
    match request {
        ModernRequest::Listen(_) if !post.accepts.events => Err(HttpError::NotAcceptable("text/event-stream")),
        ModernRequest::Listen(filter) => {
            let permit = post.caller.user_limits().stream().await?;
            let events = permit.hold(subscription(id, filter, listen(&post).await?));
            Ok(reply::events(events, post.worker.settings.tuning.stream_keep_alive))
        }
        ModernRequest::CallTool(call) => {
            let response_mode = ResponseMode::of_call(&post, Era::Modern, call.progress_token.clone());
            // What refuses a call has a status of its own, so it must be known before a stream begins.
            let session = chat_session(&post).await?;
            spans::note_session(&mut span, session);
            spans::note_tool(&mut span, &call);
            let call = prepare(&post, session, call, capabilities).await?;
            let result = async move {
                let answer = run(&post, session, call).await;
                spans::end(span, &answer);
                Ok(modern::result(answer?, 0))
            };
            Ok(respond(id, pending(result), response_mode).await?.into_response())
        }
        ModernRequest::ListTools => {
            let response_mode = ResponseMode::of_other(&post, Era::Modern);
            let result = async move {
                let listed = async {
                    let session = chat_session(&post).await?;
                    spans::note_session(&mut span, session);
                    list_tools(&post, session).await
                };
                let (answer, ttl_ms) =
                    listed.await.map_or_else(|e| (Err(e), 0), |(list, ttl)| (Ok(ServerResult::Tools(list)), ttl));
                spans::end(span, &answer);
                Ok(modern::result(answer?, ttl_ms))
            };
            Ok(respond(id, pending(result), response_mode).await?.into_response())
        }
        ModernRequest::Discover => {
            let response_mode = ResponseMode::of_other(&post, Era::Modern);
            let result = async move {
                let told = instructions(&post.worker, &post.caller, &post.scope).await;
                let settings = &post.worker.settings;
                let ttl = if told.is_partial { settings.tuning.catalog_negative } else { settings.catalog.fresh };
                let personal_ttl_ms = told.is_personal.then(|| millis(ttl));
                Ok(modern::discover(&told.text, personal_ttl_ms))
            };
            Ok(respond(id, pending(result), response_mode).await?.into_response())
        }
    }
}

/// Returns the session of the request's chat, if it names one.
async fn chat_session(post: &Post) -> Result<Option<SessionId>, Error> {
    let Some(chat) = post.chat.clone() else { return Ok(None) };
    // Should a client of the legacy era go on with the chat, it does so in the newest revision of that.
    let revision = Some(Revision::LATEST);
    let profile = Profile { revision, client: None, opens_pages: false, scope: post.scope.clone() };
    let entered = async {
        let session = post.worker.chats.enter(&post.caller, chat, profile).await?;
        post.worker.sessions.refresh(session, post.caller.user()).await?;
        Ok(session)
    };
    let session = match entered.await {
        // Without anything to enable there is nothing to know of the chat.
        Err(Error::StoreUnavailable) if !post.scope.mode.lists_enabled() => None,
        entered => Some(entered?),
    };
    access_log::note(&post.http, |line| line.session = session);
    Ok(session)
}

/// Returns the tools, and for how many milliseconds the list may be kept.
async fn list_tools(post: &Post, session: Option<SessionId>) -> Result<(ToolList, u64), Error> {
    let (worker, scope) = (&post.worker, &post.scope);
    let list = if let Some(session) = session {
        let list = ListTools { caller: post.caller.clone(), era: Era::Modern, scope: Some(scope.clone()) };
        worker.sessions.deliver(session, &post.caller, None, list).await?
    } else {
        worker.tools.list(stateless_view(post), Era::Modern).get().await?
    };
    let settings = &worker.settings;
    let ttl_ms = match scope.mode {
        // What a session enables next changes its list at once.
        mode if mode.lists_enabled() && session.is_some() => 0,
        // What is missing is looked for again after this time.
        _ if list.is_partial() => millis(settings.tuning.catalog_negative),
        // Without state nothing can be enabled, so this list never changes.
        mode if mode.lists_enabled() => LASTING_TTL_MS,
        _ => millis(settings.catalog.fresh),
    };
    Ok((list, ttl_ms))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the view of a request that names no chat.
fn stateless_view(post: &Post) -> View {
    View { caller: post.caller.clone(), scope: post.scope.clone(), enabled: Enabled::Stateless }
}

/// Prepares a call, in the session of its chat if it has one, and checks that the headers say what its arguments say.
async fn prepare(
    post: &Post,
    session: Option<SessionId>,
    call: CallTool,
    capabilities: ClientCapabilities,
) -> Result<ReadyCall, HttpError> {
    let origin = Origin {
        chat: post.chat.clone(),
        session,
        request: access_log::tag_of(&post.http),
        site: base::of(&post.http, &post.worker).into(),
        ask_by: if capabilities.opens_pages { AskBy::Result } else { AskBy::Text },
    };
    let mut ready = if let Some(session) = session {
        let (caller, scope) = (post.caller.clone(), post.scope.clone());
        post.worker.sessions.deliver(session, &post.caller, None, BeginCall { caller, scope, origin, call }).await?
    } else {
        let limit = post.caller.user_limits().calls_at_once();
        post.worker.tools.prepare(stateless_view(post), limit, origin, call).get().await?
    };
    let sent = |name: &str| post.http.headers().get_all(name).map(HeaderValue::as_bytes).collect::<Vec<_>>();
    ready.check_headers(|headers, arguments| param_headers::check(headers, arguments, sent))?;
    Ok(ready)
}

/// Runs a call here, in its own request. What it enables goes into the session of the chat; without one, into the result.
async fn run(post: &Post, session: Option<SessionId>, call: ReadyCall) -> Result<ServerResult, Error> {
    match (post.worker.tools.run(call, Era::Modern).await?, session) {
        (Outcome::Result(result), _) => Ok(ServerResult::Call(result)),
        (Outcome::Ask(asked), _) => Ok(ServerResult::InputRequired(asked)),
        (Outcome::Enable(selection), None) => Ok(ServerResult::Call(selection.result_with_definitions())),
        (Outcome::Enable(selection), Some(session)) => {
            let result = selection.result();
            let enable = Enable { tools: selection.tools, over: None };
            post.worker.sessions.deliver(session, &post.caller, None, enable).await?;
            Ok(ServerResult::Call(result))
        }
    }
}

/// Opens the stream behind `subscriptions/listen`: that of the chat, or one that tells what concerns everybody.
async fn listen(post: &Post) -> Result<queue::Receiver<Event>, Error> {
    let worker = &post.worker;
    if let Some(session) = chat_session(post).await? {
        return worker.sessions.deliver(session, &post.caller, None, Subscribe).await;
    }
    let (user, scope) = (post.caller.user().clone(), post.scope.clone());
    let listen = Listen { user, token: post.caller.token().into(), scope };
    worker.sessions.listen(worker.number, listen).await
}

/// Returns the messages of a subscription: what will be told, what is told, and the end where that is ours (MCP
/// 2026-07-28, basic/patterns/subscriptions).
fn subscription(id: RequestId, filter: Filter, events: queue::Receiver<Event>) -> impl Stream<Item = sse::Event> {
    let acknowledged = reply::message(&[modern::acknowledged(&id, filter)]);
    let told = stream::unfold(Some((id, events)), move |state| async move {
        let (id, mut events) = state?;
        loop {
            match events.next().await {
                Some(Event::ToolsChanged) if filter.tools_list_changed => {
                    return Some((reply::message(&[modern::tools_changed(&id)]), Some((id, events))));
                }
                Some(_) => {}
                None => return Some((reply::message(&[modern::subscription_ended(&id)]), None)),
            }
        }
    });
    stream::iter([acknowledged]).chain(told)
}
