//! Loads for which no request waits: they take turns, so that thousands of users who come back at once, as after a restart, cost
//! the upstream a bounded load.
//!
//! A load takes its turn as a whole, not for each read: users of the workspace may be waiting for a list of actions that it reads
//! for all, and a read that queued behind other loads would hold them up. A user's loads, each for other apps, queue as one.

use std::{cell::Cell, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::sync::Notify;

use super::turns::{Party, Share, Turn, Turns};
use crate::ids::UserKey;

/// Loads of one workspace in the background at once. With an upstream that takes 100 ms, it is 80 users a second.
pub(super) const LOADS_PER_WORKSPACE: usize = 8;

/// The same for all workspaces together.
const LOADS: usize = 32;

/// Reads of such a load at once: since no request waits, it may take some rounds more.
pub(super) const READS_PER_LOAD: usize = 2;

/// How long a turn is waited for: until the load has ended in another way.
const FOR_EVER: Duration = Duration::from_secs(86400 * 365);

/// Turns of loads in the background.
#[derive(Debug)]
pub(super) struct Background {
    /// One for each user, however many there are: a user has one place in the queue of the workspace.
    users: Arc<Turns>,
    workspaces: Arc<Turns>,
}

/// Turn of one load, in the workspace first, which is free before the user's next load queues there.
pub(super) type LoadTurn = (Turn, Turn);

impl Background {
    /// Makes the turns.
    pub fn new() -> Self {
        let users = Turns::new(usize::MAX, Share::AtMost(1));
        Self { users, workspaces: Turns::new(LOADS, Share::AtMost(LOADS_PER_WORKSPACE)) }
    }

    /// Waits for a turn of a user's load.
    async fn turn(&self, user: &UserKey) -> Option<LoadTurn> {
        let own = self.users.take(&Party::User(user.clone()), FOR_EVER).await.ok()?;
        let party = match user.workspace() {
            "" => Party::User(user.clone()),
            workspace => Party::Workspace(workspace.to_owned()),
        };
        Some((self.workspaces.take(&party, FOR_EVER).await.ok()?, own))
    }
}

/// Urgency of a load, which changes as requests come for it and are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Requests wait that may be answered by what was kept. It is being looked for.
    Undecided,
    /// Requests wait for the load, or are about to.
    Urgent,
    /// No request waits for the load.
    Background,
}

/// Urgency of one load, told from the actor to the load beside it.
#[derive(Debug)]
pub(super) struct Pace {
    urgency: Cell<Urgency>,
    changed: Notify,
}

impl Pace {
    /// Returns the pace of a load with this urgency at first.
    pub fn new(urgency: Urgency) -> Self {
        Self { urgency: Cell::new(urgency), changed: Notify::new() }
    }

    /// Sets the urgency. A load that has its turn already keeps its pace.
    pub fn set(&self, urgency: Urgency) {
        self.urgency.set(urgency);
        self.changed.notify_waiters();
    }

    /// A request begins to wait for the load.
    pub fn hurry(&self) {
        // Undecided, it waits for what was kept as the others do.
        if self.urgency.get() == Urgency::Background {
            self.set(Urgency::Urgent);
        }
    }

    /// Waits until the load may go on: with a turn that it holds while it lasts, or without one where requests wait for it.
    pub async fn turn(&self, background: &Background, user: &UserKey) -> Option<LoadTurn> {
        let mut turn = pin!(background.turn(user));
        loop {
            // Made before the urgency is read, it misses no change.
            let changed = pin!(self.changed.notified());
            match self.urgency.get() {
                Urgency::Urgent => return None,
                Urgency::Undecided => changed.await,
                Urgency::Background => match select(turn.as_mut(), changed).await {
                    Either::Left((turn, _)) => return turn,
                    Either::Right(((), _)) => {}
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    fn user(workspace: &str, name: usize) -> UserKey {
        UserKey::new(workspace, &name.to_string())
    }

    #[tokio::test]
    async fn loads_of_a_workspace_take_turns_and_leave_others_theirs() {
        let (turns, pace) = (Background::new(), Pace::new(Urgency::Background));
        let mut held = Vec::new();
        for i in 0..LOADS_PER_WORKSPACE {
            held.push(pace.turn(&turns, &user("w", i)).now_or_never().unwrap().unwrap());
        }
        let eve = user("w", 100);
        let mut waiting = pin!(pace.turn(&turns, &eve));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(pace.turn(&turns, &user("another", 0)).now_or_never().unwrap().is_some());
        held.pop();
        assert!(waiting.await.is_some(), "the next of the workspace");
    }

    #[tokio::test]
    async fn a_user_with_many_loads_has_one_place_in_the_queue() {
        let (turns, pace) = (Background::new(), Pace::new(Urgency::Background));
        let [eve, ann] = [0, 1].map(|name| user("w", name));
        let mut first = pace.turn(&turns, &eve).now_or_never().unwrap();
        let mut others: Vec<_> = (0..100).map(|_| Box::pin(pace.turn(&turns, &eve))).collect();
        assert!(others.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        assert!(pace.turn(&turns, &ann).now_or_never().unwrap().is_some());
        for turn in &mut others {
            drop(first);
            first = turn.as_mut().now_or_never().unwrap();
        }
    }

    #[tokio::test]
    async fn a_load_that_a_request_waits_for_goes_before_its_turn() {
        let (turns, ann) = (Background::new(), user("w", 100));
        let others = Pace::new(Urgency::Background);
        let users: Vec<_> = (0..LOADS_PER_WORKSPACE).map(|i| user("w", i)).collect();
        let held = join_all(users.iter().map(|user| others.turn(&turns, user))).await;
        assert!(Pace::new(Urgency::Urgent).turn(&turns, &ann).now_or_never().unwrap().is_none());

        let pace = Pace::new(Urgency::Undecided);
        let mut waiting = pin!(pace.turn(&turns, &ann));
        pace.hurry();
        assert!(waiting.as_mut().now_or_never().is_none(), "what was kept may do");
        pace.set(Urgency::Background);
        assert!(waiting.as_mut().now_or_never().is_none(), "eight others are first");
        pace.hurry();
        assert!(waiting.as_mut().now_or_never().unwrap().is_none());
        drop(held);
        assert!(others.turn(&turns, &ann).now_or_never().unwrap().is_some(), "its place in the queue is free");
    }
}
