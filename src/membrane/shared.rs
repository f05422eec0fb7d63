//! State of one list of actions that the users of a workspace may share, and the next step for a user who needs it.
//!
//! Actions of an integration are elements of the workspace, so one user's list should be every user's. That is not taken on
//! trust: a list is lent to further users only once two of them have read the same with tokens of their own. Where a later
//! reader is told something else, the reader before asks again: if both are told the same now, the list has changed; if not,
//! this upstream answers each user differently, and nothing is shared any more.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{app_list::AppList, app_tools::AppTools, tool::App};
use crate::{ids::UserKey, token::AccessToken};

/// Whether lists are shared at all. Once it is off, it stays so. Cheap to clone, and the same on every thread.
#[derive(Debug, Clone, Default)]
pub struct SharingSwitch(Arc<AtomicBool>);

impl SharingSwitch {
    /// Returns a switch that is off from the beginning.
    #[must_use]
    pub fn off() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Returns whether lists that other users have read may be used.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }

    /// Ends all sharing, and with it whatever was lent before. Returns whether it was on.
    pub(super) fn turn_off(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// A list that users may share.
///
/// The id of the integration comes from each user's own connections, which the upstream listed for the user's own token. So a
/// token that claims a foreign workspace finds no list there: no connection of its own names an integration of that workspace.
/// Name and logo of the app stand in the tools, so users who are told others of them don't share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListKey {
    /// Key of the workspace.
    pub workspace: String,
    /// Id of the integration.
    pub integration: String,
    /// The app as the user's connections name it.
    pub app: App,
}

/// A good read of a list.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub list: AppList,
    pub user: UserKey,
    /// Token that it was read with, to ask again with where another user is told something else.
    pub token: AccessToken,
    /// Time at which the read began: what has changed since may be missing.
    pub begun: Instant,
}

/// Need of a user for a list.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub user: UserKey,
    /// Time of a change that the list must not be older than.
    pub not_before: Option<Instant>,
    /// A read that began then or later will do however old it is when it comes: it was on its way when the user came.
    pub accepts: Instant,
}

/// Next step for a user who needs a list.
#[derive(Debug)]
pub(super) enum Step {
    /// Takes this list.
    Lend(AppList),
    /// Reads it with the user's own token.
    Read,
    /// Waits for others who are reading it.
    Wait,
}

/// Consequence of a read for the list.
#[derive(Debug)]
pub(super) enum Finding {
    /// None but what was noted.
    Noted,
    /// Another user was told something else before: this read is to be compared with a new one of theirs.
    Differs(Read),
}

/// One list, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct SharedList {
    last: Option<Read>,
    /// Whether two users have been told the last.
    is_agreed: bool,
    /// Users who are reading it, with the times at which they began.
    reading: Vec<(UserKey, Instant)>,
    /// Whether a difference is being looked into.
    is_checked: bool,
    /// Time at which somebody found actions of one user in it.
    personal: Option<Instant>,
}

/// How long lists are taken as read, and how long one with actions of a single user is left to each user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    pub fresh: Duration,
    pub personal: Duration,
}

impl SharedList {
    /// Returns the tools that it holds in memory.
    pub fn tools(&self) -> Option<&Arc<AppTools>> {
        self.last.as_ref().map(|last| &last.list.tools)
    }

    /// Returns the need of a user who comes now.
    pub fn need(&self, user: UserKey, not_before: Option<Instant>, now: Instant) -> Need {
        let accepts = self.reading.iter().map(|(_, begun)| *begun).min().unwrap_or(now);
        Need { user, not_before, accepts }
    }

    /// Decides what a user is to do, and notes a read that follows.
    pub fn step(&mut self, need: &Need, ages: Ages, now: Instant) -> Step {
        let is_personal = self.personal.is_some_and(|since| now.duration_since(since) < ages.personal);
        let step = match &self.last {
            _ if is_personal => Step::Read,
            Some(last) if self.is_agreed && is_new_enough(last.begun, need, ages, now) => Step::Lend(last.list.clone()),
            _ if self.is_checked => Step::Wait,
            _ if self.is_agreed && !self.reading.is_empty() => Step::Wait,
            _ if self.is_agreed || self.others(&need.user) < 2 => Step::Read,
            // Two others have read it or are about to: all but these learn from them whether it can be shared.
            _ => Step::Wait,
        };
        if matches!(step, Step::Read) {
            self.reading.push((need.user.clone(), now));
        }
        step
    }

