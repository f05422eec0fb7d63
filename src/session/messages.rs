//! Every message that registries and sessions take.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use actix::Message;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    allowance::{Permit, RunningCall},
    error::Error,
    ids::{ChatId, SessionId, ToolName, UserKey},
    membrane::{Apps, Caller, CatalogChanged, Tool},
    protocol::{
        answer::ToolList,
        jsonrpc::RequestId,
        lifecycle::ClientInfo,
        request,
        revision::{Era, Revision},
        tools::{CallToolResult, ToolMode},
    },
    session::{
        event_log::{EventId, Logged, StreamId},
        queue::{self, Weigh},
        token_end::ShownToken,
        toolbox::Toolbox,
    },
    store::{EnabledTool, News, SessionRecord, record::SessionState},
};

/// To a registry: opens a session on its shard.
#[derive(Debug, Message)]
#[rtype(result = "Result<SessionId, Error>")]
pub struct OpenSession {
    /// Whose it is to be.
    pub user: UserKey,
    /// Permit that counts the session among the user's.
    pub permit: Permit,
    /// What it is to be like.
    pub profile: Profile,
    /// The chat it serves from now on, in place of the session that did.
    pub chat: Option<ChatId>,
}

/// What is settled when a session opens.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The revision that was negotiated; over HTTP+SSE the stream opens the session before that.
    pub revision: Option<Revision>,
    /// What the client calls itself.
    pub client: Option<ClientInfo>,
    /// Which tools it sees.
    pub scope: Scope,
}

impl Profile {
    /// What to keep of a session like this that is new.
    #[must_use]
    pub fn record(&self, owner: UserKey, opened: SystemTime, tools: Vec<EnabledTool>) -> SessionRecord {
        let state = SessionState {
            revision: self.revision,
            client: self.client.clone(),
            mode: self.scope.mode,
            apps: self.scope.apps.keys().cloned(),
            tools,
            home: None,
        };
        SessionRecord { owner, opened, version: 0, state }
    }

    /// What was settled when a session opened that was kept since.
    #[must_use]
    pub fn of(state: &SessionState) -> Self {
        Self {
            revision: state.revision,
            client: state.client.clone(),
            scope: Scope { mode: state.mode, apps: Apps::of(state.apps.clone()) },
        }
    }
}

/// Which tools a request or session sees.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whether tools must be enabled first.
    pub mode: ToolMode,
    /// The integrations it is confined to.
    pub apps: Apps,
}

/// To the registry of a session's shard: passes a message on to the session, if it is `user`'s. Counts as use.
#[derive(Debug)]
pub struct Deliver<M> {
    /// The session.
    pub session: SessionId,
    /// Who asks.
    pub user: UserKey,
    /// With which token; none where this server itself asks.
    pub token: Option<ShownToken>,
    /// The chat that the request names.
    pub chat: Option<ChatId>,
    /// What for.
    pub message: M,
}

impl<M, T> Message for Deliver<M>
where
    M: Message<Result = Result<T, Error>>,
    T: 'static,
{
    type Result = Result<T, Error>;
}

/// To the registry of a session's shard: ends the session, if it is `user`'s.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct CloseSession {
    /// The session.
    pub session: SessionId,
    /// Who asks.
    pub user: UserKey,
}

/// To a registry: why a session has not answered a message.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Error")]
pub struct WhyUnanswered {
    /// The session.
    pub session: SessionId,
    /// Who asks.
    pub user: UserKey,
}

/// To a session: the token that its streams are listened to with is no longer good.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct CloseStreams;

/// To a registry: a session that is kept has to be here.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Revive {
    /// The session.
    pub session: SessionId,
    /// Whose it must be.
    pub user: UserKey,
}

/// To a registry: opens a stream of notifications for a client that has no session.
#[derive(Debug, Clone, Message)]
#[rtype(result = "queue::Receiver<Event>")]
pub struct Listen {
    /// Whose tools it is about.
    pub user: UserKey,
    /// The token that it is opened with.
    pub token: ShownToken,
    /// Which of them.
    pub scope: Scope,
}

/// To registries and sessions: what a user's tools were and are. Sessions to which that makes a difference tell their
/// clients.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ToolsChanged(pub Arc<CatalogChanged>);

/// To a registry: the server stops. Streams on which nothing is awaited end at once; answered when nothing is in flight.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Drain;

/// To a session: what was settled when it opened.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Profile, Error>")]
pub struct Describe;

/// To a session that its stream opened: the client has introduced itself. Once.
#[derive(Debug, Message)]
#[rtype(result = "Result<Profile, Error>")]
pub struct Introduce {
    /// The revision that was negotiated.
    pub revision: Revision,
    /// What the client calls itself.
    pub client: Option<ClientInfo>,
}

