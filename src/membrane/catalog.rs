//! All tools of a user: an immutable value made of the tools of each app, which it shares with other users.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Accounts,
    app_tools::{AppTools, spelling},
    kept::Place,
    names,
    noted::NotedListing,
    tool::Tool,
};
use crate::{
    chunks::Chunk,
    ids::{IntegrationKey, ToolName},
    protocol::{answer::ToolList, revision::Era},
};

/// The tools of a user, in the order of integration key and action key.
#[derive(Debug, Default)]
pub struct Catalog {
    parts: Vec<AppCatalog>,
    /// Tools that were there before, of apps that have changed since.
    gone: Vec<Arc<AppTools>>,
    /// Apps that could not be asked, whether or not earlier tools of theirs stand in.
    failed: Vec<FailedApp>,
    /// Keys of all connected apps.
    connected: Arc<[IntegrationKey]>,
    /// The user's accounts of each app, in the order of keys, those of apps included that could not be asked.
    accounts: Arc<[(IntegrationKey, Accounts)]>,
    /// Listings of the apps whose accounts have to be told.
    noted: Vec<Arc<NotedListing>>,
    /// Whether there are too many tools to list, by what was so before as well.
    is_large: bool,
    /// Whether some of the tools were read by other users.
    is_lent: bool,
}

/// Number of tools and tokens of their definitions up to which a catalog is small. Listing few tools is cheaper than a search,
/// which takes a turn of the model.
const SMALL: (usize, usize) = (30, 10_000);

/// The same for a catalog that was large before: a tool that comes and goes must not change the way of listing each time.
const SMALL_AGAIN: (usize, usize) = (20, 6_000);

/// Bytes of a definition for a token, about.
const BYTES_PER_TOKEN: usize = 4;

/// An app whose tools could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedApp {
    /// Key of the app that can't be asked.
    pub key: IntegrationKey,
    /// Name of the app, for people.
    pub name: String,
    /// Time after which the load is tried again.
    pub retry: Duration,
}

impl FailedApp {
    /// Seconds after which to try again, in words that follow "try again".
    #[must_use]
    pub fn when(&self) -> String {
        format!("in {} s", self.retry.as_secs().max(1))
    }
}

/// The tools of an app, as they were at a time.
#[derive(Debug, Clone)]
pub struct AppCatalog {
    /// Tools of the app, shared with users who have the same.
    pub tools: Arc<AppTools>,
    /// Time at which the tools were loaded.
    pub since: Instant,
    /// Place at which the app's actions are kept, where they are.
    pub place: Option<Place>,
}

/// Why a tool that was there is there no more. With the app's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Its app is not among the user's any more.
    #[error("{0} was disconnected; the user has to connect it again")]
    App(String),
    /// Its app has no such action any more.
    #[error("{0} no longer has this action")]
    Action(String),
}

impl Catalog {
    /// Returns a catalog of these parts, each of another app, in place of the one `before`. `failed` apps could not be
    /// asked.
    #[must_use]
    pub fn new(mut parts: Vec<AppCatalog>, before: Option<&Self>, failed: Vec<FailedApp>) -> Self {
        parts.sort_by(|a, b| a.tools.integration().cmp(b.tools.integration()));
        let connected = parts.iter().map(|part| part.tools.integration().clone()).collect();
        let mut catalog = Self { parts, failed, connected, ..Self::default() };
        // By all apps, whether or not they could be asked: names must not depend on that.
        let keys: Vec<_> = catalog.apps().into_iter().cloned().collect();
        let apps = keys.iter().collect();
        for part in &mut catalog.parts {
            if let Some(tools) = part.tools.beside(&apps) {
                part.tools = Arc::new(tools);
            }
        }
        // Those that were gone before as well: models go on using names from earlier lists. The newest tools of an app
        // come first.
        for old in before.into_iter().flat_map(Self::held) {
            let is_there = |tool: &Arc<Tool>| catalog.find(tool.name()).is_some();
            let is_noted = catalog.gone.iter().any(|gone| gone.integration() == old.integration());
            let is_the_same = catalog.parts().any(|part| Arc::ptr_eq(part, old));
            if !is_noted && !is_the_same && !old.tools().iter().all(is_there) {
                catalog.gone.push(Arc::clone(old));
            }
        }
        catalog.is_large = catalog.exceeds(before.is_some_and(|before| before.is_large));
        catalog
    }

