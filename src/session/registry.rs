//! The sessions of one shard, and the chats of the users whose shard it is.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, dev::ToEnvelope};

use super::{
    SessionActor, Shards,
    chats::ChatMap,
    messages::{
        BindChat, CloseSession, Deliver, Drain, Enable, Enabled, End, ForgetChat, ListChats, OpenSession, ReleaseChats,
        TakeChat,
    },
};
use crate::{
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    membrane::MembraneClient,
    protocol::tools::ToolMode,
};

/// How often sessions past their retention are looked for, at least.
const SWEEP_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// See the [module](self).
pub struct SessionRegistry {
    sessions: HashMap<SessionId, Entry>,
    chats: ChatMap,
    retention: Duration,
    /// The server stops: no stream may begin that would keep it from that.
    draining: bool,
    shard: usize,
    shards: Shards,
    client: Rc<MembraneClient>,
}

struct Entry {
    session: Addr<SessionActor>,
    owner: UserKey,
    /// The chats that the session has, so that requests that name them again need not ask.
    chats: Vec<ChatId>,
    used: Instant,
}

impl SessionRegistry {
    /// The registry of shard number `shard`.
    #[must_use]
    pub fn new(shard: usize, shards: Shards, client: Rc<MembraneClient>, retention: Duration) -> Self {
        let (sessions, chats) = (HashMap::new(), ChatMap::default());
        Self { sessions, chats, retention, draining: false, shard, shards, client }
    }

    /// The entry of a session, if it is `user`'s. Somebody else's looks like none
    /// (MCP 2025-11-25, Security Best Practices § Session Hijacking).
    fn entry(&mut self, session: SessionId, user: &UserKey) -> Result<&mut Entry, Error> {
        let entry = self.sessions.get_mut(&session);
        entry.filter(|entry| entry.owner == *user).ok_or(Error::SessionNotFound)
    }

    fn sweep(&mut self) {
        let retention = self.retention;
        for (session, entry) in self.sessions.extract_if(|_, entry| entry.used.elapsed() >= retention) {
            log::info!(session:%, user:% = entry.owner; "session expired");
            entry.session.do_send(End);
            let (shards, user) = (self.shards.clone(), entry.owner);
            actix::spawn(async move { shards.release_chats(ReleaseChats { user, session }).await });
        }
    }
}

impl Actor for SessionRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(self.retention.min(SWEEP_AT_LEAST_EVERY), |registry, _| registry.sweep());
    }
}

impl Handler<OpenSession> for SessionRegistry {
    type Result = ResponseFuture<Result<SessionId, Error>>;

    fn handle(&mut self, open: OpenSession, _: &mut Context<Self>) -> Self::Result {
        let OpenSession { caller, profile, chat } = open;
        let id = self.shards.draw_id(self.shard);
        let user = caller.user().clone();
        let is_dynamic = profile.mode == ToolMode::Dynamic;
        log::info!(session:% = id, user:%, revision:% = profile.revision; "session opened");
        let session = SessionActor::new(profile, self.shards.clone(), Rc::clone(&self.client)).start();
        if self.draining {
            session.do_send(Drain);
        }
        let entry = Entry {
            session: session.clone(),
            owner: user.clone(),
            chats: chat.iter().cloned().collect(),
            used: Instant::now(),
        };
        self.sessions.insert(id, entry);

        let shards = self.shards.clone();
        Box::pin(async move {
            let Some(chat) = chat else { return Ok(id) };
            let take = TakeChat { user: user.clone(), chat: chat.clone(), session: id };
            let Some(before) = shards.take_chat(take).await? else { return Ok(id) };
            shards.forget_chat(ForgetChat { session: before, chat });
            if is_dynamic {
                // A session that ended meanwhile has nothing to leave.
                if let Ok(Some(toolbox)) = shards.deliver(before, user, None, Enabled).await {
                    session.send(Enable(toolbox)).await.map_err(|_gone| Error::SessionNotFound)?;
                }
            }
            Ok(id)
        })
    }
}

impl<M, T> Handler<Deliver<M>> for SessionRegistry
where
    M: Message<Result = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
    SessionActor: Handler<M>,
    Context<SessionActor>: ToEnvelope<SessionActor, M>,
{
    type Result = ResponseFuture<Result<T, Error>>;

    fn handle(&mut self, deliver: Deliver<M>, _: &mut Context<Self>) -> Self::Result {
        let Deliver { session, user, chat, message } = deliver;
        let entry = match self.entry(session, &user) {
            Ok(entry) => entry,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        entry.used = Instant::now();
        let answer = entry.session.send(message);
        let tie = chat.filter(|chat| !entry.chats.contains(chat)).map(|chat| {
            entry.chats.push(chat.clone());
            BindChat { user: user.clone(), chat, session }
        });
        let shards = self.shards.clone();
        Box::pin(async move {
            if let Some(tie) = tie {
                let forget = ForgetChat { session, chat: tie.chat.clone() };
                if !shards.bind_chat(tie).await? {
                    shards.forget_chat(forget);
                }
            }
            answer.await.unwrap_or(Err(Error::SessionNotFound))
        })
    }
}

impl Handler<CloseSession> for SessionRegistry {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, CloseSession { session, user }: CloseSession, _: &mut Context<Self>) -> Self::Result {
        if let Err(error) = self.entry(session, &user) {
            return Box::pin(async { Err(error) });
        }
        if let Some(entry) = self.sessions.remove(&session) {
            entry.session.do_send(End);
        }
        log::info!(session:%, user:%; "session closed by its client");
        let shards = self.shards.clone();
        Box::pin(async move { shards.release_chats(ReleaseChats { user, session }).await })
    }
}

impl Handler<TakeChat> for SessionRegistry {
    type Result = Option<SessionId>;

    fn handle(&mut self, TakeChat { user, chat, session }: TakeChat, _: &mut Context<Self>) -> Self::Result {
        self.chats.take(user, chat, session)
    }
}

impl Handler<BindChat> for SessionRegistry {
    type Result = bool;

    fn handle(&mut self, BindChat { user, chat, session }: BindChat, _: &mut Context<Self>) -> Self::Result {
        self.chats.bind(user, chat, session)
    }
}

impl Handler<ForgetChat> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, ForgetChat { session, chat }: ForgetChat, _: &mut Context<Self>) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.chats.retain(|other| *other != chat);
        }
    }
}

impl Handler<ReleaseChats> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, ReleaseChats { user, session }: ReleaseChats, _: &mut Context<Self>) {
        self.chats.release(&user, session);
    }
}

impl Handler<ListChats> for SessionRegistry {
    type Result = MessageResult<ListChats>;

    fn handle(&mut self, ListChats { user }: ListChats, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.chats.of(&user))
    }
}

impl Handler<Drain> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.draining = true;
        for entry in self.sessions.values() {
            entry.session.do_send(Drain);
        }
    }
}

/// The chats of a user with their sessions, as `GET /mcp/sessions` gives them.
pub type Chats = BTreeMap<ChatId, SessionId>;
