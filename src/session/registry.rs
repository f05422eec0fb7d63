//! The sessions of one worker that are in memory. The others are in the store, and come back when they are asked for.

mod changes;
mod delivery;
mod handover;
mod passivation;
mod replica_events;
mod revival;
mod tokens;

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant, SystemTime},
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use futures_util::future::join_all;

pub use self::handover::end_everywhere;
use self::{changes::Listeners, handover::chat_state, passivation::MakingRoom, revival::Reviving};
use super::{
    SessionActor,
    actor::SessionLimits,
    directory::Directory,
    event_log::Limits,
    messages::{AdoptChat, CheckHealth, CloseSession, Drain, End, OpenSession, RegistryLoad, WhyUnanswered, WindDown},
    persistence::Persistence,
    profile::Profile,
    storage::Storage,
    token_end::{Shown, ShownToken},
};
use crate::{
    auth::Revocations,
    config::Settings,
    error::Error,
    ids::{ChatId, SessionId, UserKey},
    membrane::Report,
    protocol::revision::Revision,
    store::Opened,
    tools::{EnabledTools, ToolService},
    user_limits::{LimitsOfUsers, Permit},
};

/// How often sessions that are idle or past their retention are looked for, at least.
const SWEEP_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Chats remembered for a session; most have one. A forgotten one costs one more question to the store.
const MAX_CHATS_REMEMBERED: usize = 16;

/// Addresses of the registries of all workers, by which any session is reached.
pub type Sessions = Directory<SessionRegistry>;

/// Parts that the registries of all workers have in common. Cheap to clone.
#[derive(Clone)]
pub struct Common {
    /// Addresses of all registries.
    pub sessions: Sessions,
    /// Store of the sessions.
    pub storage: Storage,
    /// Limits of all users.
    pub limits_of_users: LimitsOfUsers,
    /// Everybody who has to hear that a token was refused.
    pub revocations: Revocations,
    /// Flag that is set when the server stops.
    pub is_draining: Arc<AtomicBool>,
}

/// Actor of one worker that knows its sessions. See the [module](self).
pub struct SessionRegistry {
    sessions: HashMap<SessionId, SessionEntry>,
    /// Sessions on their way from the store.
    reviving: HashMap<(SessionId, UserKey), Reviving>,
    /// Sessions whose end the store has not noted yet, with who ends them.
    ending: HashSet<(SessionId, UserKey)>,
    listeners: Listeners,
    retention: Duration,
    idle: Duration,
    limits: SessionLimits,
    /// True once the server stops. Streams that begin then end at once, or they would hold up the stop.
    is_draining: bool,
    making_room: MakingRoom,
    /// Number of the worker, from 0.
    worker: usize,
    tools: ToolService,
    common: Common,
}

struct SessionEntry {
    session: Addr<SessionActor>,
    owner: UserKey,
    /// Token with whose end the session's streams end.
    shown: Shown,
    /// Set when a panic ends the session.
    has_crashed: Rc<Cell<bool>>,
    /// Chats that the store was asked to tie to the session, while the count of ended sessions was `ended_then`.
    chats: Vec<ChatId>,
    ended_then: u64,
    used: Instant,
    /// When the store was last told of its use.
    noted: Instant,
    /// True where the store has the session, too. One of HTTP+SSE may live only as long as its stream.
    is_kept: bool,
    /// Place among the sessions of its user, free again when this is dropped.
    _permit: Permit,
}

/// To self: a session that was not to be opened after all.
#[derive(Message)]
#[rtype(result = "()")]
struct Discard(SessionId);

/// To self: a user's attempt to end a session is over.
#[derive(Message)]
#[rtype(result = "()")]
struct Ended {
    session: SessionId,
    user: UserKey,
    /// Whether the store has noted the end.
    is_noted: bool,
}

impl SessionRegistry {
    /// Returns the registry of a worker, with the tool service of its thread.
    #[must_use]
    pub fn new(worker: usize, tools: ToolService, common: Common, settings: &Settings) -> Self {
        let tuning = &settings.tuning;
        let log = Limits { events: tuning.stream_log_events, bytes: tuning.stream_log_bytes, ttl: tuning.stream_log };
        let limits =
            SessionLimits { max_in_flight: tuning.max_calls_in_flight, log, queue_bytes: tuning.stream_queue_bytes };
        Self {
            sessions: HashMap::new(),
            reviving: HashMap::new(),
            ending: HashSet::new(),
            listeners: Listeners::default(),
            retention: settings.sessions.retention,
            idle: tuning.session_idle,
            limits,
            is_draining: false,
            making_room: MakingRoom::default(),
            worker,
            tools,
            common,
        }
    }

