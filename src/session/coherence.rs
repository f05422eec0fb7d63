//! Sessions that several servers have in memory: each is brought up to date from the store before a request is served, and
//! when another server says that it has changed it.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};
use futures_util::future::join_all;

use super::{
    SessionActor, SessionRegistry, Shards,
    kept::Kept,
    messages::{Cancel, CatchUp, End, Estate, HasChanged, Hear, Inherit, LeaveChat, ListensElsewhere, Push},
    profile::Profile,
};
use crate::{
    error::Error,
    ids::{SessionId, UserKey},
    membrane::webhook::Changed,
    store::{News, Peers, SessionRecord},
};

/// To self: the session's record in the store, whose read began while memory had the version `base`.
#[derive(Message)]
#[rtype(result = "()")]
struct Renew {
    record: SessionRecord,
    base: u64,
}

impl SessionActor {
    /// Returns the other servers that may have this session in memory, and its id; nothing where there can be none.
    pub(super) fn shared(&self) -> Option<(Peers, SessionId)> {
        let (peers, kept) = self.replicated()?;
        Some((peers, kept.session))
    }

    /// Returns the other servers that may have this session in memory, and how it is kept; nothing where there can be none.
    pub(super) fn replicated(&self) -> Option<(Peers, &Kept)> {
        let kept = self.kept.as_ref()?;
        Some((kept.store.peers()?, kept))
    }

    /// Returns whether to take on a state of this version, whose read or write began while memory had the version `base`.
    pub(super) fn takes(&mut self, version: u64, base: u64) -> bool {
        let Some(kept) = &mut self.kept else { return false };
        // Answers of the store may arrive out of order, and an older state must not replace a newer one. Nothing came
        // in between where memory still has `base`: then a lower version is that of a store restored from a backup.
        let is_next = version >= kept.version || kept.version == base;
        if is_next {
            kept.version = version;
        }
        is_next
    }
}

impl Handler<CatchUp> for SessionActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, _: CatchUp, ctx: &mut Context<Self>) -> Self::Result {
        let Some(kept) = self.kept.as_ref().filter(|kept| kept.store.peers().is_some()) else {
            return Box::pin(async { Ok(()) });
        };
        let (store, session, base) = (Arc::clone(&kept.store), kept.session, kept.version);
        // Other replicas can't change what such a session lists, so it is served while the store is away.
        let is_fixed = !self.profile.scope.mode.lists_enabled();
        let addr = ctx.address();
        Box::pin(async move {
            // The version alone is read first. Each request in a session asks for it, and the record may hold hundreds
            // of tools.
            let record = match store.version(session).await {
                Ok(Some(version)) if version == base => return Ok(()),
                Ok(Some(_)) => store.load(session).await?,
                Ok(None) => None,
                Err(_) if is_fixed => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if let Some(record) = record {
                addr.send(Renew { record, base }).await.map_err(|_gone| Error::SessionNotFound)
            } else {
                // The store has the last word: the session was closed at another replica, or has expired.
                addr.do_send(End);
                Err(Error::SessionNotFound)
            }
        })
    }
}

impl Handler<Renew> for SessionActor {
    type Result = ();

    fn handle(&mut self, Renew { record, base }: Renew, _: &mut Context<Self>) {
        if self.takes(record.version, base) {
            self.profile = Profile::of(&record.state);
            self.hold(self.enabled.renewed(&record.state.tools));
        }
    }
}

impl Handler<HasChanged> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: HasChanged, ctx: &mut Context<Self>) {
        // Each request catches up first, so only a client that listens would miss the change.
        if self.streams.are_in_use() {
            ctx.notify(CatchUp);
        }
    }
}

impl Handler<ListensElsewhere> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: ListensElsewhere, _: &mut Context<Self>) {
        self.streams.close_own();
    }
}

impl Handler<Hear> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Hear(news): Hear, _: &mut Context<Self>) {
        let session = |id| self.sessions.get(&id).map(|entry| &entry.session);
        match news {
            News::Changed(id) => {
                session(id).inspect(|session| session.do_send(HasChanged));
            }
            News::Missed => {
                // Any session may have changed while nothing was heard.
                for entry in self.sessions.values() {
                    entry.session.do_send(HasChanged);
                }
            }
            News::Listens(id) => {
                session(id).inspect(|session| session.do_send(ListensElsewhere));
            }
            News::Cancelled { session: id, request } => {
                session(id).inspect(|session| session.do_send(Cancel { id: request, is_here: true }));
            }
            News::Pushed { session: id, message } => {
                let message = Box::<str>::from(message).into_string().into();
                session(id).inspect(|session| session.do_send(Push(vec![message])));
            }
            News::Moved { from, to, owner } => {
                if let Some(left) = session(from).map(|session| session.send(LeaveChat)) {
                    let shards = self.shards.clone();
                    actix::spawn(async move {
                        if let Ok(Ok(Estate { subscribers, .. })) = left.await
                            && !subscribers.is_empty()
                        {
                            // Enabled tools went along at the replica that took the chat over. Only listeners are left
                            // to move.
                            let inherit = Inherit(Estate { enabled: None, subscribers });
                            // A session that has ended meanwhile has nobody to tell of.
                            let _ = shards.deliver(to, owner, None, inherit).await;
                        }
                    });
                }
            }
            News::Closed(id) => self.forget(id),
            // Of no single session: `heed_news` has dealt with them.
            News::Distrusted(_) | News::Connections { .. } => {}
        }
    }
}

impl Shards {
    /// Returns the other servers that use the store, where others can.
    pub(super) fn peers(&self) -> Option<Peers> {
        self.store().peers()
    }

    /// Brings a session of `user` up to date, which each request in it needs first.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`]; [`Error::StoreUnavailable`] where the state of the session can't be read.
    pub async fn catch_up(&self, session: SessionId, user: &UserKey) -> Result<(), Error> {
        match self.peers() {
            None => Ok(()),
            Some(_) => self.deliver(session, user.clone(), None, CatchUp).await,
        }
    }

    /// Takes in the news of other replicas, for as long as this one runs.
    pub async fn follow_news(self) {
        let Some(mut news) = self.peers().map(|peers| peers.hear()) else { return };
        // One after the other: a `Closed` must not overtake the `Changed` before it.
        while let Some(news) = news.recv().await {
            self.heed_news(news).await;
        }
    }

    pub(super) async fn heed_news(&self, news: News) {
        let session = match &news {
            News::Changed(session)
            | News::Listens(session)
            | News::Cancelled { session, .. }
            | News::Pushed { session, .. }
            | News::Moved { from: session, .. } => *session,
            News::Closed(session) => {
                self.note_end();
                *session
            }
            News::Distrusted(token) => return self.revocations().revoke_here(*token),
            News::Connections { workspace, users } => {
                let changed = Changed { workspace: workspace.clone(), users: users.clone() };
                return self.refresh_here(changed).await;
            }
            News::Missed => {
                // A shard that is gone has no sessions.
                join_all(self.registries().started().map(|registry| registry.send(Hear(News::Missed)))).await;
                return;
            }
        };
        // The id tells the shard at every replica, whatever number of workers each has.
        if let Ok(registry) = self.registry_of(session) {
            registry.do_send(Hear(news));
        }
    }
}
