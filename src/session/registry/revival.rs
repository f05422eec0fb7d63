//! Sessions that come back from the store, when a request asks for them.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};
use tokio::sync::oneshot;

use super::SessionRegistry;
use crate::{
    error::Error,
    ids::{SessionId, UserKey},
    membrane::Report,
    session::{messages::Revive, persistence::Persistence, profile::Profile},
    store::{SessionRecord, StoreError},
    tools::EnabledTools,
};

/// Session on its way from the store.
#[derive(Default)]
pub(super) struct Reviving {
    /// Requests of one user that wait for it.
    waiting: Vec<oneshot::Sender<Result<(), Error>>>,
    /// True once the session has ended, for the store may have read its record before.
    pub(super) has_ended: bool,
}

/// To self: the store has answered with a session's record.
#[derive(Message)]
#[rtype(result = "()")]
struct RecordLoaded {
    session: SessionId,
    user: UserKey,
    outcome: Result<Option<SessionRecord>, StoreError>,
}

impl SessionRegistry {
    fn revive(&mut self, id: SessionId, record: SessionRecord) -> Result<(), Error> {
        let SessionRecord { owner, opened, version, state } = record;
        let (permit, is_crowded) = self.common.limits_of_users.of(&owner).revived_session()?;
        if is_crowded {
            // Not awaited: a session that comes back is let in even where there are too many.
            let sessions = self.common.sessions.clone();
            actix::spawn(async move { sessions.make_room().await });
        }
        log::info!(target: "session", session:% = id, user:% = owner; "session revived");
        metrics::counter!("mcp_sessions_revived_total").increment(1);
        let kept = Persistence {
            store: Arc::clone(self.common.storage.store()),
            session: id,
            owner: owner.clone(),
            opened,
            home: state.home.clone(),
            version,
        };
        let mut session = self.session_actor(Profile::of(&state), EnabledTools::of(&state.tools), Some(kept));
        // The log of its time in memory before is gone. New numbers keep event ids of then apart from those to come.
        // Changes meanwhile were told to nobody, so the next stream tells the client to list again.
        session.streams.number_apart();
        session.streams.note_list_changed();
        self.start_session(id, owner, session, permit);
        Ok(())
    }
}

impl Handler<Revive> for SessionRegistry {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Revive { session, user }: Revive, ctx: &mut Context<Self>) -> Self::Result {
        if self.is_here(session) {
            return Box::pin(async { Ok(()) });
        }
        if self.ending.contains(&(session, user.clone())) {
            return Box::pin(async { Err(Error::SessionNotFound) });
        }
        let (reply, outcome) = oneshot::channel();
        let waiting = &mut self.reviving.entry((session, user.clone())).or_default().waiting;
        waiting.push(reply);
        // One load for all requests of the user meanwhile: two would start two actors of one session.
        if waiting.len() == 1 {
            // Sent on drop, so that a load that panics does not keep every later request waiting behind it.
            let given_up = Err(StoreError::Failed("the load was given up".to_owned()));
            let load = self.common.storage.store().load(session, &user);
            let mut report = Report::new(ctx.address(), RecordLoaded { session, user, outcome: given_up });
            actix::spawn(async move {
                let outcome = load.await;
                report.say(|loaded| loaded.outcome = outcome);
            });
        }
        Box::pin(async { outcome.await.unwrap_or(Err(Error::Internal)) })
    }
}

impl Handler<RecordLoaded> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, RecordLoaded { session, user, outcome }: RecordLoaded, _: &mut Context<Self>) {
        let key = (session, user);
        let Reviving { waiting, has_ended } = self.reviving.remove(&key).unwrap_or_default();
        let revived = match outcome {
            // The store gives the owner's sessions alone: no user gets to load another's into memory.
            Ok(Some(record)) if !has_ended && !self.ending.contains(&key) => self.revive(session, record),
            Ok(_) => Err(Error::SessionNotFound),
            Err(error) => Err(error.into()),
        };
        for reply in waiting {
            // A request that was given up meanwhile is asked again by its client.
            let _ = reply.send(revived.clone());
        }
    }
}
