//! Apps of a user's workspace, connected or not, so that a search can name one that the user may yet connect.
//!
//! They are asked for by the first search of a user, beside the catalog, and never by a load: lists and calls do without them. A
//! user sees what the upstream gives for their own token. Where there is no such list, a search knows the connected apps alone.

use std::{
    cell::{Cell, RefCell},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;

use super::{ToolService, search_tools::letters};
use crate::{
    ids::{IntegrationKey, UserKey},
    membrane::{Apps, Caller, Catalog, MembraneError, lists::Reader, model::Integration},
    search::AppNames,
};

/// Users whose workspace's apps are remembered on one worker.
const MAX_USERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Apps of one workspace that are known. Those beyond can be connected all the same, by their keys.
const MAX_APPS: usize = 2_000;

/// Bytes that the list may have.
const MAX_BYTES: usize = 8 << 20;

/// How long a search waits for the list. Without it, it only can't name what is not connected.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the list counts: workspaces seldom get another app.
const FRESH: Duration = Duration::from_secs(600);

/// How long a list that could not be had is not asked for again.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// How long an upstream is left alone that says that it has no such list, or not for this user.
const WITHOUT: Duration = Duration::from_secs(3600);

/// Apps of a workspace.
#[derive(Debug, Default)]
pub(super) struct WorkspaceApps {
    apps: Vec<(IntegrationKey, Box<str>)>,
    names: AppNames,
}

/// Lists of apps by user. See the [module](self).
pub(super) struct KnownApps {
    of_users: RefCell<LruCache<UserKey, (Arc<WorkspaceApps>, Instant)>>,
    /// Last list that came, to be shared by users who have the same.
    last: RefCell<Arc<WorkspaceApps>>,
    /// Until when the upstream is not asked at all.
    off_until: Cell<Option<Instant>>,
}

impl Default for KnownApps {
    fn default() -> Self {
        let (of_users, last) = (RefCell::new(LruCache::new(MAX_USERS)), RefCell::default());
        Self { of_users, last, off_until: Cell::new(None) }
    }
}

impl WorkspaceApps {
    fn of(integrations: &[Integration]) -> Self {
        let mut apps: Vec<(IntegrationKey, Box<str>)> = Vec::new();
        for integration in integrations.iter().filter(|integration| integration.is_live()).take(MAX_APPS) {
            let Some(key) = integration.key.as_deref().filter(|key| !key.is_empty()) else { continue };
            apps.push((IntegrationKey::new(key), integration.name.as_deref().unwrap_or(key).into()));
        }
        apps.sort();
        apps.dedup_by(|a, b| a.0 == b.0);
        let names = AppNames::new(apps.iter().map(|(key, name)| (key.as_str(), &**name)));
        Self { apps, names }
    }

    /// Finds an app by its key or name, however that is written.
    pub(super) fn find(&self, wanted: &str) -> Option<(&IntegrationKey, &str)> {
        let wanted = letters(wanted);
        let found = self.apps.iter().find(|(key, name)| letters(key.as_str()) == wanted || letters(name) == wanted);
        found.map(|(key, name)| (key, &**name))
    }
}

/// Apps of the workspace that a user has not connected, as far as the URL lets them be seen.
#[derive(Clone, Copy)]
pub(super) struct Unconnected<'a> {
    pub(super) workspace: &'a WorkspaceApps,
    pub(super) catalog: &'a Catalog,
    pub(super) apps: &'a Apps,
}

impl<'a> Unconnected<'a> {
    fn has(&self, key: &IntegrationKey) -> bool {
        let is_failed = || self.catalog.failed().iter().any(|app| app.key == *key);
        self.apps.include(key) && !is_failed() && !self.catalog.connected().any(|app| app == key)
    }

    /// Returns the keys and names of these apps.
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a IntegrationKey, &'a str)> {
        let apps = self.workspace.apps.iter().map(|(key, name)| (key, &**name));
        apps.filter(move |(key, _)| self.has(key))
    }

    /// Returns an app by its place in [`Unconnected::names`].
    pub(super) fn get(self, place: usize) -> Option<(&'a IntegrationKey, &'a str)> {
        let (key, name) = self.workspace.apps.get(place)?;
        self.has(key).then_some((key, &**name))
    }

    /// Returns the names of all apps of the workspace, which a query may use.
    pub(super) fn names(self) -> Option<&'a AppNames> {
        Some(&self.workspace.names).filter(|names| !names.is_empty())
    }
}

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
        let (apps, counts) = match tokio::time::timeout(PATIENCE, asked).await {
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

impl KnownApps {
    /// Returns a list, or the last one where both are the same.
    fn share(&self, apps: WorkspaceApps) -> Arc<WorkspaceApps> {
        let mut last = self.last.borrow_mut();
        if last.apps != apps.apps {
            *last = Arc::new(apps);
        }
        Arc::clone(&last)
    }
}