    /// Returns the catalog of a URL that lets only some tools be seen.
    #[must_use]
    pub fn only(&self, may_be_seen: impl Fn(&Tool) -> bool) -> Self {
        let part = |part: &AppCatalog| AppCatalog { tools: part.tools.only(&may_be_seen), ..part.clone() };
        let parts = self.parts.iter().map(part).filter(|part| !part.tools.tools().is_empty());
        let seen = Self {
            parts: parts.collect(),
            gone: self.gone.clone(),
            failed: self.failed.clone(),
            connected: Arc::clone(&self.connected),
            accounts: Arc::clone(&self.accounts),
            noted: Vec::new(),
            is_large: false,
            is_lent: self.is_lent,
        };
        let noted = seen.note(Some(self));
        Self { is_large: seen.exceeds(self.is_large), noted, ..seen }
    }

    /// Returns the catalog as one of which other users have read some tools, or nobody else has.
    #[must_use]
    pub fn lent(self, is_lent: bool) -> Self {
        Self { is_lent, ..self }
    }

    /// Returns whether other users have read some of the tools: those count only for as long as lists are shared.
    #[must_use]
    pub fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// Returns the catalog of a user with these accounts, in place of the one `before`.
    #[must_use]
    pub fn with_accounts(mut self, accounts: BTreeMap<IntegrationKey, Accounts>, before: Option<&Self>) -> Self {
        let accounts = accounts.into_iter().map(|(app, accounts)| {
            let accounts = match before.and_then(|before| before.accounts(&app)) {
                Some(earlier) => accounts.after(earlier),
                None => accounts,
            };
            (app, accounts)
        });
        self.accounts = accounts.collect();
        self.noted = self.note(before);
        self
    }

    /// Returns the listings that tell of accounts. Those are kept that are as they were before.
    fn note(&self, before: Option<&Self>) -> Vec<Arc<NotedListing>> {
        let listing = |tools: &Arc<AppTools>| {
            let accounts = self.accounts(tools.integration()).filter(|accounts| accounts.are_told())?;
            let mut earlier = before.into_iter().flat_map(|before| &before.noted);
            let known = earlier.find(|listing| listing.is_of(tools, accounts)).cloned();
            Some(known.unwrap_or_else(|| Arc::new(NotedListing::new(tools, accounts))))
        };
        self.parts().filter_map(listing).collect()
    }

    /// Returns the accounts that the user has of an app; nothing where the app is not connected.
    #[must_use]
    pub fn accounts(&self, app: &IntegrationKey) -> Option<&Accounts> {
        // In the order of keys, as they come from a `BTreeMap`.
        let place = self.accounts.binary_search_by(|(other, _)| other.cmp(app)).ok()?;
        self.accounts.get(place).map(|(_, accounts)| accounts)
    }

    /// Returns a tool's definition for clients of an era, with what it has to tell of the user's accounts.
    #[must_use]
    pub fn definition(&self, tool: &Tool, era: Era) -> Bytes {
        let Some(noted) = self.noted_of(tool.integration()) else { return tool.definition(era).clone() };
        let app = self.part(tool.integration()).map_or(tool.integration().as_str(), |part| part.tools.name());
        noted.definition(tool, app, era)
    }

    fn noted_of(&self, app: &IntegrationKey) -> Option<&Arc<NotedListing>> {
        self.noted.iter().find(|listing| listing.integration() == app)
    }

