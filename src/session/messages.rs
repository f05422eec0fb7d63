//! Every message that registries and sessions take.

use std::{collections::BTreeMap, sync::Arc};

use actix::Message;
use bytes::Bytes;

use crate::{
    error::Error,
    ids::{ChatId, SessionId, ToolName, UserKey},
    membrane::{Caller, CatalogChanged, Tool},
    protocol::{
        answer::ToolList,
        jsonrpc::RequestId,
        lifecycle::ClientInfo,
        request,
        revision::{Era, Revision},
        tools::CallToolResult,
    },
    session::{
        event_log::{EventName, Logged, StreamId},
        profile::Profile,
        queue::{self, ByteSize},
        token_end::ShownToken,
    },
    store::ReplicaEvent,
    tools::{EnabledTools, Origin, ReadyCall, Scope},
    user_limits::Permit,
};

/// To a registry: opens a session on its shard.
#[derive(Debug, Message)]
#[rtype(result = "Result<SessionId, Error>")]
pub struct OpenSession {
    /// User that the session will belong to.
    pub user: UserKey,
    /// Permit that counts the session among the user's.
    pub permit: Permit,
    /// Revision, client and scope of the session.
    pub profile: Profile,
    /// The chat it serves from now on, in place of the session that did.
    pub chat: Option<ChatId>,
}

/// To the registry of a session's shard: passes a message on to the session, if it is `user`'s. Counts as use.
#[derive(Debug)]
pub struct Deliver<M> {
    /// Session that the message is for.
    pub session: SessionId,
    /// User who sends it, and must own the session.
    pub user: UserKey,
    /// With which token; none where this server itself asks.
    pub token: Option<ShownToken>,
    /// The chat that the request names.
    pub chat: Option<ChatId>,
    /// Message for the session.
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
    /// Session that is to end.
    pub session: SessionId,
    /// User who ends it, and must own it.
    pub user: UserKey,
}

/// To a registry: why a session has not answered a message.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Error")]
pub struct WhyUnanswered {
    /// Session whose message was not answered.
    pub session: SessionId,
    /// User who asks, and must own the session.
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
    /// Session that is to come back from the store.
    pub session: SessionId,
    /// User that the session must belong to.
    pub user: UserKey,
}

/// To a registry: opens a stream of notifications for a client that has no session.
#[derive(Debug, Clone, Message)]
#[rtype(result = "queue::Receiver<Event>")]
pub struct Listen {
    /// User whose tools the stream is about.
    pub user: UserKey,
    /// The token that it is opened with.
    pub token: ShownToken,
    /// Tools that the stream is about.
    pub scope: Scope,
}

/// To registries and sessions: a user's tools have changed. Sessions whose list differs by that tell their clients.
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
    /// Revision that was negotiated.
    pub revision: Revision,
    /// Name and version of the client, as it introduced itself.
    pub client: Option<ClientInfo>,
    /// Whether the client asks its user to open pages.
    pub opens_pages: bool,
}

/// To a session: lists its tools.
#[derive(Debug, Message)]
#[rtype(result = "Result<ToolList, Error>")]
pub struct ListTools {
    /// User who asks, with today's token.
    pub caller: Caller,
    /// Era of the request, by which definitions differ.
    pub era: Era,
    /// Which tools the request sees, where it says so itself.
    pub scope: Option<Scope>,
}

/// To a session: calls a tool.
#[derive(Debug, Message)]
#[rtype(result = "Result<CallToolResult, Error>")]
pub struct CallTool {
    /// User who calls, with today's token.
    pub caller: Caller,
    /// The request, by which it can be cancelled.
    pub id: RequestId,
    /// HTTP request that brings the call, for the audit line.
    pub origin: Origin,
    /// Tool to call, with its arguments.
    pub call: request::CallTool,
}

/// To a session: the tool of that name, if it may be called.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arc<Tool>, Error>")]
pub struct FindTool {
    /// User who asks, with today's token.
    pub caller: Caller,
    /// Tools that the request sees.
    pub scope: Scope,
    /// Name of the tool, as the client wrote it.
    pub name: ToolName,
}

/// To a session: prepares a call that will run outside of the session, in its own request.
#[derive(Debug, Message)]
#[rtype(result = "Result<ReadyCall, Error>")]
pub struct BeginCall {
    /// User who calls, with today's token.
    pub caller: Caller,
    /// Tools that the request sees.
    pub scope: Scope,
    /// HTTP request that brings the call, for the audit line.
    pub origin: Origin,
    /// Tool to call, with its arguments.
    pub call: request::CallTool,
}

/// To a session: the client no longer wants the answer to a request.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Cancel {
    /// Id of the request to cancel.
    pub id: RequestId,
    /// True where another server asks, so that it is not asked in turn.
    pub is_here: bool,
}

/// To a session: catches up with the store, where another replica may have changed it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Refresh;

/// To a session: another replica may have changed it. It catches up where a client listens.
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
pub struct OnReplicaEvent(pub ReplicaEvent);

/// To a session: opens its stream of notifications. One that was open ends.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<queue::Receiver<Logged>, Error>")]
pub struct OpenStream {
    /// Goes on after this event, on its stream, whichever that is.
    pub after: Option<EventName>,
}

/// To a session: opens a stream for the answer to a POST.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(StreamId, queue::Receiver<Logged>), Error>")]
pub struct OpenReply {
    /// Request that the stream answers.
    pub request: RequestId,
}

/// To a session: sends a message on the stream of a POST.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct SendOnStream {
    /// Stream that the message goes on.
    pub stream: StreamId,
    /// Request that the stream answers.
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

/// To a session: a POST was taken whose answer goes on its HTTP+SSE stream.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Expect;

/// To a session: a POST that it was told to expect is answered.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Answered;

/// To a session: sends a message on its HTTP+SSE stream.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Push(pub Vec<Bytes>);

/// Event on the stream of an HTTP+SSE session or a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Change of the list of tools.
    ToolsChanged,
    /// Message, in pieces that are shared.
    Message(Vec<Bytes>),
}

impl ByteSize for Event {
    fn bytes(&self) -> usize {
        match self {
            Self::ToolsChanged => 0,
            Self::Message(chunks) => chunks.iter().map(Bytes::len).sum(),
        }
    }
}

/// To a session: another takes its chat over. Answers with the state that moves.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<ChatState, Error>")]
pub struct ReleaseChat;

/// To a session that takes a chat over: the state that moves into it.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct AdoptChat(pub ChatState);

/// State of a chat that moves into another session.
#[derive(Debug)]
pub struct ChatState {
    /// Tools that are enabled; none from a session in static mode.
    pub enabled: Option<EnabledTools>,
    /// Streams that want to be told of changes.
    pub subscribers: Vec<queue::Sender<Event>>,
}

/// To a session: these tools are enabled now, instead of those before. Answered once that is kept.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Enable {
    /// Tools that are enabled from now on.
    pub tools: EnabledTools,
    /// Version that the session must still have for anything to be done.
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

/// To a registry: says how much it holds.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "RegistryLoad")]
pub struct CheckHealth;

/// Number of sessions that a registry holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct RegistryLoad {
    /// Sessions that are in memory.
    pub sessions: usize,
    /// Sessions in memory that the store has as well.
    pub kept: usize,
}
