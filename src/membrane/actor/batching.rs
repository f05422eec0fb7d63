//! Looking tools up in batches: what is asked for in one turn of the mailbox goes out together, and what is on its way
//! already is not asked for again.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};
use tokio::sync::oneshot;

use super::{Asked, MembraneActor};
use crate::{
    ids::{ToolName, UserKey},
    membrane::{Apps, Catalog, FindTools, MembraneError, Tool, lists::Reader, lookup::find_tools, report::Report},
    token::AccessToken,
    trace,
};

type FoundTools = BTreeMap<ToolName, Arc<Tool>>;

/// Lookups of all users that are waiting or on their way.
#[derive(Default)]
pub(super) struct Lookups {
    /// To be sent when the mailbox is empty.
    next: Vec<Batch>,
    sent: BTreeMap<BatchId, Batch>,
    last: BatchId,
}

type BatchId = u64;

/// A user's lookups that go together.
struct Batch {
    user: UserKey,
    apps: Apps,
    catalog: Arc<Catalog>,
    /// The newest of the tokens that it is asked with.
    token: AccessToken,
    names: BTreeSet<ToolName>,
    /// Trace of the request that asked first.
    trace: trace::Context,
    asked: Vec<(BTreeSet<ToolName>, Asked<FoundTools, MembraneError>)>,
}

/// To self: the mailbox is empty.
#[derive(Message)]
#[rtype(result = "()")]
struct SendBatches;

/// To self: a batch has been looked up.
#[derive(Message)]
#[rtype(result = "()")]
struct LookedUp {
    batch: BatchId,
    outcome: Result<FoundTools, MembraneError>,
}

impl Lookups {
    /// Puts a question into the batch that it goes with; says whether that is the first to be sent.
    fn add(&mut self, batch: Batch) -> bool {
        let is_alike = |other: &&mut Batch| other.user == batch.user && other.apps == batch.apps;
        // The answer on its way tells of all these names, too.
        if let Some(sent) = self.sent.values_mut().filter(is_alike).find(|sent| batch.names.is_subset(&sent.names)) {
            sent.asked.extend(batch.asked);
            return false;
        }
        if let Some(next) = self.next.iter_mut().find(is_alike) {
            // The newest token is the least likely to expire on the way.
            next.token = batch.token;
            next.names.extend(batch.names);
            next.asked.extend(batch.asked);
            return false;
        }
        self.next.push(batch);
        self.next.len() == 1
    }
}

impl Handler<FindTools> for MembraneActor {
    type Result = ResponseFuture<Result<FoundTools, MembraneError>>;

    fn handle(&mut self, find: FindTools, ctx: &mut Context<Self>) -> Self::Result {
        let FindTools { caller, apps, catalog, names } = find;
        let (reply, found) = oneshot::channel();
        let names: BTreeSet<_> = names.into_iter().collect();
        let (token, trace) = (caller.token().clone(), caller.trace());
        let asked = vec![(names.clone(), (token.clone(), reply))];
        let batch = Batch { user: caller.user().clone(), apps, catalog, token, names, trace, asked };
        if self.lookups.add(batch) {
            // Put behind what the mailbox holds, so that requests which came together go out together.
            ctx.notify(SendBatches);
        }
        Box::pin(async move {
            let gone = || MembraneError::Broken("the lookup was given up".to_owned());
            found.await.unwrap_or_else(|_gone| Err(gone()))
        })
    }
}

impl Handler<SendBatches> for MembraneActor {
    type Result = ();

    fn handle(&mut self, _: SendBatches, ctx: &mut Context<Self>) {
        for batch in std::mem::take(&mut self.lookups.next) {
            self.lookups.last += 1;
            let id = self.lookups.last;
            let (client, options, addr) = (Rc::clone(&self.client), self.options(), ctx.address());
            let (apps, catalog) = (batch.apps.clone(), Arc::clone(&batch.catalog));
            // Only a caller asks for a lookup, so the upstream has accepted the token.
            let reader = Reader::new(batch.token.clone(), batch.user.clone(), true, options.max_bytes);
            let (names, askers) = (batch.names.clone(), batch.asked.len());
            let given_up = Err(MembraneError::Broken("the lookup was given up".to_owned()));
            let mut report = Report::new(addr, LookedUp { batch: id, outcome: given_up });
            actix::spawn(batch.trace.clone().around(async move {
                let outcome = find_tools(&client, &reader, &apps, &catalog, &names, askers, options.concurrency).await;
                report.say(|looked_up| looked_up.outcome = outcome);
            }));
            self.lookups.sent.insert(id, batch);
        }
    }
}

impl Handler<LookedUp> for MembraneActor {
    type Result = ();

    fn handle(&mut self, LookedUp { batch, outcome }: LookedUp, ctx: &mut Context<Self>) {
        let Some(batch) = self.lookups.sent.remove(&batch) else { return };
        let used = batch.token.fingerprint();
        let is_about_token = outcome.as_ref().is_err_and(MembraneError::is_unauthenticated);
        let mut is_first = false;
        for (names, (token, reply)) in batch.asked {
            if is_about_token && token.fingerprint() != used {
                // One caller's bad token says nothing about the others': they try with their own.
                let (user, apps, catalog) = (batch.user.clone(), batch.apps.clone(), Arc::clone(&batch.catalog));
                let asked = vec![(names.clone(), (token.clone(), reply))];
                let trace = batch.trace.clone();
                is_first |= self.lookups.add(Batch { user, apps, catalog, token, names, trace, asked });
                continue;
            }
            // A batch finds names of all who asked. Each gets its own.
            let found = outcome.clone().map(|mut found| {
                found.retain(|name, _| names.contains(name));
                found
            });
            // The answer is dropped where its request was given up.
            let _ = reply.send(found);
        }
        if is_first {
            ctx.notify(SendBatches);
        }
    }
}
