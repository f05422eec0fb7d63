//! Turns to ask the upstream, handed out fairly between users.
//!
//! Only so many requests may be in flight. A queue of requests would serve the user who sends most of them, so this is a
//! queue of users: of those who wait, each gets one turn before any of them gets another. Where the upstream takes fewer requests
//! than there are turns, fewer are given, see `width`.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::width::{Answered, Narrowed, Refused, Scope, Widths};
use crate::{
    ids::UserKey,
    secret::Fingerprint,
    token::{AccessToken, Claim},
};

/// Holder of turns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// A user whose token the upstream has accepted.
    User(UserKey),
    /// All users of a workspace together.
    Workspace(String),
    /// A token that the upstream has yet to accept, with the user it claims. Counting it for that user would let a forged one take
    /// the user's turns.
    Token(Fingerprint, Option<UserKey>),
}

impl Party {
    /// Returns the party of a token that the upstream has yet to accept.
    #[must_use]
    pub fn unknown(token: &AccessToken) -> Self {
        let claimed = match token.claim() {
            Claim::User { user, .. } => Some(user.clone()),
            Claim::UserAlone { .. } | Claim::Opaque => None,
        };
        Self::Token(token.fingerprint(), claimed)
    }

    /// Returns the user whose width, and whose workspace's, the party's requests count for and may narrow. A token that is not
    /// accepted has none: it may claim any.
    fn user(&self) -> Option<&UserKey> {
        match self {
            Self::User(user) => Some(user),
            Self::Workspace(_) | Self::Token(..) => None,
        }
    }

    /// Returns the user with whom the party is held back by a pause, who may well be one that is only claimed.
    fn paused_with(&self) -> Option<&UserKey> {
        match self {
            Self::User(user) | Self::Token(_, Some(user)) => Some(user),
            Self::Workspace(_) | Self::Token(_, None) => None,
        }
    }
}

/// Reason for which a request gets no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTurn {
    /// Other requests had all turns for too long.
    Busy,
    /// The upstream asks to be left alone for this time, which is too long to wait.
    HeldBack(Duration),
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
    /// Longest pause of the upstream that a request waits through.
    max_pause: Duration,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    free: usize,
    parties: HashMap<Party, Account>,
    /// Parties that wait, each once, in the order of their next turn.
    round: VecDeque<Party>,
    /// Turns that the upstream takes, where it is heeded.
    widths: Option<Widths>,
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
            (_, Party::Token(..)) => held == 0,
            (Self::AtMost(most), Party::User(_) | Party::Workspace(_)) => held < most,
            (Self::AsManyAsAreFree, Party::User(_) | Party::Workspace(_)) => held < free,
        }
    }
}

impl Turns {
    /// Makes `count` turns, of which a user may hold `share`.
    #[must_use]
    pub fn new(count: usize, share: Share) -> Arc<Self> {
        let books = Books { free: count, parties: HashMap::new(), round: VecDeque::new(), widths: None };
        Arc::new(Self { share, max_pause: Duration::MAX, books: Mutex::new(books) })
    }

    /// Makes `count` turns of which fewer are given while the upstream takes fewer. Requests wait through a pause that it asks for
    /// if that is no longer than `max_pause`.
    #[must_use]
    pub fn adaptive(count: usize, share: Share, max_pause: Duration) -> Arc<Self> {
        let (parties, round, widths) = (HashMap::new(), VecDeque::new(), Some(Widths::new(count)));
        let books = Books { free: count, parties, round, widths };
        Arc::new(Self { share, max_pause, books: Mutex::new(books) })
    }

    /// Waits for a turn, and for no longer than `timeout`.
    ///
    /// # Errors
    /// [`NoTurn`].
    pub async fn take(self: &Arc<Self>, party: &Party, timeout: Duration) -> Result<Turn, NoTurn> {
        if let Some(pause) = self.long_pause(party) {
            return Err(NoTurn::HeldBack(pause));
        }
        match self.try_take(party) {
            Ok(turn) => Ok(turn),
            // Dropped at the timeout, the receiver frees a turn that was given meanwhile: it is dropped unread, or
            // can't be sent.
            Err(turn) => match tokio::time::timeout(timeout, turn).await {
                Ok(Ok(turn)) => Ok(turn),
                // The sender is dropped where a pause has begun meanwhile.
                Ok(Err(_)) | Err(_) => Err(self.long_pause(party).map_or(NoTurn::Busy, NoTurn::HeldBack)),
            },
        }
    }

    /// Returns how long the upstream asks the party to leave it alone, if that is too long to wait.
    fn long_pause(&self, party: &Party) -> Option<Duration> {
        let pause = self.books().pause(party, Instant::now())?;
        (pause > self.max_pause).then_some(pause)
    }

