//! Lists of the upstream, read page by page to their end. A list that has none costs a bounded number of requests.

use std::{
    cell::Cell,
    collections::HashSet,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

use super::{MembraneClient, Query};
use crate::{
    ids::{IntegrationKey, UserKey},
    membrane::{
        MembraneError,
        model::{Action, Connection, Integration, Page},
        reading,
        turns::Party,
    },
    token::AccessToken,
};

/// Items of one list. The largest known workspaces have some hundred actions in an app.
const MAX_ITEMS: usize = 20_000;

/// Pages of one list beyond those that [`MAX_ITEMS`] fill: pages may come short or empty (upstream API, pagination).
const MAX_SHORT_PAGES: usize = 200;

/// Time for one list, which a slow page or two fit into.
const LIST_TIME: Duration = Duration::from_secs(120);

/// Time for all lists of one load. Past it, what has come makes the catalog, and the rest counts as failed.
const LOAD_TIME: Duration = Duration::from_secs(300);

/// Which actions a list is asked for.
#[derive(Debug, Clone)]
pub enum ActionsOf {
    /// Actions of the integration with this id.
    IntegrationId(String),
    /// Actions of the integration with this key.
    IntegrationKey(IntegrationKey),
}

/// Reader of a user's lists: the token to read with, the user to charge, and how much may still be read. One serves one
/// load or lookup.
#[derive(Debug)]
pub struct Reader {
    token: AccessToken,
    user: UserKey,
    is_accepted: Cell<bool>,
    until: Cell<Instant>,
    bytes_left: Cell<usize>,
}

impl Reader {
    /// Returns a reader that begins now and reads `max_bytes` in all. Until the upstream has accepted the token,
    /// requests are not charged to the user it claims.
    #[must_use]
    pub fn new(token: AccessToken, user: UserKey, is_accepted: bool, max_bytes: usize) -> Self {
        let (is_accepted, until) = (Cell::new(is_accepted), Cell::new(Instant::now() + LOAD_TIME));
        Self { token, user, is_accepted, until, bytes_left: Cell::new(max_bytes) }
    }

    /// Counts the time that it may take from `now` on: it may have queued for as long.
    pub fn begin(&self, now: Instant) {
        self.until.set(now + LOAD_TIME);
    }

    /// Returns the token that the list is read with.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// Returns the user whose lists are read.
    #[must_use]
    pub fn user(&self) -> &UserKey {
        &self.user
    }

    /// Returns whether the upstream has accepted the token.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.is_accepted.get()
    }

    /// Notes that the upstream has accepted the token.
    pub fn accept(&self) {
        self.is_accepted.set(true);
    }

    /// Returns the party that requests are charged to.
    #[must_use]
    pub fn party(&self) -> Party {
        match self.is_accepted() {
            true => Party::User(self.user.clone()),
            false => Party::unknown(&self.token),
        }
    }

    /// Takes the bytes of a page from those that may be read.
    fn spend(&self, bytes: usize) -> Result<(), MembraneError> {
        let left = self.bytes_left.get().checked_sub(bytes).ok_or(MembraneError::EndlessList("it is too large"))?;
        self.bytes_left.set(left);
        Ok(())
    }
}

impl MembraneClient {
    /// `GET /connections`, all pages. `on_page` is told of each page, so that a caller learns at the first that the token
    /// was accepted.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn connections(
        &self,
        reader: &Reader,
        integration: Option<&IntegrationKey>,
        on_page: impl Fn(),
    ) -> Result<Vec<Connection>, MembraneError> {
        let filter: Vec<_> = integration.iter().map(|key| ("integrationKey", key.as_str())).collect();
        self.list(reader, "/connections", &filter, on_page).await
    }

    /// `GET /integrations`, all pages: the apps of the workspace, connected or not.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn integrations(&self, reader: &Reader) -> Result<Vec<Integration>, MembraneError> {
        self.list(reader, "/integrations", &[], || ()).await
    }

    /// `GET /actions` of an integration, all pages.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn actions(&self, reader: &Reader, of: &ActionsOf) -> Result<Vec<Action>, MembraneError> {
        let filter = match of {
            ActionsOf::IntegrationId(id) => ("integrationId", id.as_str()),
            ActionsOf::IntegrationKey(key) => ("integrationKey", key.as_str()),
        };
        self.list(reader, "/actions", &[filter], || ()).await
    }

    async fn list<T: DeserializeOwned + Send + 'static>(
        &self,
        reader: &Reader,
        path: &'static str,
        filter: &Query<'_>,
        on_page: impl Fn(),
    ) -> Result<Vec<T>, MembraneError> {
        // One slow list must not take the time of all the others.
        let until = reader.until.get().min(Instant::now() + LIST_TIME);
        let pages = self.pages(reader, path, filter, on_page);
        let slow = |_elapsed| MembraneError::EndlessList("it takes too long");
        tokio::time::timeout_at(until.into(), pages).await.map_err(slow)?
    }

    /// Walks a list to its end.
    async fn pages<T: DeserializeOwned + Send + 'static>(
        &self,
        reader: &Reader,
        path: &'static str,
        filter: &Query<'_>,
        on_page: impl Fn(),
    ) -> Result<Vec<T>, MembraneError> {
        let size = self.page_size();
        let (limit, max_pages) = (size.to_string(), MAX_ITEMS / size + MAX_SHORT_PAGES);
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = filter.to_vec();
            query.push(("limit", &limit));
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            // The party is asked for at each page: from the second on the token is accepted, and the user is charged.
            let page: Page = self.get(reader.token(), &reader.party(), path, &query).await?;
            on_page();
            // Before items are read, which takes memory again.
            reader.spend(page.items.iter().map(|item| item.get().len()).sum())?;
            items.extend(reading::read_items(&self.upstream().pool, path, page.items).await?);
            cursor = page.cursor.filter(|cursor| !cursor.is_empty());
            let Some(cursor) = &cursor else { return Ok(items) };
            // A list that leads in a circle has no end. Only a cursor that comes again shows that.
            if !seen.insert(cursor.clone()) {
                return Err(MembraneError::EndlessList("it repeats a cursor"));
            }
            if items.len() >= MAX_ITEMS || seen.len() >= max_pages {
                return Err(MembraneError::EndlessList("it has more pages than any user needs"));
            }
        }
    }
}