    /// Returns how many other users have read the list, or are reading it.
    fn others(&self, user: &UserKey) -> usize {
        let reading = self.reading.iter().map(|(user, _)| user);
        let known: BTreeSet<_> = self.last.iter().map(|last| &last.user).chain(reading).collect();
        known.iter().filter(|other| ***other != *user).count()
    }

    /// A user's read has ended, in whatever way.
    pub fn ended(&mut self, user: &UserKey, begun: Instant) {
        if let Some(place) = self.reading.iter().position(|(other, at)| other == user && *at == begun) {
            self.reading.swap_remove(place);
        }
    }

    /// Somebody has found actions of one user in it.
    pub fn found_personal(&mut self, now: Instant) {
        *self = Self { personal: Some(now), reading: std::mem::take(&mut self.reading), ..Self::default() };
    }

    /// Takes in a good read.
    pub fn read(&mut self, read: Read, ages: Ages, now: Instant) -> Finding {
        if self.personal.is_some_and(|since| now.duration_since(since) < ages.personal) {
            return Finding::Noted;
        }
        self.personal = None;
        let Some(last) = &self.last else {
            self.last = Some(read);
            return Finding::Noted;
        };
        let (is_same, is_theirs) = (last.list.tools.content() == read.list.tools.content(), last.user == read.user);
        if is_same {
            self.is_agreed |= !is_theirs;
        } else if self.is_checked {
            // What comes of the difference that is being looked into tells of this one, too.
            return Finding::Noted;
        } else if !is_theirs {
            self.is_checked = true;
            return Finding::Differs(read);
        }
        // The older of two reads of one user that overtook each other says nothing.
        if read.begun >= last.begun {
            self.is_agreed &= is_same;
            self.last = Some(read);
        }
        Finding::Noted
    }

    /// A user was refused the list. Returns the read of another user that speaks against it, if that is to be looked into.
    pub fn refused(&mut self, user: &UserKey) -> Option<&Read> {
        let last = self.last.as_ref().filter(|last| last.user != *user && !self.is_checked)?;
        self.is_checked = true;
        Some(last)
    }

    /// Returns the last good read.
    pub fn last(&self) -> Option<&Read> {
        self.last.as_ref()
    }

    /// Ends the look into a difference: `read` is the last one now, and whether both users were told it.
    pub fn checked(&mut self, read: Option<Read>, is_agreed: bool) {
        (self.last, self.is_agreed, self.is_checked) = (read, is_agreed, false);
    }
}

