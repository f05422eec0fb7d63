//! The lists of actions that users of a workspace share, each kept by one worker: that of the hash of its key.
//!
//! A load asks here for each integration that the user's own connections name, and is lent the list, told to read it with the
//! user's own token and report, or waits for those who are reading it.

use std::{
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture};
use lru::LruCache;
use metrics::gauge;
use tokio::sync::oneshot;

use super::{
    MembraneClient, MembraneError,
    app_list::{AppList, read_app},
    lists::{ActionsOf, Reader},
    report::Report,
    shared::{Ages, Finding, ListKey, Need, Read, SharedList, SharingSwitch, Step},
};
use crate::{
    config::{Settings, Sharing as Setting},
    ids::UserKey,
    token::AccessToken,
    workers::PerWorker,
};

/// How long a load waits for other users' reads. Past it the user reads the list alone, as if nothing were shared: whoever reads
/// may be held up by limits of their own.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a list beside its tools, about.
const BYTES_PER_LIST: usize = 1024;

/// Way to the shared lists from any worker. Cheap to clone.
#[derive(Clone)]
pub struct Sharing {
    lists: PerWorker<SharedLists>,
    switch: SharingSwitch,
}

/// List as a load gets it.
pub(super) enum Taken {
    /// Read by other users, who agree on it.
    Lent(AppList),
    /// To be read with the user's own token, and reported.
    Read(Reading),
    /// To be read with the user's own token. Nobody wants to know what it holds.
    Alone,
}

/// Read of a list that others may wait for. Dropped without a word, it counts as given up.
pub(super) struct Reading(Report<SharedLists, ListRead>);

impl Reading {
    /// Tells what came of the read.
    pub(super) fn ends(mut self, outcome: &Result<AppList, MembraneError>) {
        let outcome = match outcome {
            Ok(list) => Outcome::Good(list.clone()),
            Err(error) if error.is_unauthenticated() => Outcome::GivenUp,
            Err(MembraneError::Refused(refusal)) if matches!(refusal.status, 403 | 404) => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        self.0.say(|read| read.outcome = outcome);
    }
}

impl Sharing {
    /// Returns the lists of `workers` workers, none of them started.
    #[must_use]
    pub fn new(workers: usize, settings: &Settings) -> Self {
        let switch = match settings.catalog.shared {
            Setting::Auto => SharingSwitch::default(),
            Setting::Off => SharingSwitch::off(),
        };
        gauge!("mcp_catalog_sharing").set(u8::from(switch.is_on()));
        Self { lists: PerWorker::new(workers), switch }
    }

    /// Starts to keep the lists of a worker, on this thread.
    pub fn start_here(&self, worker: usize, client: Rc<MembraneClient>, settings: &Settings) {
        self.lists.set(worker, SharedLists::new(client, self.switch.clone(), settings).start());
    }

    /// Returns whether anything is shared.
    pub(super) fn switch(&self) -> &SharingSwitch {
        &self.switch
    }

    /// Takes a list for a user whose connections name its integration. One that was read before a change is not lent.
    pub(super) async fn take(&self, key: ListKey, reader: &Reader, not_before: Option<Instant>) -> Taken {
        if !self.switch.is_on() {
            return Taken::Alone;
        }
        let Ok(lists) = self.lists.owner_of(&key) else { return Taken::Alone };
        let take = TakeList { key, user: reader.user().clone(), token: reader.token().clone(), not_before };
        match tokio::time::timeout(TIMEOUT, lists.send(take)).await {
            Ok(Ok(taken)) => taken,
            _ => Taken::Alone,
        }
    }
}

/// Asks for a list.
struct TakeList {
    key: ListKey,
    user: UserKey,
    token: AccessToken,
    not_before: Option<Instant>,
}

impl Message for TakeList {
    type Result = Taken;
}

/// Tells what came of a read.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ListRead {
    key: ListKey,
    user: UserKey,
    token: AccessToken,
    begun: Instant,
    outcome: Outcome,
}

enum Outcome {
    Good(AppList),
    /// There is no such list for this user.
    Refused,
    /// The upstream could not be asked.
    Failed,
    /// No answer, for reasons of this one user's.
    GivenUp,
}

