//! Questions for the apps of a user's workspace.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::ToolService;
use crate::{
    membrane::{Caller, MembraneError, lists::Reader},
    tools::workspace_apps::WorkspaceApps,
};

/// Bytes that the list may have.
const MAX_BYTES: usize = 8 << 20;

/// How long a search waits for the list. Without it, it only can't name what is not connected.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long the list counts: workspaces seldom get another app.
const FRESH: Duration = Duration::from_secs(600);

/// How long a list that could not be had is not asked for again.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// How long an upstream is left alone that says that it has no such list, or not for this user.
const WITHOUT: Duration = Duration::from_secs(3600);

impl ToolService {
    /// Returns the apps of a caller's workspace; none where they can't be had.
    pub(super) async fn workspace_apps(&self, caller: &Caller) -> Arc<WorkspaceApps> {
        let (known, now) = (&self.0.workspace_apps, Instant::now());
        if known.off_until.get().is_some_and(|until| now < until) {
            return Arc::default();
        }
        if let Some((apps, until)) = known.of_users.borrow_mut().get(caller.user())
            && now < *until
        {
            return Arc::clone(apps);
        }
        let reader = Reader::new(caller.token().clone(), caller.user().clone(), true, MAX_BYTES);
        let asked = caller.trace().around(self.0.client.integrations(&reader));
        let (apps, counts) = match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(integrations)) => (known.share(WorkspaceApps::of(&integrations)), FRESH),
            Ok(Err(error)) => (Arc::default(), self.without(caller, &error)),
            Err(_late) => (Arc::default(), AFTER_FAILURE),
        };
        known.of_users.borrow_mut().put(caller.user().clone(), (Arc::clone(&apps), Instant::now() + counts));
        apps
    }

    /// Returns how long a user does without the list, for this reason.
    fn without(&self, caller: &Caller, error: &MembraneError) -> Duration {
        log::debug!("the apps of a workspace can't be listed: {error}");
        let status = match error {
            MembraneError::Refused(refusal) => refusal.status,
            _ => return AFTER_FAILURE,
        };
        match status {
            401 => self.0.revocations.revoke(caller.token()),
            404 | 405 => self.0.workspace_apps.off_until.set(Some(Instant::now() + WITHOUT)),
            403 => return WITHOUT,
            _ => {}
        }
        AFTER_FAILURE
    }
}