    /// About how much memory it takes that it shares with no other catalog.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        let accounts = self.accounts.iter().map(|(_, accounts)| accounts);
        let accounts = accounts.filter(|accounts| accounts.are_told()).map(Accounts::bytes);
        self.noted.iter().map(|listing| listing.bytes()).sum::<usize>() + accounts.sum::<usize>()
    }

    /// Returns whether there are too many tools to list each of them to a model.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.is_large
    }

    fn exceeds(&self, was_large: bool) -> bool {
        let (max_tools, max_tokens) = if was_large { SMALL_AGAIN } else { SMALL };
        let tools: usize = self.parts().map(|part| part.tools().len()).sum();
        let bytes: usize = self.parts().map(|part| part.listing(Era::Legacy).json().len()).sum();
        tools > max_tools || bytes / BYTES_PER_TOKEN > max_tokens
    }

    /// Finds a tool by its name, by the name with a hash that it could have, by its keys where these are no name, or by its
    /// name with `-` for each `_`, as no tool is named. Only where no other tool may be meant, not even one that is gone.
    #[must_use]
    pub fn find(&self, name: &ToolName) -> Option<&Arc<Tool>> {
        let by_name = self.parts().find_map(|part| part.find(name).or_else(|| part.find_hashed(name)));
        // Where two apps may be meant, only what names a tool exactly is safe.
        if by_name.is_some() || names::readings(name.as_str(), &self.apps()).count() > 1 {
            return by_name;
        }
        if let Some(tool) = self.parts().find_map(|part| part.find_by_keys(name.as_str())) {
            return Some(tool);
        }
        // An action that is not there now may have just this name.
        if name.as_str().contains('_') {
            return None;
        }
        let spelling = spelling(name);
        let tool = self.parts().flat_map(|part| part.find_spelled(&spelling)).next()?;
        let mut spelled = self.held().flat_map(|part| part.find_spelled(&spelling));
        spelled
            .all(|other| (other.integration(), other.action()) == (tool.integration(), tool.action()))
            .then_some(tool)
    }

    /// Returns the keys of the user's apps.
    fn apps(&self) -> BTreeSet<&IntegrationKey> {
        self.connected().chain(self.failed.iter().map(|app| &app.key)).collect()
    }

    /// Why a tool is not there that was there before.
    #[must_use]
    pub fn why_gone(&self, name: &ToolName) -> Option<Gone> {
        let name_of = |app: &Arc<AppTools>| app.name().to_owned();
        let gone_app = self.gone_app(name).map(|app| Gone::App(name_of(app)));
        gone_app.or_else(|| self.held_before(name).map(|app| Gone::Action(name_of(app))))
    }

    /// Returns the app of a tool that is gone because the user has disconnected the app.
    #[must_use]
    pub fn gone_app(&self, name: &ToolName) -> Option<&Arc<AppTools>> {
        let app = self.held_before(name)?;
        (!self.parts().any(|part| part.integration() == app.integration())).then_some(app)
    }

    fn held_before(&self, name: &ToolName) -> Option<&Arc<AppTools>> {
        self.gone.iter().find(|app| app.find(name).is_some() || app.find_hashed(name).is_some())
    }

    /// Returns the tools of each app, in the order of keys.
    pub fn parts(&self) -> impl Iterator<Item = &Arc<AppTools>> {
        self.parts.iter().map(|part| &part.tools)
    }

    /// Returns the keys of all connected apps, those without a tool that may be seen included.
    pub fn connected(&self) -> impl Iterator<Item = &IntegrationKey> {
        self.connected.iter()
    }

    /// Everything that it keeps in memory.
    pub fn held(&self) -> impl Iterator<Item = &Arc<AppTools>> {
        self.parts().chain(&self.gone)
    }

    /// Returns the tools of an app, and since when they are known.
    #[must_use]
    pub fn part(&self, integration: &IntegrationKey) -> Option<&AppCatalog> {
        self.parts.iter().find(|part| part.tools.integration() == integration)
    }

    /// Returns when the oldest of it was loaded; nothing for a user without apps.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.parts.iter().map(|part| part.since).min()
    }

    /// Returns whether integrations could not be asked.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Returns the apps that could not be asked.
    #[must_use]
    pub fn failed(&self) -> &[FailedApp] {
        &self.failed
    }

    /// Returns the app that could not be asked and to which a tool belongs, as far as its name tells: the one with the
    /// longest key.
    #[must_use]
    pub fn failed_app_of(&self, name: &ToolName) -> Option<&FailedApp> {
        let name = spelling(name);
        let is_its = |app: &&FailedApp| {
            let key = names::readable(app.key.as_str()).replace('_', "-");
            let name = name.strip_prefix("app-").filter(|_| !name.starts_with(&key)).unwrap_or(&name);
            !key.is_empty() && name.strip_prefix(&key).is_some_and(|rest| rest.starts_with('-'))
        };
        self.failed.iter().filter(is_its).max_by_key(|app| app.key.as_str().len())
    }

    /// Returns whether both have the same tools, and tell the same of accounts.
    #[must_use]
    pub fn lists_the_same(&self, other: &Self) -> bool {
        // By hashes, without a look at any definition.
        self.parts().map(|part| part.content()).eq(other.parts().map(|part| part.content()))
            && self.noted.len() == other.noted.len()
            && self.noted.iter().zip(&other.noted).all(|(own, others)| own.tells_the_same(others))
    }

    /// Appends all tools to a list for clients of an era.
    pub fn list_into(&self, list: &mut ToolList, era: Era) {
        if self.is_partial() {
            list.mark_partial();
        }
        for part in self.parts() {
            let listing = match self.noted_of(part.integration()) {
                Some(noted) => noted.listing(part, era),
                None => part.listing(era),
            };
            list.push(Chunk::PrecompressedJson(Arc::clone(listing)));
        }
    }
}

#[cfg(test)]
mod tests;