/// To self: the user who had read a list before has read it again, after another one was told something else.
#[derive(Message)]
#[rtype(result = "()")]
struct ListChecked {
    key: ListKey,
    /// Read of the other user; nothing where that user was refused the list.
    other: Option<Read>,
    again: Result<AppList, MembraneError>,
}

/// A user who waits for a list.
struct Waiting {
    need: Need,
    token: AccessToken,
    reply: oneshot::Sender<Taken>,
}

#[derive(Default)]
struct ListEntry {
    list: SharedList,
    waiting: Vec<Waiting>,
    /// Bytes that it counts for.
    bytes: usize,
}

/// Actor that keeps the lists of one worker. See the [module](self).
pub struct SharedLists {
    client: Rc<MembraneClient>,
    switch: SharingSwitch,
    entries: LruCache<ListKey, ListEntry>,
    bytes: usize,
    max_bytes: usize,
    ages: Ages,
}

impl SharedLists {
    fn new(client: Rc<MembraneClient>, switch: SharingSwitch, settings: &Settings) -> Self {
        let ages = Ages { fresh: settings.catalog.fresh, personal: settings.tuning.catalog_stale };
        let max_bytes = settings.catalog.max_bytes.get();
        Self { client, switch, entries: LruCache::unbounded(), bytes: 0, max_bytes, ages }
    }

    /// Gives each user who waits for a list what there is to do now.
    fn serve(&mut self, key: &ListKey, ctx: &Context<Self>) {
        let (now, is_on, ages) = (Instant::now(), self.switch.is_on(), self.ages);
        let Some(entry) = self.entries.get_mut(key) else { return };
        for Waiting { need, token, reply } in std::mem::take(&mut entry.waiting) {
            if reply.is_closed() {
                continue;
            }
            let step = if is_on { Some(entry.list.step(&need, ages, now)) } else { None };
            let taken = match step {
                None => Taken::Alone,
                Some(Step::Lend(list)) => Taken::Lent(list),
                Some(Step::Wait) => {
                    entry.waiting.push(Waiting { need, token, reply });
                    continue;
                }
                Some(Step::Read) => {
                    let (key, user) = (key.clone(), need.user);
                    let given_up = ListRead { key, user, token, begun: now, outcome: Outcome::GivenUp };
                    Taken::Read(Reading(Report::new(ctx.address(), given_up)))
                }
            };
            // A read that nobody receives any more is dropped here, and thereby reported as given up.
            let _ = reply.send(taken);
        }
        self.weigh(key);
    }

    /// Lets all who wait for a list read it alone.
    fn let_go(&mut self, key: &ListKey) {
        let waiting = self.entries.get_mut(key).map(|entry| std::mem::take(&mut entry.waiting));
        for Waiting { reply, .. } in waiting.unwrap_or_default() {
            // The answer is dropped where its load was given up.
            let _ = reply.send(Taken::Alone);
        }
    }

    /// Has the user who read a list last read it again, to find out why another is told something else.
    fn check(&self, key: ListKey, earlier: &Read, other: Option<Read>, ctx: &Context<Self>) {
        let Read { user, token, .. } = earlier.clone();
        let (client, max_bytes) = (Rc::clone(&self.client), self.max_bytes);
        let of = ActionsOf::IntegrationId(key.integration.clone());
        let app = key.app.clone();
        let given_up = Err(MembraneError::Broken("the check was given up".to_owned()));
        let mut report = Report::new(ctx.address(), ListChecked { key, other, again: given_up });
        actix::spawn(async move {
            // Whether such a token is still good would cost a request to find out, which this may as well be.
            if token.has_expired(SystemTime::now()) {
                return;
            }
            let reader = Reader::new(token, user, true, max_bytes);
            let again = read_app(&client, &reader, &of, &app).await;
            report.say(|checked| checked.again = again);
        });
    }

