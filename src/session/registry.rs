//! The sessions of one shard, and the chats of the users whose shard it is.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, dev::ToEnvelope};
use futures_util::future::join_all;

use super::{
    SessionActor, Shards,
    actor::SessionLimits,
    chats::ChatMap,
    event_log::Limits,
    messages::{
        BindChat, CloseSession, Deliver, Drain, End, EnterChat, Event, Inherit, LeaveChat, ListChats, Listen,
        OpenSession, Profile, ReleaseChats, TakeChat, WindDown,
    },
    pulse::Load,
    queue,
    streams::CHANGES,
};
use crate::{
    allowance::{Allowance, Permit},
    config::Settings,
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    membrane::MembraneClient,
    protocol::revision::Revision,
};

/// How often sessions past their retention are looked for, at least.
const SWEEP_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Chats of a session that are known to be tied to it; one has mostly one.
const MAX_CHATS_REMEMBERED: usize = 16;

/// See the [module](self).
pub struct SessionRegistry {
    sessions: HashMap<SessionId, Entry>,
    chats: ChatMap,
    /// Clients without a session that want to be told of changes.
    listeners: Vec<queue::Sender<Event>>,
    retention: Duration,
    limits: SessionLimits,
    /// The server stops: no stream may begin that would keep it from that.
    is_draining: bool,
    shard: usize,
    shards: Shards,
    client: Rc<MembraneClient>,
}

struct Entry {
    session: Addr<SessionActor>,
    owner: UserKey,
    /// The chats that the session has been tied to, or has tried to be.
    chats: Vec<ChatId>,
    used: Instant,
    /// Counts it among its user's.
    _permit: Permit,
}

impl SessionRegistry {
    /// The registry of shard number `shard`.
    #[must_use]
    pub fn new(shard: usize, shards: Shards, client: Rc<MembraneClient>, settings: &Settings) -> Self {
        let streams = &settings.streams;
        let log = Limits { events: streams.log_events.get(), bytes: streams.log_bytes.get(), lasting: streams.log };
        let limits = SessionLimits {
            max_in_flight: settings.sessions.max_in_flight.get(),
            log,
            queue_bytes: streams.queue_bytes.get(),
        };
        let retention = settings.sessions.retention;
        Self {
            sessions: HashMap::new(),
            chats: ChatMap::default(),
            listeners: Vec::new(),
            retention,
            limits,
            is_draining: false,
            shard,
            shards,
            client,
        }
    }

    /// The entry of a session, if it is `user`'s. Somebody else's looks like none
    /// (MCP 2025-11-25, Security Best Practices § Session Hijacking).
    fn entry(&mut self, session: SessionId, user: &UserKey) -> Result<&mut Entry, Error> {
        let entry = self.sessions.get_mut(&session);
        entry.filter(|entry| entry.owner == *user).ok_or(Error::SessionNotFound)
    }

    fn start_session(
        &mut self,
        user: UserKey,
        allowance: &Arc<Allowance>,
        profile: Profile,
        chat: Option<&ChatId>,
    ) -> Result<(SessionId, Addr<SessionActor>), Error> {
        let permit = allowance.session()?;
        let id = self.shards.draw_id(self.shard);
        let revision = profile.revision.map(Revision::as_str);
        let client = profile.client.as_ref().map(|client| format!("{} {}", client.name, client.version));
        log::info!(session:% = id, user:%, revision, client; "session opened");
        let session = SessionActor::new(profile, self.shards.clone(), Rc::clone(&self.client), &self.limits).start();
        if self.is_draining {
            session.do_send(WindDown);
        }
        let entry = Entry {
            session: session.clone(),
            owner: user,
            chats: chat.into_iter().cloned().collect(),
            used: Instant::now(),
            _permit: permit,
        };
        self.sessions.insert(id, entry);
        Ok((id, session))
    }

    pub(super) fn load(&self) -> Load {
        Load { sessions: self.sessions.len() }
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
        let OpenSession { user, allowance, profile, chat } = open;
        let (id, session) = match self.start_session(user.clone(), &allowance, profile, chat.as_ref()) {
            Ok(started) => started,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let shards = self.shards.clone();
        Box::pin(async move {
            let Some(chat) = chat else { return Ok(id) };
            let take = TakeChat { user: user.clone(), chat, session: id };
            if let Some(before) = shards.take_chat(take).await?
                // A session that ended meanwhile has nothing to leave.
                && let Ok(estate) = shards.deliver(before, user, None, LeaveChat).await
            {
                session.send(Inherit(estate)).await.map_err(|_gone| Error::SessionNotFound)?;
            }
            Ok(id)
        })
    }
}

impl Handler<EnterChat> for SessionRegistry {
    type Result = Result<SessionId, Error>;

    fn handle(&mut self, enter: EnterChat, _: &mut Context<Self>) -> Self::Result {
        let EnterChat { user, allowance, chat, profile } = enter;
        if let Some(session) = self.chats.get(&user, &chat) {
            return Ok(session);
        }
        let (id, _) = self.start_session(user.clone(), &allowance, profile, Some(&chat))?;
        self.chats.bind(user, chat, id);
        Ok(id)
    }
}

impl Handler<Listen> for SessionRegistry {
    type Result = MessageResult<Listen>;

    fn handle(&mut self, _: Listen, _: &mut Context<Self>) -> Self::Result {
        let (listener, events) = queue::queue(CHANGES);
        self.listeners.retain(|listener| !listener.is_gone());
        if !self.is_draining {
            self.listeners.push(listener);
        }
        MessageResult(events)
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
        let bind = chat.map(|chat| {
            let is_new = !entry.chats.contains(&chat);
            if is_new {
                entry.chats.truncate(MAX_CHATS_REMEMBERED - 1);
                entry.chats.push(chat.clone());
            }
            (BindChat { user, chat, session }, is_new)
        });
        let shards = self.shards.clone();
        Box::pin(async move {
            match bind {
                Some((bind, true)) => shards.bind_chat(bind).await?,
                // The chat is known to be served; should it have lost its session since, this one steps in.
                Some((bind, false)) => shards.rebind_chat(bind),
                None => {}
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
        log::info!(session:%, user:%; "session closed");
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
    type Result = ();

    fn handle(&mut self, BindChat { user, chat, session }: BindChat, _: &mut Context<Self>) {
        self.chats.bind(user, chat, session);
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
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        self.is_draining = true;
        self.listeners.clear();
        let sessions: Vec<_> = self.sessions.values().map(|entry| entry.session.send(WindDown)).collect();
        Box::pin(async move {
            join_all(sessions).await;
        })
    }
}

/// The chats of a user with their sessions, as `GET /mcp/sessions` gives them.
pub type Chats = BTreeMap<ChatId, SessionId>;