    /// Returns the entry of a session, if it is `user`'s. Somebody else's looks like none (MCP 2025-11-25, Security
    /// Best Practices § Session Hijacking).
    fn entry(&mut self, session: SessionId, user: &UserKey) -> Result<&mut SessionEntry, Error> {
        let entry = self.sessions.get_mut(&session);
        entry.filter(|entry| entry.owner == *user).ok_or(Error::SessionNotFound)
    }

    /// Returns a session of `user` for one use, and the chat that the store must still be asked to tie to it.
    fn reach(
        &mut self,
        session: SessionId,
        user: &UserKey,
        token: Option<ShownToken>,
        chat: Option<ChatId>,
    ) -> Result<(Addr<SessionActor>, Option<ChatId>), Error> {
        let ended = self.common.storage.ended();
        let entry = self.entry(session, user)?;
        entry.used = Instant::now();
        entry.shown.note(token);
        let bind = chat.filter(|chat| entry.must_bind(chat, ended));
        Ok((entry.session.clone(), bind))
    }

    /// Returns whether a session is in memory, and alive.
    fn is_here(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|entry| entry.session.connected())
    }

    fn start_session(&mut self, id: SessionId, owner: UserKey, session: SessionActor, permit: Permit) -> &SessionEntry {
        let (is_kept, has_crashed) = (session.is_kept(), session.crash_flag());
        let session = session.start();
        // A session that starts during the stop was not there when `Drain` came, so it is told here.
        if self.is_draining {
            session.do_send(WindDown);
        }
        let now = Instant::now();
        let entry = SessionEntry {
            session,
            owner,
            shown: Shown::default(),
            has_crashed,
            chats: Vec::new(),
            ended_then: 0,
            used: now,
            noted: now,
            is_kept,
            _permit: permit,
        };
        self.sessions.entry(id).insert_entry(entry).into_mut()
    }

    fn session_actor(&self, profile: Profile, enabled: EnabledTools, kept: Option<Persistence>) -> SessionActor {
        SessionActor::new(
            profile,
            enabled,
            kept,
            self.tools.clone(),
            Arc::clone(&self.common.is_draining),
            &self.limits,
        )
    }

    /// Forgets a session that the store has no longer.
    pub(super) fn forget(&mut self, session: SessionId) {
        if let Some(entry) = self.sessions.remove(&session) {
            entry.session.do_send(End);
        }
        for (_, reviving) in self.reviving.iter_mut().filter(|((id, _), _)| *id == session) {
            reviving.has_ended = true;
        }
    }

    fn load(&self) -> RegistryLoad {
        let kept = self.sessions.values().filter(|entry| entry.is_kept).count();
        RegistryLoad { sessions: self.sessions.len(), kept }
    }
}

impl Actor for SessionRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // A session leaves at most a quarter of its time later, and no more than a minute.
        let every = self.retention.min(self.idle) / 4;
        ctx.run_interval(every.min(SWEEP_AT_LEAST_EVERY), |registry, ctx| registry.sweep(ctx));
        Self::look_at_tokens(ctx);
    }
}

impl Handler<OpenSession> for SessionRegistry {
    type Result = ResponseFuture<Result<SessionId, Error>>;

