//! Every message that registries and sessions take.

use std::collections::BTreeMap;

use actix::Message;
use tokio::sync::mpsc;

use crate::{
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    membrane::{Apps, Caller},
    protocol::{
        answer::ToolList,
        jsonrpc::RequestId,
        lifecycle::ClientInfo,
        request,
        revision::Revision,
        tools::{CallToolResult, ToolMode},
    },
    session::toolbox::Toolbox,
};

/// To a registry: opens a session on its shard.
#[derive(Debug, Message)]
#[rtype(result = "Result<SessionId, Error>")]
pub struct OpenSession {
    /// Whose it is to be.
    pub caller: Caller,
    /// What it is to be like.
    pub profile: Profile,
    /// The chat it serves from now on, in place of the session that did.
    pub chat: Option<ChatId>,
}

/// What is settled when a session opens.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The revision that was negotiated.
    pub revision: Revision,
    /// What the client calls itself.
    pub client: Option<ClientInfo>,
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
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct CloseSession {
    /// The session.
    pub session: SessionId,
    /// Who asks.
    pub user: UserKey,
}

/// To the registry of a user's shard: lets a session take a chat over. Gives the session that had it.
#[derive(Debug, Message)]
#[rtype(result = "Option<SessionId>")]
pub struct TakeChat {
    /// Whose chat.
    pub user: UserKey,
    /// Which.
    pub chat: ChatId,
    /// By which session.
    pub session: SessionId,
}

/// To the registry of a user's shard: gives a chat that has no session this one. Tells whether the session has it now.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct BindChat {
    /// Whose chat.
    pub user: UserKey,
    /// Which.
    pub chat: ChatId,
    /// To which session.
    pub session: SessionId,
}

/// To the registry of a session's shard: the session does not have this chat, or has it no longer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ForgetChat {
    /// Which session.
    pub session: SessionId,
    /// Which chat.
    pub chat: ChatId,
}

/// To the registry of a user's shard: a session has ended, and its chats have none.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReleaseChats {
    /// Whose session.
    pub user: UserKey,
    /// Which.
    pub session: SessionId,
}

/// To the registry of a user's shard: the user's chats with their sessions.
#[derive(Debug, Message)]
#[rtype(result = "BTreeMap<ChatId, SessionId>")]
pub struct ListChats {
    /// Whose.
    pub user: UserKey,
}

/// To a registry, and from it to its sessions: the server stops. Streams end, what is running goes on to its end.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Drain;

/// To a session: what was settled when it opened.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Profile, Error>")]
pub struct Describe;

/// To a session: its tools.
#[derive(Debug, Message)]
#[rtype(result = "Result<ToolList, Error>")]
pub struct ListTools {
    /// Who asks, with today's token.
    pub caller: Caller,
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

/// To a session: the client no longer wants the answer to a request.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Cancel {
    /// The request.
    pub id: RequestId,
}

/// To a session: opens its stream of notifications. One that was open ends.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<mpsc::Receiver<Event>, Error>")]
pub struct OpenStream;

/// What a session tells its client unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The list of tools is not what it was.
    ToolsChanged,
}

/// To a session: what it has enabled; nothing from one in static mode.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Option<Toolbox>, Error>")]
pub struct Enabled;

/// To a session: these tools are enabled now, instead of those before.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Enable(pub Toolbox);

/// To a session: it is over.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct End;
