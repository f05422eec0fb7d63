//! Outcome of searches, for the metrics: a search is good if the tool that is run next was among its first hits.

use std::{cell::RefCell, num::NonZeroUsize};

use lru::LruCache;
use metrics::counter;

use crate::{
    ids::{ToolName, UserKey},
    protocol::tools::CallToolResult,
};

/// Users whose last search is remembered on one worker.
const MAX_USERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Bytes of an answer for a token, about.
const BYTES_PER_TOKEN: usize = 4;

/// Last search of each user on this worker: the names that it found, the best first.
pub(super) struct Searches(RefCell<LruCache<UserKey, Vec<ToolName>>>);

impl Default for Searches {
    fn default() -> Self {
        Self(RefCell::new(LruCache::new(MAX_USERS)))
    }
}

impl Searches {
    /// Notes a search.
    pub(super) fn note(&self, user: &UserKey, found: Vec<ToolName>, result: &CallToolResult) {
        counter!("mcp_searches_total", "outcome" => if found.is_empty() { "no_hit" } else { "hit" }).increment(1);
        counter!("mcp_search_answer_tokens_total").increment((result.bytes() / BYTES_PER_TOKEN) as u64);
        self.0.borrow_mut().put(user.clone(), found);
    }

    /// Notes that a user runs a tool. The first run after a search that found it tells its place.
    pub(super) fn note_run(&self, user: &UserKey, tool: &ToolName) {
        let mut searches = self.0.borrow_mut();
        let Some(rank) = searches.peek(user).and_then(|found| found.iter().position(|name| name == tool)) else {
            return;
        };
        searches.pop(user);
        let place = match rank {
            0 => "1",
            1..5 => "2-5",
            _ => "6-",
        };
        counter!("mcp_search_runs_total", "place" => place).increment(1);
    }
}
