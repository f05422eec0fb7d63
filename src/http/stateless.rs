//! Revision 2026-07-28: each request stands alone (MCP 2026-07-28, basic/transports/streamable-http).
//!
//! A request with `x-chat-id` names state: the chat's session, which holds what was enabled. One without is served with no
//! state at all. A call runs here, in its own request, so that a client that closes the connection cancels it.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, http::header::HeaderValue};
use actix_web_lab::sse;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    access_log::{self, RequestTag},
    audit::{Audit, Origin},
    headers,
    post::Post,
    reply,
    respond::{Manner, respond},
    spans,
};
use crate::{
    allowance::RunningCall,
    error::Error,
    ids::{SessionId, ToolName},
    membrane::{FindTools, Tool},
    protocol::{
        answer::{Answer, ToolList},
        json,
        jsonrpc::{Request, RequestId},
        modern::{self, Envelope, Filter, LASTING_TTL_MS, ModernRequest},
        param_headers,
        request::CallTool,
        revision::{Era, Revision},
        tools::{CallToolResult, ToolMode, enable_tools_definition},
    },
    session::{
        enable,
        messages::{BeginCall, EnableTools, Event, ListTools, Listen, Subscribe},
        profile::Profile,
        queue,
        toolbox::no_such_tool,
    },
};

/// Answers a request of the modern era.
pub(super) async fn answer(mut post: Post, message: Request) -> Result<HttpResponse, Error> {
    let envelope = Envelope::read(message.params.as_deref())?;
    headers::require_agreement(&post.http, &headers::PROTOCOL_VERSION, &envelope.version, false)?;
    envelope.require_modern()?;
    headers::require_agreement(&post.http, &headers::METHOD, &message.method, false)?;
    if let Some(name) = subject(&message) {
        headers::require_agreement(&post.http, &headers::NAME, &name, true)?;
    }
    let request = ModernRequest::read(&message)?;
    let mut span = spans::of_message(&message, None);
    post.caller = post.caller.within(span.context());
    match request {
        ModernRequest::Listen(_) if !post.accepts.events => Err(Error::NotAcceptable("text/event-stream")),
        ModernRequest::Listen(filter) => {
            let permit = post.caller.allowance().stream()?;
            let events = permit.hold(subscription(message.id, filter, listen(&post).await?));
            Ok(reply::events(events, post.worker.settings.streams.keep_alive))
        }
        ModernRequest::CallTool(call) => {
            let manner = Manner::of(&post, Era::Modern, call.progress_token.clone());
            // What refuses a call has a status of its own, so it must be known before a stream begins.
            let session = chat_session(&post).await?;
            spans::note_session(&mut span, session);
            spans::note_tool(&mut span, &call);
            let mut audit = Audit::begin(origin(&post, session), &call, &post.worker.settings.log);
            let call = ReadyCall::of(&post, session, call).await.inspect_err(|error| audit.refuse(error))?;
            let result = async move {
                let result = call.run(&post).await;
                audit.end(&result);
                let answer = result.map(Answer::Call);
                spans::end(span, &answer);
                Ok(modern::result(answer?, 0))
            };
            Ok(respond(message.id, result, manner).await?.into_response())
        }
        ModernRequest::ListTools => {
            let manner = Manner::of(&post, Era::Modern, None);
            let result = async move {
                let listed = async {
                    let session = chat_session(&post).await?;
                    spans::note_session(&mut span, session);
                    list_tools(&post, session).await
                };
                let (answer, ttl_ms) =
                    listed.await.map_or_else(|e| (Err(e), 0), |(list, ttl)| (Ok(Answer::Tools(list)), ttl));
                spans::end(span, &answer);
                Ok(modern::result(answer?, ttl_ms))
            };
            Ok(respond(message.id, result, manner).await?.into_response())
        }
        ModernRequest::Discover => {
            let manner = Manner::of(&post, Era::Modern, None);
            let result = async move { Ok(modern::discover(post.scope.mode)) };
            Ok(respond(message.id, result, manner).await?.into_response())
        }
    }
}

/// Returns the value that `Mcp-Name` has to repeat: the name or URI that the request is about.
fn subject(request: &Request) -> Option<String> {
    #[derive(Deserialize)]
    struct Params {
        name: Option<String>,
        uri: Option<String>,
    }
    let subject = match request.method.as_str() {
        "tools/call" | "prompts/get" => |params: Params| params.name,
        "resources/read" => |params: Params| params.uri,
        _ => return None,
    };
    json::read(request.params.as_deref()?).ok().and_then(subject)
}

/// Returns the session of the request's chat, if it names one.
async fn chat_session(post: &Post) -> Result<Option<SessionId>, Error> {
    let Some(chat) = post.chat.clone() else { return Ok(None) };
    // Should a client of the legacy era go on with the chat, it does so in the newest revision of that.
    let profile = Profile { revision: Some(Revision::LATEST), client: None, scope: post.scope.clone() };
    let entered = async {
        let session = post.worker.shards.enter_chat(&post.caller, chat, profile).await?;
        post.worker.shards.catch_up(session, post.caller.user()).await?;
        Ok(session)
    };
    let session = match entered.await {
        // Without anything to enable there is nothing to know of the chat.
        Err(Error::StoreUnavailable) if post.scope.mode == ToolMode::Static => None,
        entered => Some(entered?),
    };
    access_log::note(&post.http, |line| line.session = session);
    Ok(session)
}

