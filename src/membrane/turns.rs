//! Turns to ask the upstream, handed out fairly between users.
//!
//! Only so many requests may be in flight. A queue of requests would serve the user who sends most of them, so this is a
//! queue of users: of those who wait, each gets one turn before any of them gets another.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{ids::UserKey, secret::Fingerprint};

/// Holder of turns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// A user whose token the upstream has accepted.
    User(UserKey),
    /// A token that the upstream has yet to accept. Counting it for the user it claims would let a forged one take that
    /// user's turns.
    Token(Fingerprint),
}

/// Turns that one user may hold at once.
#[derive(Debug, Clone, Copy)]
pub enum Share {
    /// Fixed number of turns at once.
    AtMost(usize),
    /// As many as are free besides: one user gets half of all turns, two get a third each, and so on. However many turns
    /// some users hold, the next user finds one free.
    AsManyAsAreFree,
}

/// A bounded number of turns. A lock guards the books, for as long as it takes to read and write a few numbers.
#[derive(Debug)]
pub struct Turns {
    share: Share,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    free: usize,
    parties: HashMap<Party, Account>,
    /// Parties that wait, each once, in the order of their next turn.
    round: VecDeque<Party>,
}

/// One party's turns and requests. An account without either is closed.
#[derive(Debug, Default)]
struct Account {
    held: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// Permission for one request. Dropped, it goes to the next party.
#[derive(Debug)]
pub struct Turn {
    /// None in a turn that was never counted, so that its drop gives nothing back.
    turns: Option<Arc<Turns>>,
    party: Party,
}

impl Share {
    fn allows(self, party: &Party, held: usize, free: usize) -> bool {
        match (self, party) {
            _ if free == 0 => false,
            // A guess must not cost more than one request.
            (_, Party::Token(_)) => held == 0,
            (Self::AtMost(most), Party::User(_)) => held < most,
            (Self::AsManyAsAreFree, Party::User(_)) => held < free,
        }
    }
}

impl Turns {
    /// Makes `count` turns, of which a user may hold `share`.
    #[must_use]
    pub fn new(count: usize, share: Share) -> Arc<Self> {
        let books = Books { free: count, parties: HashMap::new(), round: VecDeque::new() };
        Arc::new(Self { share, books: Mutex::new(books) })
    }

    /// Waits for a turn, and for no longer than `timeout`.
    pub async fn take(self: &Arc<Self>, party: &Party, timeout: Duration) -> Option<Turn> {
        match self.try_take(party) {
            Ok(turn) => Some(turn),
            // Dropped at the timeout, the receiver frees a turn that was given meanwhile: it is dropped unread, or
            // can't be sent.
            Err(turn) => tokio::time::timeout(timeout, turn).await.ok()?.ok(),
        }
    }

    /// Takes a turn that is free, or queues for one.
    fn try_take(self: &Arc<Self>, party: &Party) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut books = self.books();
        let Books { free, parties, round } = &mut *books;
        let account = parties.entry(party.clone()).or_default();
        // Turns that a waiting party could take have been given to it, so nobody is overtaken here.
        if account.waiting.is_empty() && self.share.allows(party, account.held, *free) {
            account.held += 1;
            *free -= 1;
            return Ok(Turn { turns: Some(Arc::clone(self)), party: party.clone() });
        }
        if account.waiting.is_empty() {
            round.push_back(party.clone());
        } else if account.waiting.len() == account.waiting.capacity() {
            // Requests that were given up leave a place behind; rather than grow, the queue gives those up too.
            account.waiting.retain(|request| !request.is_closed());
        }
        let (give, turn) = oneshot::channel();
        account.waiting.push_back(give);
        Err(turn)
    }

    fn give_back(self: &Arc<Self>, party: &Party) {
        let mut books = self.books();
        books.free += 1;
        // A clone costs less than a second search.
        if let Entry::Occupied(mut account) = books.parties.entry(party.clone()) {
            let held = &mut account.get_mut().held;
            *held = held.saturating_sub(1);
            if account.get().is_closed() {
                account.remove();
            }
        }
        self.give_out(&mut books);
    }