    fn handle(&mut self, open: OpenSession, ctx: &mut Context<Self>) -> Self::Result {
        let OpenSession { user, permit, profile, chat } = open;
        let (id, opened) = (self.common.sessions.draw_id(self.worker), SystemTime::now());
        let revision = profile.revision.map(Revision::as_str);
        let client = profile.client.as_ref().map(|client| format!("{} {}", client.name, client.version));
        log::info!(target: "session", session:% = id, user:%, revision, client; "session opened");
        let store = self.common.storage.store();
        let bus = store.bus();
        // Over HTTP+SSE the revision is not known yet, and the session ends with its stream: only other servers want to
        // know of it, who take its messages.
        let is_kept = profile.revision.is_some() || bus.is_some();
        let home = bus.filter(|_| profile.revision.is_none()).map(|bus| bus.replica().to_owned());
        let is_replicated = bus.is_some();
        let store = Arc::clone(store);
        let kept = is_kept.then(|| Persistence { store, session: id, owner: user.clone(), opened, home, version: 0 });
        let left_by = chat.clone().filter(|_| profile.scope.mode.lists_enabled());
        let kept_since = kept.as_ref().map(|kept| kept.open(&profile, chat));
        let mut session = self.session_actor(profile, EnabledTools::default(), kept);
        if is_replicated {
            session.streams.number_apart();
        }
        // Started in the same turn of the mailbox in which the store is asked. Once the store knows the session, a
        // request of its chat may ask for it here, and must not start a second actor.
        let session = self.start_session(id, user.clone(), session, permit).session.clone();
        let Some(opened) = kept_since else { return Box::pin(async move { Ok(id) }) };

        let Common { sessions, storage, .. } = self.common.clone();
        // Whatever becomes of the future, a session whose id the client never learns must not be left over.
        let discard = Report::new(ctx.address(), Discard(id));
        Box::pin(async move {
            let adopt = async {
                let Opened { before, ended } = opened.await?;
                end_everywhere(&sessions, &storage, &user, ended);
                let Some(chat_state) = chat_state(&sessions, &storage, before, id, &user, left_by).await? else {
                    return Ok(());
                };
                session.send(AdoptChat(chat_state)).await.map_err(|_gone| Error::SessionNotFound)?
            };
            if let Err(error) = adopt.await {
                drop(discard);
                // The store may have written the session though its answer was lost.
                storage.end(id, user).await;
                return Err(error);
            }
            discard.call_off();
            Ok(id)
        })
    }
}

impl Handler<Discard> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Discard(session): Discard, _: &mut Context<Self>) {
        if let Some(entry) = self.sessions.remove(&session) {
            entry.session.do_send(End);
        }
    }
}

impl Handler<WhyUnanswered> for SessionRegistry {
    type Result = MessageResult<WhyUnanswered>;

    fn handle(&mut self, WhyUnanswered { session, user }: WhyUnanswered, _: &mut Context<Self>) -> Self::Result {
        // A session that ended on purpose has left, or has not crashed. One that is still there lost the answer alone.
        let crashed = |entry: &mut SessionEntry| entry.session.connected() || entry.has_crashed.get();
        MessageResult(match self.entry(session, &user).map(crashed) {
            Ok(true) => Error::Internal,
            Ok(false) | Err(_) => Error::SessionNotFound,
        })
    }
}

impl SessionEntry {
    /// Returns whether the store must be asked to tie a chat to the session: a new chat, or any once a session has ended.
    fn must_bind(&mut self, chat: &ChatId, ended: u64) -> bool {
        if !self.is_kept || (self.ended_then == ended && self.chats.contains(chat)) {
            return false;
        }
        // Any session that ended may have held a chat that was refused to this one.
        if self.ended_then != ended {
            self.chats.clear();
        }
        self.ended_then = ended;
        self.chats.truncate(MAX_CHATS_REMEMBERED - 1);
        self.chats.push(chat.clone());
        true
    }
}

impl Handler<CloseSession> for SessionRegistry {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, CloseSession { session, user }: CloseSession, ctx: &mut Context<Self>) -> Self::Result {
        let is_here = self.entry(session, &user).is_ok();
        let entry = if is_here { self.sessions.remove(&session) } else { None };
        let storage = self.common.storage.clone();
        if let Some(entry) = entry {
            entry.session.do_send(End);
            if !entry.is_kept {
                log::info!(target: "session", session:%, user:%; "session closed");
                return Box::pin(async { Ok(()) });
            }
        }
        // The store is asked in any case. It checks the owner, and Redis tells the other replicas. Until it has noted the end,
        // it would give the session to a request that comes in between, and one that is back in memory would outlive its end.
        self.ending.insert((session, user.clone()));
        let mut over = Report::new(ctx.address(), Ended { session, user: user.clone(), is_noted: false });
        Box::pin(async move {
            let closed = storage.close(session, user).await;
            over.say(|ended| ended.is_noted = closed.is_ok());
            closed
        })
    }
}

impl Handler<Ended> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Ended { session, user, is_noted }: Ended, _: &mut Context<Self>) {
        self.ending.remove(&(session, user));
        if is_noted {
            self.forget(session);
        }
    }
}

impl Handler<Drain> for SessionRegistry {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        self.is_draining = true;
        self.listeners.close();
        let sessions: Vec<_> = self.sessions.values().map(|entry| entry.session.send(WindDown)).collect();
        Box::pin(async move {
            join_all(sessions).await;
        })
    }
}

impl Handler<CheckHealth> for SessionRegistry {
    type Result = RegistryLoad;

    fn handle(&mut self, _: CheckHealth, _: &mut Context<Self>) -> Self::Result {
        self.load()
    }
}
