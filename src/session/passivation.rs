//! Sessions that leave: memory when they are idle, and the store when their retention is over.

use std::time::{Instant, SystemTime};

use actix::{AsyncContext, Context, Handler, Message};

use super::{
    SessionRegistry,
    messages::{End, MayPassivate},
};
use crate::ids::SessionId;

/// To self: a session that was last used then has nothing going on.
#[derive(Message)]
#[rtype(result = "()")]
struct Passivate {
    session: SessionId,
    used: Instant,
}

impl SessionRegistry {
    /// Looks for sessions that are to leave.
    pub(super) fn sweep(&mut self, ctx: &Context<Self>) {
        self.end_expired();
        self.note_use();
        let idle = self.idle;
        for (session, entry) in self.sessions.iter().filter(|(_, entry)| entry.is_kept && entry.used.elapsed() >= idle)
        {
            let (session, used, addr) = (*session, entry.used, ctx.address());
            let may_leave = entry.session.send(MayPassivate);
            actix::spawn(async move {
                // One that is gone has left already.
                if may_leave.await.unwrap_or(true) {
                    addr.do_send(Passivate { session, used });
                }
            });
        }
    }

    fn end_expired(&mut self) {
        let retention = self.retention;
        for (session, entry) in self.sessions.extract_if(|_, entry| entry.used.elapsed() >= retention) {
            log::info!(target: "session", session:%, user:% = entry.owner; "session expired");
            entry.session.do_send(End);
            // Another server may have used it since; where there can be others, the store knows.
            if entry.is_kept && self.store.peers().is_none() {
                let (shards, owner) = (self.shards.clone(), entry.owner);
                actix::spawn(async move { shards.end_kept(session, owner).await });
            }
        }
        if self.local.number == 0 {
            let shards = self.shards.clone();
            if self.store.peers().is_some() {
                // What has expired there is not told of.
                shards.note_end();
            }
            actix::spawn(async move { shards.expire_kept().await });
        }
    }

    /// Tells the store which sessions were used since it was last told.
    fn note_use(&mut self) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let used = self.sessions.iter_mut().filter(|(_, entry)| entry.is_kept && entry.used > entry.noted);
        let used: Vec<_> = used
            .map(|(session, entry)| {
                entry.noted = entry.used;
                (*session, wall - now.duration_since(entry.used))
            })
            .collect();
        if !used.is_empty() {
            // Should it fail, the store has said so; a sweep to come will do.
            actix::spawn(self.store.touch(used));
        }
    }
}

impl Handler<Passivate> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Passivate { session, used }: Passivate, _: &mut Context<Self>) {
        // What came meanwhile came by this mailbox.
        if self.sessions.get(&session).is_some_and(|entry| entry.used == used)
            && let Some(entry) = self.sessions.remove(&session)
        {
            log::info!(target: "session", session:%, user:% = entry.owner; "session passivated");
            metrics::counter!("mcp_sessions_passivated_total").increment(1);
            entry.session.do_send(End);
        }
    }
}
