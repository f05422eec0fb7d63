//! Equal tools, once in memory, however many users have them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::app_tools::{AppTools, Content};

/// Dead entries that are left before the first time that they are looked for.
const FIRST_SWEEP: usize = 64;

/// All sets of tools that are in use. Asked once for each load and never to serve a request, so that a lock will do.
#[derive(Debug, Default)]
pub struct Interner(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_content: HashMap<Content, Weak<AppTools>>,
    /// Number of entries at which those of tools no longer in use are dropped.
    sweep_at: usize,
}

impl Interner {
    /// Returns these tools, or equal ones that are there already.
    #[must_use]
    pub fn share(&self, tools: AppTools) -> Arc<AppTools> {
        // A poisoned lock holds whole values all the same: no panic can leave the map half changed.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.by_content.get(tools.content()).and_then(Weak::upgrade) {
            return same;
        }
        if known.by_content.len() >= known.sweep_at.max(FIRST_SWEEP) {
            // Swept at each doubling, which costs an insertion little on average. Until then a dead entry takes a hash
            // and a pointer; its tools are gone.
            known.by_content.retain(|_, tools| tools.strong_count() > 0);
            known.sweep_at = known.by_content.len() * 2;
        }
        let tools = Arc::new(tools);
        known.by_content.insert(*tools.content(), Arc::downgrade(&tools));
        tools
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membrane::app_tools::tests::app;

    #[test]
    fn equal_tools_are_one() {
        let interner = Interner::default();
        let first = interner.share(app("slack", &["a", "b"]));
        assert!(Arc::ptr_eq(&first, &interner.share(app("slack", &["b", "a"]))));
        assert!(!Arc::ptr_eq(&first, &interner.share(app("slack", &["a"]))));
    }

    #[test]
    fn tools_that_nobody_holds_are_forgotten() {
        let interner = Interner::default();
        for i in 0..10 * FIRST_SWEEP {
            drop(interner.share(app(&format!("app-{i}"), &["a"])));
        }
        assert!(interner.0.lock().unwrap().by_content.len() <= FIRST_SWEEP);
    }
}
