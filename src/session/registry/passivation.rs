//! Sessions that leave: memory when they are idle, and the store when their retention is over.

use std::time::{Duration, Instant, SystemTime};

use actix::{Addr, AsyncContext, Context, Handler, Message, ResponseFuture};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::SessionRegistry;
use crate::{
    ids::SessionId,
    session::{
        SessionActor,
        messages::{End, MakeRoom, MayPassivate},
    },
};

/// Sessions that are asked at once whether they can leave. One place may be enough, but then the next request would have to
/// ask again.
const ASKED_AT_ONCE: usize = 256;

/// Pause after a round in which no session could leave. Each such round has asked all sessions.
const REST: Duration = Duration::from_secs(1);

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
            // Only the session knows of its calls and streams. Its answer holds as long as `used` has not changed.
            let may_leave = entry.session.send(MayPassivate);
            actix::spawn(async move {
                // A session that is gone has left already.
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
            // Another replica may have used it since, and the store has the latest use. It expires sessions by that.
            if entry.is_kept && self.common.storage.store().bus().is_none() {
                let (storage, owner) = (self.common.storage.clone(), entry.owner);
                actix::spawn(async move { storage.end(session, owner).await });
            }
        }
        // Sessions in the store belong to no worker, so one worker expires them for all.
        if self.worker == 0 {
            let storage = self.common.storage.clone();
            if storage.store().bus().is_some() {
                // Redis expires keys silently, so assume that some sessions have ended.
                storage.note_end();
            }
            actix::spawn(async move { storage.expire().await });
        }
    }

    /// Tells the store which sessions were used since it was last told.
    fn note_use(&mut self) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let used = self.sessions.iter_mut().filter(|(_, entry)| entry.is_kept && entry.used > entry.noted);
        let used: Vec<_> = used
            .map(|(session, entry)| {
                entry.noted = entry.used;
                // Memory has monotonic times and the store wall-clock times. The age is the same in both.
                (entry.owner.clone(), *session, wall - now.duration_since(entry.used))
            })
            .collect();
        if !used.is_empty() {
            // The store logs a failure. A session that is used again is told of by a later sweep.
            actix::spawn(self.common.storage.store().touch(used));
        }
    }
}

/// State of a worker's efforts to free memory.
#[derive(Debug, Default)]
pub(super) enum MakingRoom {
    /// No session is being asked to leave.
    #[default]
    Not,
    /// A round is on: sessions are being asked to leave, and these requests wait for its end.
    Asking(Vec<oneshot::Sender<()>>),
    /// In the last round no session could leave. The next round has to wait.
    Resting,
}

/// To self: a round of making room is over.
#[derive(Message)]
#[rtype(result = "()")]
struct MadeRoom {
    has_room: bool,
}

impl Handler<MakeRoom> for SessionRegistry {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: MakeRoom, ctx: &mut Context<Self>) -> Self::Result {
        match &mut self.making_room {
            MakingRoom::Not => self.making_room = MakingRoom::Asking(Vec::new()),
            MakingRoom::Asking(waiting) => {
                // A second round would ask the same sessions again.
                let (over, is_over) = oneshot::channel();
                waiting.push(over);
                // Resolves when the round ends, or with an error when the registry has.
                return Box::pin(async { drop(is_over.await) });
            }
            MakingRoom::Resting => return Box::pin(async {}),
        }
        let kept = self.sessions.iter().filter(|(_, entry)| entry.is_kept);
        let mut kept: Vec<_> = kept.map(|(session, entry)| (entry.used, *session, entry.session.clone())).collect();
        // The least recently used first: it costs a load to bring one back, and they are the least likely to be asked
        // for.
        kept.sort_unstable_by_key(|(used, ..)| *used);
        let addr = ctx.address();
        Box::pin(async move {
            let mut has_room = false;
            for oldest in kept.chunks(ASKED_AT_ONCE) {
                let left =
                    join_all(oldest.iter().map(|(used, session, actor)| ask_to_leave(&addr, *session, *used, actor)));
                if left.await.contains(&true) {
                    has_room = true;
                    break;
                }
            }
            addr.do_send(MadeRoom { has_room });
        })
    }
}

/// Has a session leave memory if it can; gives whether it has.
async fn ask_to_leave(
    registry: &Addr<SessionRegistry>,
    session: SessionId,
    used: Instant,
    actor: &Addr<SessionActor>,
) -> bool {
    // A session that is gone has left already.
    actor.send(MayPassivate).await.unwrap_or(true) && registry.send(Passivate { session, used }).await.is_ok()
}

impl Handler<MadeRoom> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, MadeRoom { has_room }: MadeRoom, ctx: &mut Context<Self>) {
        // Replacing `Asking` drops its senders, which wakes all who wait for the round.
        self.making_room = if has_room { MakingRoom::Not } else { MakingRoom::Resting };
        if !has_room {
            ctx.run_later(REST, |registry, _| registry.making_room = MakingRoom::Not);
        }
    }
}

impl Handler<Passivate> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Passivate { session, used }: Passivate, _: &mut Context<Self>) {
        // Every use comes through this mailbox and changes `used`. If it is as it was, no message is on its way to the
        // session.
        if self.sessions.get(&session).is_some_and(|entry| entry.used == used)
            && let Some(entry) = self.sessions.remove(&session)
        {
            log::info!(target: "session", session:%, user:% = entry.owner; "session passivated");
            metrics::counter!("mcp_sessions_passivated_total").increment(1);
            entry.session.do_send(End);
        }
    }
}