    /// Gives free turns to parties that wait, until none is free or none of those may have another.
    fn give_out(self: &Arc<Self>, books: &mut Books) {
        let Books { free, parties, round } = books;
        let mut passed_over = 0;
        while *free > 0 && passed_over < round.len() {
            let Some(party) = round.pop_front() else { return };
            let Some(account) = parties.get_mut(&party) else { continue };
            if self.share.allows(&party, account.held, *free) {
                while let Some(request) = account.waiting.pop_front() {
                    let turn = Turn { turns: Some(Arc::clone(self)), party: party.clone() };
                    match request.send(turn) {
                        Ok(()) => {
                            account.held += 1;
                            *free -= 1;
                            break;
                        }
                        // The request was given up. Its turn was never counted, and dropping it would ask for the lock.
                        Err(mut turn) => turn.turns = None,
                    }
                }
            } else {
                // At its own limit. Once all that wait are, the free turns stay free.
                passed_over += 1;
            }
            if !account.waiting.is_empty() {
                // Behind all others: each party that waits gets one turn before any gets its next.
                round.push_back(party);
            } else if account.is_closed() {
                parties.remove(&party);
            }
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // A poisoned lock holds sound books all the same: no panic can leave them half written.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn is_closed(&self) -> bool {
        self.held == 0 && self.waiting.is_empty()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.give_back(&self.party);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(name: &str) -> Party {
        Party::User(UserKey::new("w", name))
    }

    /// Returns the turn of a request that waits, once it has it.
    fn turn_of(request: &mut oneshot::Receiver<Turn>) -> Option<Turn> {
        request.try_recv().ok()
    }

    #[test]
    fn users_who_wait_take_turns_however_much_each_asks() {
        let turns = Turns::new(1, Share::AtMost(1));
        let mut held = turns.try_take(&user("ann")).unwrap();
        let mut anns: Vec<_> = (0..3).map(|_| turns.try_take(&user("ann")).unwrap_err()).collect();
        let mut bobs: Vec<_> = (0..2).map(|_| turns.try_take(&user("bob")).unwrap_err()).collect();
        let mut order = String::new();
        for _ in 0..5 {
            drop(held);
            let mut waiting = anns.iter_mut().map(|turn| ('a', turn)).chain(bobs.iter_mut().map(|turn| ('b', turn)));
            let (who, turn) = waiting.find_map(|(who, request)| Some((who, turn_of(request)?))).unwrap();
            (held, order) = (turn, format!("{order}{who}"));
        }
        assert_eq!(order, "ababa");
        drop(held);
        assert!(turns.books().parties.is_empty(), "nobody is remembered for nothing");
    }

    #[test]
    fn a_user_holds_no_more_than_their_share() {
        let turns = Turns::new(10, Share::AtMost(2));
        let _held = [turns.try_take(&user("ann")).unwrap(), turns.try_take(&user("ann")).unwrap()];
        assert!(turns.try_take(&user("ann")).is_err());
        assert!(turns.try_take(&user("bob")).is_ok());

        let turns = Turns::new(12, Share::AsManyAsAreFree);
        let take_all = |name: &str| std::iter::from_fn(|| turns.try_take(&user(name)).ok()).collect::<Vec<_>>();
        let anns = take_all("ann");
        assert_eq!(anns.len(), 6, "half, where nobody else asks");
        let bobs = take_all("bob");
        assert_eq!(bobs.len(), 3, "half of the rest");
        assert!(turns.try_take(&user("eve")).is_ok(), "who comes late finds one free");
        drop(anns);
        assert_eq!(bobs.len() + take_all("bob").len(), 6, "and what she gives back is there for all");
    }

    #[test]
    fn a_token_that_is_not_accepted_yet_has_one_turn() {
        let turns = Turns::new(10, Share::AtMost(2));
        let unknown = Party::Token(Fingerprint::of("pat-x"));
        let held = turns.try_take(&unknown).unwrap();
        let mut next = turns.try_take(&unknown).unwrap_err();
        assert!(turns.try_take(&user("ann")).is_ok());
        assert!(turn_of(&mut next).is_none());
        drop(held);
        assert!(turn_of(&mut next).is_some());
    }

    #[test]
    fn a_request_that_is_given_up_takes_no_turn_and_no_room() {
        let turns = Turns::new(1, Share::AtMost(1));
        let held = turns.try_take(&user("ann")).unwrap();
        for _ in 0..10_000 {
            drop(turns.try_take(&user("ann")));
        }
        assert!(turns.books().parties[&user("ann")].waiting.len() < 100);
        let mut bob = turns.try_take(&user("bob")).unwrap_err();
        drop(held);
        let bob = turn_of(&mut bob);
        assert!(bob.is_some());
        // A turn that was given and never fetched goes on to the next.
        let unfetched = turns.try_take(&user("eve")).unwrap_err();
        drop(bob);
        drop(unfetched);
        assert!(turns.try_take(&user("ann")).is_ok());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let turns = Turns::new(1, Share::AtMost(1));
        let _held = turns.try_take(&user("ann")).unwrap();
        assert!(turns.take(&user("bob"), Duration::from_millis(1)).await.is_none());
    }

    proptest! {
        /// In any order of requests, returns and cancellations: no turn is lost or doubled, no share is exceeded, and no
        /// turn stays free that a waiting party may have.
        #[test]
        fn turns_are_neither_lost_nor_doubled(
            count in 1..6_usize,
            at_most in proptest::option::of(1..4_usize),
            steps in proptest::collection::vec((0..4_usize, 0..3_u8), 1..200),
        ) {
            let share = at_most.map_or(Share::AsManyAsAreFree, Share::AtMost);
            let turns = Turns::new(count, share);
            let names = ["ann", "bob", "eve", "joe"].map(user);
            let mut held: Vec<(usize, Turn)> = Vec::new();
            let mut waiting: Vec<(usize, oneshot::Receiver<Turn>)> = Vec::new();
            for (who, what) in steps {
                match what {
                    0 => match turns.try_take(&names[who]) {
                        Ok(turn) => held.push((who, turn)),
                        Err(request) => waiting.push((who, request)),
                    },
                    1 => if let Some(at) = held.iter().position(|(holder, _)| *holder == who) {
                        drop(held.remove(at));
                    },
                    _ => if let Some(at) = waiting.iter().position(|(asker, _)| *asker == who) {
                        drop(waiting.remove(at));
                    },
                }
                waiting.retain_mut(|(who, request)| match turn_of(request) {
                    Some(turn) => {
                        held.push((*who, turn));
                        false
                    }
                    None => true,
                });
                let free = count - held.len();
                prop_assert_eq!(turns.books().free, free);
                for (who, name) in names.iter().enumerate() {
                    let has = held.iter().filter(|(holder, _)| *holder == who).count();
                    if let Some(most) = at_most {
                        prop_assert!(has <= most);
                    }
                    let waits = waiting.iter().any(|(asker, _)| *asker == who);
                    prop_assert!(!waits || !share.allows(name, has, free), "{:?} waits for a turn that is free", name);
                }
            }
            drop(waiting);
            drop(held);
            prop_assert_eq!(turns.books().free, count);
            prop_assert!(turns.books().parties.is_empty() && turns.books().round.is_empty());
        }
    }
}