fn origin(post: &Post, session: Option<SessionId>) -> Origin {
    let (user, chat) = (post.caller.user().clone(), post.chat.clone());
    Origin { user, chat, session, request: RequestTag::given(&post.http) }
}

/// Returns the tools, and for how many milliseconds the list may be kept.
async fn list_tools(post: &Post, session: Option<SessionId>) -> Result<(ToolList, u64), Error> {
    let (shards, caller, scope) = (&post.worker.shards, post.caller.clone(), post.scope.clone());
    let settings = &post.worker.settings.catalog;
    let ttl_ms = |list: &ToolList| match scope.mode {
        // What is missing is looked for again after this time.
        ToolMode::Static if list.is_partial() => millis(settings.negative),
        ToolMode::Static => millis(settings.fresh),
        ToolMode::Dynamic => 0,
    };
    if let Some(session) = session {
        let list = ListTools { caller, era: Era::Modern, scope: Some(scope.clone()) };
        let list = shards.deliver(session, &post.caller, None, list).await?;
        let ttl_ms = ttl_ms(&list);
        return Ok((list, ttl_ms));
    }
    match scope.mode {
        ToolMode::Static => {
            let catalog = shards.catalog(&post.worker.local, &caller, &scope.apps).await?;
            let list = catalog.list(Era::Modern);
            let ttl_ms = ttl_ms(&list);
            Ok((list, ttl_ms))
        }
        // Without state nothing can be enabled, so this list never changes.
        ToolMode::Dynamic => Ok((ToolList::of(enable_tools_definition()), LASTING_TTL_MS)),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A call that nothing speaks against.
enum ReadyCall {
    /// Of `enable-tools`, in the session of its chat if it has one.
    Enable { session: Option<SessionId>, arguments: Box<RawValue> },
    /// Runs a tool of the user.
    Run { tool: Arc<Tool>, arguments: Box<RawValue>, running: RunningCall },
}

impl ReadyCall {
    /// Finds the tool, and sees to it that the headers say what its arguments say.
    async fn of(
        post: &Post,
        session: Option<SessionId>,
        CallTool { name, arguments, .. }: CallTool,
    ) -> Result<Self, Error> {
        if post.scope.mode.enables_by(&name) {
            return Ok(Self::Enable { session, arguments });
        }
        let (tool, running) = if let Some(session) = session {
            let begin = BeginCall { caller: post.caller.clone(), scope: post.scope.clone(), name };
            post.worker.shards.deliver(session, &post.caller, None, begin).await?
        } else {
            let running = post.caller.allowance().begin_call()?;
            (find_tool(post, name).await?, running)
        };
        if !tool.headers().is_empty() {
            let told = param_headers::pick(tool.headers(), &arguments);
            let told = told.map_err(|error| Error::InvalidParams(error.to_string()))?;
            let header = |name: &str| post.http.headers().get_all(name).map(HeaderValue::as_bytes).collect::<Vec<_>>();
            param_headers::check(tool.headers(), &told, header)?;
        }
        Ok(Self::Run { tool, arguments, running })
    }

    async fn run(self, post: &Post) -> Result<CallToolResult, Error> {
        let (worker, caller, apps) = (&post.worker, &post.caller, &post.scope.apps);
        if let Err(wait_s) = caller.allowance().call() {
            return Ok(CallToolResult::too_many(wait_s));
        }
        match self {
            Self::Enable { session: Some(session), arguments } => {
                let enable = EnableTools { caller: caller.clone(), apps: apps.clone(), arguments };
                worker.shards.deliver(session, caller, None, enable).await
            }
            Self::Enable { session: None, arguments } => {
                let _running = caller.allowance().begin_call()?;
                match enable::read_names(&arguments) {
                    Ok(names) => Ok(enable::select(&worker.shards, &worker.local, caller, apps, names)
                        .await?
                        .result_with_definitions()),
                    Err(result) => Ok(result),
                }
            }
            Self::Run { tool, arguments, running } => {
                let _running = running;
                Ok(worker.shards.call(&worker.local.client, caller, &tool, arguments, Era::Modern).await)
            }
        }
    }
}

/// Returns the tool of that name, for a request without a chat: in dynamic mode any that could be enabled.
async fn find_tool(post: &Post, name: ToolName) -> Result<Arc<Tool>, Error> {
    let (shards, caller, scope) = (&post.worker.shards, &post.caller, &post.scope);
    let catalog = shards.catalog(&post.worker.local, caller, &scope.apps).await?;
    if let Some(tool) = catalog.find(&name) {
        return Ok(Arc::clone(tool));
    }
    if scope.mode == ToolMode::Static {
        return Err(no_such_tool(&catalog, name, None));
    }
    let (apps, names) = (scope.apps.clone(), vec![name.clone()]);
    let find = FindTools { caller: caller.clone(), apps, catalog: Arc::clone(&catalog), names };
    let mut found = shards.find_tools(find).await?;
    found.remove(&name).ok_or_else(|| no_such_tool(&catalog, name, None))
}

/// Opens the stream behind `subscriptions/listen`: that of the chat, or one that tells what concerns everybody.
async fn listen(post: &Post) -> Result<queue::Receiver<Event>, Error> {
    let worker = &post.worker;
    if let Some(session) = chat_session(post).await? {
        return worker.shards.deliver(session, &post.caller, None, Subscribe).await;
    }
    let (user, scope) = (post.caller.user().clone(), post.scope.clone());
    let listen = Listen { user, token: post.caller.token().into(), scope };
    worker.shards.listen(worker.local.number, listen).await
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
