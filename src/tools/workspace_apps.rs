//! Apps of a user's workspace, connected or not, so that a search can name one that the user may yet connect.
//!
//! They are asked for by the first search of a user, beside the catalog, and never by a load: lists and calls do without them. A
//! user sees what the upstream gives for their own token. Where there is no such list, a search knows the connected apps alone.

use std::{
    cell::{Cell, RefCell},
    num::NonZeroUsize,
    sync::Arc,
    time::Instant,
};

use lru::LruCache;

use super::text::letters;
use crate::{
    ids::{IntegrationKey, UserKey},
    membrane::{Apps, Catalog, model::Integration},
    search::AppNames,
};

/// Users whose workspace's apps are remembered on one worker.
const MAX_USERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Apps of one workspace that are known. Those beyond can be connected all the same, by their keys.
const MAX_APPS: usize = 2_000;

/// Apps of a workspace.
#[derive(Debug, Default)]
pub(super) struct WorkspaceApps {
    apps: Vec<(IntegrationKey, Box<str>)>,
    names: AppNames,
}

/// Lists of apps by user. See the [module](self).
pub(super) struct KnownApps {
    pub(super) of_users: RefCell<LruCache<UserKey, (Arc<WorkspaceApps>, Instant)>>,
    /// Last list that came, to be shared by users who have the same.
    last: RefCell<Arc<WorkspaceApps>>,
    /// Until when the upstream is not asked at all.
    pub(super) off_until: Cell<Option<Instant>>,
}

impl Default for KnownApps {
    fn default() -> Self {
        let (of_users, last) = (RefCell::new(LruCache::new(MAX_USERS)), RefCell::default());
        Self { of_users, last, off_until: Cell::new(None) }
    }
}

impl WorkspaceApps {
    pub(super) fn of(integrations: &[Integration]) -> Self {
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

impl KnownApps {
    /// Returns a list, or the last one where both are the same.
    pub(super) fn share(&self, apps: WorkspaceApps) -> Arc<WorkspaceApps> {
        let mut last = self.last.borrow_mut();
        if last.apps != apps.apps {
            *last = Arc::new(apps);
        }
        Arc::clone(&last)
    }
}