    /// Takes a turn that is free, or queues for one.
    fn try_take(self: &Arc<Self>, party: &Party) -> Result<Turn, oneshot::Receiver<Turn>> {
        let (mut books, now) = (self.books(), Instant::now());
        let may_go = books.may_go(party, now);
        let Books { free, parties, round, widths } = &mut *books;
        let account = parties.entry(party.clone()).or_default();
        // Turns that a waiting party could take have been given to it, so nobody is overtaken here.
        if account.waiting.is_empty() && may_go && self.share.allows(party, account.held, *free) {
            account.held += 1;
            *free -= 1;
            if let Some(widths) = widths {
                widths.take(party.user(), now);
            }
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
        let most = match self.share {
            // There may be thousands who wait for other reasons. They are not looked through for nothing.
            Share::AtMost(_) => usize::from(books.is_awaited(party, Instant::now())),
            // Each party may hold more, the more turns are free.
            Share::AsManyAsAreFree => usize::MAX,
        };
        books.free += 1;
        if let Some(widths) = &mut books.widths {
            widths.give_back(party.user());
        }
        // A clone costs less than a second search.
        if let Entry::Occupied(mut account) = books.parties.entry(party.clone()) {
            let held = &mut account.get_mut().held;
            *held = held.saturating_sub(1);
            if account.get().is_closed() {
                account.remove();
            }
        }
        self.give_out(&mut books, most);
    }

    /// Gives up to `most` free turns to parties that wait, until none is free or none of those may have another.
    fn give_out(self: &Arc<Self>, books: &mut Books, most: usize) {
        let now = Instant::now();
        let (mut given, mut passed_over) = (0, 0);
        while given < most && books.has_free() && passed_over < books.round.len() {
            let Some(party) = books.round.pop_front() else { return };
            let may_go = books.may_go(&party, now);
            let Books { free, parties, round, widths } = &mut *books;
            let Some(account) = parties.get_mut(&party) else { continue };
            if may_go && self.share.allows(&party, account.held, *free) {
                while let Some(request) = account.waiting.pop_front() {
                    let turn = Turn { turns: Some(Arc::clone(self)), party: party.clone() };
                    match request.send(turn) {
                        Ok(()) => {
                            given += 1;
                            account.held += 1;
                            *free -= 1;
                            if let Some(widths) = widths {
                                widths.take(party.user(), now);
                            }
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

impl Books {
    /// Returns whether a turn is free, and the upstream takes one more request of anybody's.
    fn has_free(&self) -> bool {
        self.free > 0 && self.widths.as_ref().is_none_or(|widths| widths.allow(None))
    }

    /// Returns whether the upstream takes one more request of a party just now.
    fn may_go(&self, party: &Party, now: Instant) -> bool {
        let Some(widths) = &self.widths else { return true };
        widths.allow(party.user()) && self.pause(party, now).is_none()
    }

    /// Returns whether a turn that a party gives back may be one that is waited for: by anybody, where no other is free, by
    /// others of the workspace, or by the party itself. All others who wait do so for other reasons.
    fn is_awaited(&self, party: &Party, now: Instant) -> bool {
        let is_waiting = |account: &Account| !account.waiting.is_empty();
        !self.has_free() || !self.may_go(party, now) || self.parties.get(party).is_some_and(is_waiting)
    }

    /// Returns how long the upstream asks a party to leave it alone.
    fn pause(&self, party: &Party, now: Instant) -> Option<Duration> {
        self.widths.as_ref()?.pause(party.paused_with()?, now)
    }

    /// Lets requests that are held back with a user, or with the whole workspace, go without a turn.
    fn send_away(&mut self, user: &UserKey, scope: Scope) {
        let is_there = |party: &Party| {
            party.paused_with().is_some_and(|theirs| match scope {
                Scope::User => theirs == user,
                Scope::Workspace => theirs.workspace() == user.workspace(),
            })
        };
        self.round.retain(|party| !is_there(party));
        self.parties.retain(|party, account| {
            if is_there(party) {
                account.waiting.clear();
            }
            !account.is_closed()
        });
    }
}

impl Account {
    fn is_closed(&self) -> bool {
        self.held == 0 && self.waiting.is_empty()
    }
}

impl Turn {
    /// Notes that the upstream has answered a request of this turn that was `sent` then, or has not in all its time.
    pub fn note_answer(&self, endpoint: &'static str, sent: Instant) {
        let Some(turns) = &self.turns else { return };
        let mut books = turns.books();
        let Some(widths) = &mut books.widths else { return };
        let Answered { narrowed, has_grown } = widths.answered(self.party.user(), endpoint, sent, Instant::now());
        if has_grown {
            turns.give_out(&mut books, usize::MAX);
        }
        drop(books);
        self.tell(narrowed);
    }

    /// Notes that the upstream has refused a request of this turn for now: because there are too many, or with a time for which it
    /// asks to be left alone.
    pub fn note_refusal(&self, is_limit: bool, retry_after: Option<Duration>, sent: Instant) {
        let (Some(turns), Some(user)) = (&self.turns, self.party.user()) else { return };
        let (mut books, now) = (turns.books(), Instant::now());
        let held = books.parties.get(&self.party).map_or(0, |account| account.held);
        let Some(widths) = &mut books.widths else { return };
        let Refused { narrowed, pause } = widths.refused(user, held, (is_limit, retry_after), sent, now);
        if let Some((scope, _)) = pause.filter(|(_, pause)| *pause > turns.max_pause) {
            books.send_away(user, scope);
        }
        drop(books);
        self.tell(narrowed);
        if let Some((_, pause)) = pause {
            let turns = Arc::clone(turns);
            // Turns are given as others are given back, of which there may be none when the pause is over.
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                turns.give_out(&mut turns.books(), usize::MAX);
            });
        }
    }

    fn tell(&self, narrowed: Option<Narrowed>) {
        let (reason, why) = match narrowed {
            None => return,
            Some(Narrowed::Limited) => ("limited", "has too many requests"),
            Some(Narrowed::Late) => ("late", "answers later than usual"),
        };
        metrics::counter!("mcp_upstream_narrowed_total", "reason" => reason).increment(1);
        log::info!(workspace = self.party.user().map_or("", UserKey::workspace); "the upstream {why}: fewer reads go out at once");
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
mod tests;