fn is_new_enough(begun: Instant, need: &Need, ages: Ages, now: Instant) -> bool {
    let is_fresh = begun >= need.accepts || now.duration_since(begun) < ages.fresh;
    is_fresh && need.not_before.is_none_or(|change| begun >= change)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::membrane::app_tools::tests::app;

    const AGES: Ages = Ages { fresh: Duration::from_secs(60), personal: Duration::from_secs(600) };

    fn user(name: &str) -> UserKey {
        UserKey::new("w", name)
    }

    fn read(name: &str, actions: &[&str], begun: Instant) -> Read {
        let token = AccessToken::parse(&format!("pat-{name}"), SystemTime::now()).unwrap();
        let list = AppList { tools: Arc::new(app("slack", actions)), place: None, is_personal: false };
        Read { list, user: user(name), token, begun }
    }

    fn step(list: &mut SharedList, name: &str, now: Instant) -> Step {
        let need = list.need(user(name), None, now);
        list.step(&need, AGES, now)
    }

    /// Has a user read the list, who is told of these actions.
    fn reads(list: &mut SharedList, name: &str, actions: &[&str], now: Instant) -> Finding {
        assert!(matches!(step(list, name, now), Step::Read), "{name} reads it");
        list.ended(&user(name), now);
        list.read(read(name, actions, now), AGES, now)
    }

    #[test]
    fn a_list_is_lent_once_two_users_were_told_the_same() {
        let (mut list, now) = (SharedList::default(), Instant::now());
        reads(&mut list, "ann", &["a"], now);
        assert!(
            matches!(step(&mut list, "ann", now), Step::Read),
            "one user's word is not enough, not even for that user"
        );
        list.ended(&user("ann"), now);
        reads(&mut list, "bob", &["a"], now);
        for name in ["ann", "bob", "eve"] {
            assert!(matches!(step(&mut list, name, now), Step::Lend(_)), "{name}");
        }
        let later = now + AGES.fresh;
        assert!(matches!(step(&mut list, "eve", later), Step::Read), "it is not fresh any more");
        assert!(matches!(step(&mut list, "ann", later), Step::Wait), "one read serves all");
        list.ended(&user("eve"), later);
        list.read(read("eve", &["a"], later), AGES, later);
        assert!(matches!(step(&mut list, "ann", later), Step::Lend(_)));
    }

    #[test]
    fn two_users_read_a_cold_list_and_the_others_wait_for_them() {
        let (mut list, now) = (SharedList::default(), Instant::now());
        assert!(matches!(step(&mut list, "ann", now), Step::Read));
        assert!(matches!(step(&mut list, "bob", now), Step::Read));
        assert!(matches!(step(&mut list, "eve", now), Step::Wait));
        list.ended(&user("bob"), now);
        assert!(matches!(step(&mut list, "eve", now), Step::Read), "in place of bob, whose read failed");
    }

    #[test]
    fn a_read_that_was_on_its_way_serves_those_who_waited_for_it_however_short_lists_are_fresh() {
        let ages = Ages { fresh: Duration::ZERO, ..AGES };
        let (mut list, now) = (SharedList::default(), Instant::now());
        for name in ["ann", "bob"] {
            assert!(matches!(step(&mut list, name, now), Step::Read));
        }
        let eve = list.need(user("eve"), None, now + Duration::from_millis(1));
        for name in ["ann", "bob"] {
            list.ended(&user(name), now);
            list.read(read(name, &["a"], now), ages, now);
        }
        let later = now + Duration::from_secs(1);
        assert!(matches!(list.step(&eve, ages, later), Step::Lend(_)));
        let joe = list.need(user("joe"), None, later);
        assert!(matches!(list.step(&joe, ages, later), Step::Read));
    }

    #[test]
    fn a_list_from_before_a_change_is_not_lent() {
        let (mut list, now) = (SharedList::default(), Instant::now());
        reads(&mut list, "ann", &["a"], now);
        reads(&mut list, "bob", &["a"], now);
        let change = now + Duration::from_secs(1);
        let eve = list.need(user("eve"), Some(change), change);
        assert!(matches!(list.step(&eve, AGES, change), Step::Read));
        let joe = list.need(user("joe"), None, change);
        assert!(matches!(list.step(&joe, AGES, change), Step::Lend(_)), "nothing has changed for joe");
    }

    #[test]
    fn a_difference_between_two_users_is_looked_into_and_one_users_change_is_none() {
        let (mut list, now) = (SharedList::default(), Instant::now());
        reads(&mut list, "ann", &["a"], now);
        assert!(matches!(reads(&mut list, "ann", &["a", "b"], now), Finding::Noted));
        let Finding::Differs(bobs) = reads(&mut list, "bob", &["a"], now) else { panic!("a difference") };
        assert!(matches!(step(&mut list, "eve", now), Step::Wait), "until it is known what it means");
        list.checked(Some(bobs), true);
        assert!(matches!(step(&mut list, "eve", now), Step::Lend(_)));
        assert!(list.refused(&user("bob")).is_none(), "bob has read it last");
        assert!(list.refused(&user("eve")).is_some());
    }

    #[test]
    fn a_list_with_actions_of_one_user_is_read_by_each() {
        let (mut list, now) = (SharedList::default(), Instant::now());
        reads(&mut list, "ann", &["a"], now);
        reads(&mut list, "bob", &["a"], now);
        list.found_personal(now);
        for name in ["ann", "bob", "eve", "joe"] {
            reads(&mut list, name, &["a"], now);
        }
        let later = now + AGES.personal;
        reads(&mut list, "ann", &["a"], later);
        reads(&mut list, "bob", &["a"], later);
        assert!(matches!(step(&mut list, "eve", later), Step::Lend(_)), "such actions are there no more");
    }
}