    /// Ends sharing for as long as the process lives.
    fn turn_off(&mut self, key: &ListKey) {
        if self.switch.turn_off() {
            gauge!("mcp_catalog_sharing").set(0);
            log::error!(
                workspace = key.workspace, integration = key.app.key.as_str();
                "two users of a workspace are told different actions of an integration: no list is shared any more, and \
                 each user's are read apart until the server is started again; set catalog.shared to \"off\""
            );
            if let Some(keeper) = &self.client.upstream().keeper {
                keeper.note_end_of_sharing();
            }
        }
        let all: Vec<_> = self.entries.iter().map(|(key, _)| key.clone()).collect();
        for key in all {
            self.let_go(&key);
        }
        self.entries.clear();
        self.set_bytes(0);
    }

    /// Counts a list anew, and lets the least recently used leave where there are too many.
    fn weigh(&mut self, key: &ListKey) {
        let Some(entry) = self.entries.peek_mut(key) else { return };
        let bytes = BYTES_PER_LIST + entry.list.tools().map_or(0, |tools| tools.bytes());
        let before = std::mem::replace(&mut entry.bytes, bytes);
        let mut all = (self.bytes + bytes).saturating_sub(before);
        while all > self.max_bytes {
            // Users who wait for one that leaves read it alone.
            let Some((_, left)) = self.entries.pop_lru() else { break };
            all = all.saturating_sub(left.bytes);
        }
        self.set_bytes(all);
    }

    fn set_bytes(&mut self, bytes: usize) {
        let as_gauge = |bytes: usize| f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        gauge!("mcp_catalog_bytes").increment(as_gauge(bytes) - as_gauge(self.bytes));
        self.bytes = bytes;
    }
}

impl Actor for SharedLists {
    type Context = Context<Self>;
}

impl Handler<TakeList> for SharedLists {
    type Result = ResponseFuture<Taken>;

    fn handle(&mut self, take: TakeList, ctx: &mut Context<Self>) -> Self::Result {
        let TakeList { key, user, token, not_before } = take;
        let (reply, taken) = oneshot::channel();
        let entry = self.entries.get_or_insert_mut(key.clone(), ListEntry::default);
        let need = entry.list.need(user, not_before, Instant::now());
        entry.waiting.push(Waiting { need, token, reply });
        self.serve(&key, ctx);
        Box::pin(async move { taken.await.unwrap_or(Taken::Alone) })
    }
}

impl Handler<ListRead> for SharedLists {
    type Result = ();

    fn handle(&mut self, ListRead { key, user, token, begun, outcome }: ListRead, ctx: &mut Context<Self>) {
        let now = Instant::now();
        // It may have left meanwhile, to make room.
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.list.ended(&user, begun);
        match outcome {
            Outcome::Good(AppList { is_personal: true, .. }) => entry.list.found_personal(now),
            Outcome::Good(list) => {
                let finding = entry.list.read(Read { list, user, token, begun }, self.ages, now);
                if let (Finding::Differs(other), Some(earlier)) = (finding, entry.list.last().cloned()) {
                    self.check(key.clone(), &earlier, Some(other), ctx);
                }
            }
            Outcome::Refused => {
                if let Some(earlier) = entry.list.refused(&user).cloned() {
                    self.check(key.clone(), &earlier, None, ctx);
                }
                // What it is for others is for each of them to find out.
                self.let_go(&key);
            }
            // One after another would wait for the same failure.
            Outcome::Failed => self.let_go(&key),
            Outcome::GivenUp => {}
        }
        self.serve(&key, ctx);
    }
}

impl Handler<ListChecked> for SharedLists {
    type Result = ();

    fn handle(&mut self, ListChecked { key, other, again }: ListChecked, ctx: &mut Context<Self>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match (again, other) {
            (Ok(again), _) if again.is_personal => {
                entry.list.checked(None, false);
                entry.list.found_personal(Instant::now());
            }
            (Ok(again), Some(other)) if again.tools.content() == other.list.tools.content() => {
                entry.list.checked(Some(other), true);
            }
            (Ok(_), _) => self.turn_off(&key),
            // Nobody can tell any more: what the other was told waits for a second user to be told the same.
            (Err(_), other) => entry.list.checked(other, false),
        }
        self.serve(&key, ctx);
    }
}
