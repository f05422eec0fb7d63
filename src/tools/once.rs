//! Calls that run once: under one key the action is run at most once, whoever repeats the call, on whatever server.
//!
//! A call claims its key in the store before it runs, and notes its result there. A repeat gets that result, waits for one that
//! is on its way, or learns that nobody knows whether the action was run: in no case does it run the action again.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio::time::sleep;

use crate::{
    ids::UserKey,
    membrane::{Tool, call::Ran},
    protocol::{json, tools::CallToolResult},
    store::{KeptRun, RunState, SessionStore, StoreError, runs::Digest},
};

/// Longest key, in bytes.
const MAX_KEY: usize = 255;

/// How often a repeat looks whether the first call has ended.
const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// Looks between those at the replica that runs the call.
const LOOKS_PER_CHECK: u32 = 5;

/// How often in a row that replica must be found dead: after trouble with the store all seem dead for a moment.
const MISSED_HEARTBEATS: u32 = 3;

/// Claim of a call: its key, and what it does.
pub(super) struct Claim {
    store: Arc<dyn SessionStore>,
    owner: UserKey,
    key: Digest,
    digest: Digest,
    is_settled: bool,
}

/// Turn of a call that may run once.
pub(super) enum Turn {
    /// The call runs.
    Mine(Claim),
    /// The call is not run, and has this result.
    Settled(CallToolResult),
}

/// Claims a call under a key, and waits for the one that has claimed it before.
pub(super) async fn claim(
    store: &Arc<dyn SessionStore>,
    owner: &UserKey,
    key: &str,
    tool: &Tool,
    connection: Option<&str>,
    arguments: &str,
) -> Turn {
    let refused = |text: &str| Turn::Settled(CallToolResult::failure(format!("{text} The action was not run.")));
    if key.is_empty() || key.len() > MAX_KEY {
        return refused(&format!("Invalid arguments: idempotency_key must have 1 to {MAX_KEY} bytes."));
    }
    let mut texts = vec![tool.integration().as_str(), tool.action().as_str(), arguments];
    // Last, so that a call without one has the digest that it always had.
    texts.extend(connection);
    let digest = Digest::of(&texts);
    // Settled until it is this call's.
    let mut claim =
        Claim { store: Arc::clone(store), owner: owner.clone(), key: Digest::of(&[key]), digest, is_settled: true };
    let (mut looks, mut missed) = (0, 0);
    loop {
        let kept = match store.claim_run(owner.clone(), claim.key, digest).await {
            Ok(None) => {
                claim.is_settled = false;
                return Turn::Mine(claim);
            }
            Ok(Some(kept)) => kept,
            Err(error) => return refused(&unavailable(&error)),
        };
        if kept.digest != digest.to_hex() {
            return refused("This idempotency_key belongs to another call: take a new key for a new call.");
        }
        let KeptRun { state: RunState::Running { replica }, .. } = kept else {
            counter!("mcp_runs_replayed_total").increment(1);
            return Turn::Settled(replayed(kept.state));
        };
        looks += 1;
        if looks % LOOKS_PER_CHECK == 0 {
            match is_alive(store, &replica).await {
                Ok(true) => missed = 0,
                Ok(false) => missed += 1,
                // Without the store there is nothing to be known.
                Err(_) => {}
            }
        }
        if missed == MISSED_HEARTBEATS {
            // Settled by whoever looks first; the next look finds it so.
            let lost = store.settle_run(owner.clone(), claim.key, digest, Some(RunState::Unknown)).await;
            if let Err(error) = lost {
                return refused(&unavailable(&error));
            }
        }
        sleep(LOOKS_EVERY).await;
    }
}

/// Returns whether a replica lives. A server without a name stands alone: what it ran when it ended is unknown when it is back.
async fn is_alive(store: &Arc<dyn SessionStore>, replica: &str) -> Result<bool, StoreError> {
    match store.bus() {
        Some(bus) if replica != bus.replica() => bus.is_alive(replica).await,
        _ => Ok(true),
    }
}

fn unavailable(error: &StoreError) -> String {
    log::warn!("a call can't be kept under its key: {error}");
    "Calls with an idempotency_key can't be kept at the moment: try again later, or call without it.".to_owned()
}

/// Returns the result of a repeat.
fn replayed(state: RunState) -> CallToolResult {
    match state {
        RunState::Done { result: Some(result) } => match serde_json::from_str::<CallToolResult>(&result) {
            Ok(result) => result.and_replayed(),
            Err(_unreadable) => long(),
        },
        RunState::Done { result: None } => long(),
        RunState::Running { .. } | RunState::Unknown => CallToolResult::failure(
            "A call with this idempotency_key was made before, and it may have been run: its answer was lost. It is not run again: \
             look before you call with a new key.",
        ),
    }
}

fn long() -> CallToolResult {
    CallToolResult::text("The call was run before, under the same idempotency_key. Its result was too long to keep.")
        .and_replayed()
}

impl Claim {
    /// Notes what became of the call. One that was not run is forgotten, so that it can be made again.
    pub(super) async fn settle(mut self, result: &CallToolResult, ran: Ran) {
        self.is_settled = true;
        let state = match ran {
            Ran::No => None,
            Ran::Yes => Some(RunState::Done { result: Some(json::to_string(result)) }),
            Ran::Unknown => Some(RunState::Unknown),
        };
        // Before the client has its answer: a repeat that comes after that must find it.
        if let Err(error) = self.store.settle_run(self.owner.clone(), self.key, self.digest, state).await {
            log::warn!("the result of a call can't be kept under its key: {error}");
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_settled {
            // Given up while it ran: nobody learns what became of it. The store is asked at once, whoever waits.
            drop(self.store.settle_run(self.owner.clone(), self.key, self.digest, Some(RunState::Unknown)));
        }
    }
}
