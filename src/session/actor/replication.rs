//! A session that several servers have in memory: it is brought up to date from the store before a request is served, and when
//! another server says that it has changed it.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};

use super::SessionActor;
use crate::{
    error::Error,
    ids::SessionId,
    session::{
        messages::{End, HasChanged, ListensElsewhere, Refresh},
        profile::Profile,
    },
    store::{ReplicaBus, SessionRecord},
};

/// To self: the session's record in the store, whose read began while memory had the version `base`.
#[derive(Message)]
#[rtype(result = "()")]
struct Reload {
    record: SessionRecord,
    base: u64,
}

impl SessionActor {
    /// Returns the bus to the other servers that may have this session in memory, and its id; nothing where there can be none.
    pub(super) fn shared(&self) -> Option<(&Arc<dyn ReplicaBus>, SessionId)> {
        let kept = self.kept.as_ref()?;
        Some((kept.store.bus()?, kept.session))
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

impl Handler<Refresh> for SessionActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, _: Refresh, ctx: &mut Context<Self>) -> Self::Result {
        let Some(kept) = self.kept.as_ref().filter(|kept| kept.store.bus().is_some()) else {
            return Box::pin(async { Ok(()) });
        };
        let (store, session, owner, base) = (Arc::clone(&kept.store), kept.session, kept.owner.clone(), kept.version);
        // Other replicas can't change what such a session lists, so it is served while the store is away.
        let is_fixed = !self.profile.scope.mode.lists_enabled();
        let addr = ctx.address();
        Box::pin(async move {
            // The version alone is read first. Each request in a session asks for it, and the record may hold hundreds
            // of tools.
            let record = match store.version(session, &owner).await {
                Ok(Some(version)) if version == base => return Ok(()),
                Ok(Some(_)) => store.load(session, &owner).await?,
                Ok(None) => None,
                Err(_) if is_fixed => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if let Some(record) = record {
                addr.send(Reload { record, base }).await.map_err(|_gone| Error::SessionNotFound)
            } else {
                // The store has the last word: the session was closed at another replica, or has expired.
                addr.do_send(End);
                Err(Error::SessionNotFound)
            }
        })
    }
}

impl Handler<Reload> for SessionActor {
    type Result = ();

    fn handle(&mut self, Reload { record, base }: Reload, _: &mut Context<Self>) {
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
            ctx.notify(Refresh);
        }
    }
}

impl Handler<ListensElsewhere> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: ListensElsewhere, _: &mut Context<Self>) {
        self.streams.close_own();
    }
}