/// To a session: its tools.
#[derive(Debug, Message)]
#[rtype(result = "Result<ToolList, Error>")]
pub struct ListTools {
    /// Who asks, with today's token.
    pub caller: Caller,
    /// In which era.
    pub era: Era,
    /// Which tools the request sees, where it says so itself.
    pub scope: Option<Scope>,
}

/// To a session: calls a tool.
#[derive(Debug, Message)]
#[rtype(result = "Result<CallToolResult, Error>")]
pub struct CallTool {
    /// Who calls, with today's token.
    pub caller: Caller,
    /// The request, by which it can be cancelled.
    pub id: RequestId,
    /// Which tool, with what.
    pub call: request::CallTool,
}

/// To a session: the tool of that name, if it may be called.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arc<Tool>, Error>")]
pub struct FindTool {
    /// Who asks.
    pub caller: Caller,
    /// Which tools the request sees.
    pub scope: Scope,
    /// The tool's name.
    pub name: ToolName,
}

/// To a session: the same for a call that begins now, outside of the session. Gives what counts the call as running.
#[derive(Debug, Message)]
#[rtype(result = "Result<(Arc<Tool>, RunningCall), Error>")]
pub struct BeginCall {
    /// Who calls.
    pub caller: Caller,
    /// Which tools the request sees.
    pub scope: Scope,
    /// The tool's name.
    pub name: ToolName,
}

/// To a session: enables tools, as `enable-tools` does.
#[derive(Debug, Message)]
#[rtype(result = "Result<CallToolResult, Error>")]
pub struct EnableTools {
    /// Who asks.
    pub caller: Caller,
    /// The apps that the request is confined to.
    pub apps: Apps,
    /// The tool's arguments.
    pub arguments: Box<RawValue>,
}

/// To a session: the client no longer wants the answer to a request.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Cancel {
    /// The request.
    pub id: RequestId,
    /// It runs here or not at all: another server has asked.
    pub is_here: bool,
}

/// To a session: it has to be what the store has, which another server may have changed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct CatchUp;

/// To a session: another server may have changed it, of which those who listen here have to hear.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct HasChanged;

/// To a session: its client listens to its own stream at another server now.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ListensElsewhere;

/// To a registry: what another server tells of a session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Hear(pub News);

/// To a session: opens its stream of notifications. One that was open ends.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<queue::Receiver<Logged>, Error>")]
pub struct OpenStream {
    /// Goes on after this event, on its stream, whichever that is.
    pub after: Option<EventId>,
}

/// To a session: opens a stream for the answer to a POST.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(StreamId, queue::Receiver<Logged>), Error>")]
pub struct OpenReply {
    /// The request that is answered.
    pub request: RequestId,
}

/// To a session: sends a message on the stream of a POST.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Record {
    /// The stream.
    pub stream: StreamId,
    /// The request that is answered.
    pub request: RequestId,
    /// The message; with none, the stream ends.
    pub message: Option<Vec<Bytes>>,
}

/// To a session: opens the stream of HTTP+SSE, which takes everything that is sent.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<queue::Receiver<Event>, Error>")]
pub struct OpenOutbox;

/// To a session: opens one more stream of notifications, beside any others.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<queue::Receiver<Event>, Error>")]
pub struct Subscribe;

/// To a session: something was asked whose answer goes on its HTTP+SSE stream.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Expect;

/// To a session: what was to be expected has come.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Answered;

/// To a session: sends a message on its HTTP+SSE stream.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Push(pub Vec<Bytes>);

/// What comes on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The list of tools is not what it was.
    ToolsChanged,
    /// A message, in pieces.
    Message(Vec<Bytes>),
}

impl Weigh for Event {
    fn bytes(&self) -> usize {
        match self {
            Self::ToolsChanged => 0,
            Self::Message(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }
}

/// To a session: another takes its chat over. Gives what goes along.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Estate, Error>")]
pub struct LeaveChat;

/// To a session that takes a chat over: what goes along.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Inherit(pub Estate);

/// What a chat takes along into another session.
#[derive(Debug)]
pub struct Estate {
    /// What is enabled; nothing from a session in static mode.
    pub toolbox: Option<Toolbox>,
    /// Who wants to be told of changes.
    pub subscribers: Vec<queue::Sender<Event>>,
}

/// To a session: these tools are enabled now, instead of those before. Answered once that is kept.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Enable {
    /// The tools.
    pub toolbox: Toolbox,
    /// Nothing is to be done if the session has another version by now.
    pub over: Option<u64>,
}

/// To a session: enabled tools that were looked up again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Resolved(pub BTreeMap<ToolName, Arc<Tool>>);

/// To a registry: sessions of which nothing is going on leave memory, those not used for longest first, so that there is
/// room for others. Answered when some have left, or none can.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct MakeRoom;

/// To a session: may it leave memory, because it is kept and nothing is going on?
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct MayPassivate;

/// To a session: the server stops, so streams are to end as soon as nothing is awaited on them. Answered when nothing is in
/// flight.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct WindDown;

/// To a session: it is over.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct End;
