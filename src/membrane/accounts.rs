//! Accounts: the connections that a user has of one app, and how one of them is named.

use std::sync::Arc;

use super::model::Connection;
use crate::protocol::clean::{beginning, one_line};

/// Accounts of one app that a user can choose among. Those beyond are left out.
const MAX_ACCOUNTS: usize = 50;

/// Longest id and key of a connection, in bytes; the upstream's keys have 100 characters at most. One with a longer id can't be
/// named, one with a longer key is named by its id.
const MAX_KEY: usize = 200;

/// Bytes of a connection's name that are kept.
const MAX_NAME: usize = 200;

/// Names of accounts that are no longer there, for which a call is refused rather than run in another.
const MAX_GONE: usize = 16;

/// State of an account, or of all accounts of an app: the best one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountState {
    /// Runs can use it.
    Connected,
    /// The upstream is still setting it up.
    Building,
    /// Its credentials are lost: the user has to connect it again.
    Reconnect,
    /// The upstream could not set it up.
    Failed,
}

impl AccountState {
    /// Returns the state as answers to models say it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Building => "building",
            Self::Reconnect => "reconnect",
            Self::Failed => "failed",
        }
    }

    /// Returns the state of a connection.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        match connection.state.as_deref() {
            _ if connection.is_disconnected() => Self::Reconnect,
            Some("DISCONNECTING") => Self::Reconnect,
            Some("BUILDING" | "SETTING_UP") => Self::Building,
            Some("CONFIGURATION_ERROR" | "SETUP_FAILED") => Self::Failed,
            _ => Self::Connected,
        }
    }
}

/// Account of an app: one of the user's connections. There is one for each connection of each user, so it is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Id, key and name, one after another.
    texts: Box<str>,
    id_end: u16,
    key_end: u16,
    state: AccountState,
    /// The upstream's words on what the user has to do. The page for it may have another address each time that connections are
    /// listed, which would make the account another one: it is asked for when it is needed.
    reason: Option<Box<str>>,
}

impl Account {
    /// Returns the account of a connection.
    fn of(connection: &Connection) -> Self {
        let short = |text: &Option<String>| text.clone().filter(|text| text.len() <= MAX_KEY).unwrap_or_default();
        let (id, key) = (short(&connection.id), short(&connection.key));
        // An account without an id can't be named in a run.
        let key = if id.is_empty() { "" } else { &key };
        let name = connection.name.as_deref().map(one_line).unwrap_or_default();
        let texts = [id.as_str(), key, beginning(&name, MAX_NAME)].concat();
        let end = |length: usize| u16::try_from(length).unwrap_or_default();
        let reason = connection.client_action.as_ref().and_then(|action| action.description.as_deref());
        Self {
            id_end: end(id.len()),
            key_end: end(id.len() + key.len()),
            texts: texts.into(),
            state: AccountState::of(connection),
            reason: reason.map(|text| beginning(&one_line(text), MAX_NAME).into()),
        }
    }

    /// Returns the id of the connection; empty where the upstream gave none, so that no run can name it.
    #[must_use]
    pub fn id(&self) -> &str {
        self.texts.get(..self.id_end.into()).unwrap_or_default()
    }

    fn key(&self) -> &str {
        self.texts.get(self.id_end.into()..self.key_end.into()).unwrap_or_default()
    }

    /// Returns the word by which a call names the account: the connection's key, or its id where it has none.
    #[must_use]
    pub fn handle(&self) -> &str {
        if self.key().is_empty() { self.id() } else { self.key() }
    }

    /// Returns the name of the connection, for people; empty where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.texts.get(self.key_end.into()..).unwrap_or_default()
    }

    /// Returns whether runs can use the account.
    #[must_use]
    pub fn state(&self) -> AccountState {
        self.state
    }

    /// Returns the upstream's words on what the user has to do.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns the account under its id alone, where another has its key.
    fn without_key(mut self) -> Self {
        self.texts = [self.id(), self.name()].concat().into();
        self.key_end = self.id_end;
        self
    }

    /// Returns the account as one that no call can name.
    fn without_id(mut self) -> Self {
        self.texts = self.name().into();
        (self.id_end, self.key_end) = (0, 0);
        self
    }
}

/// Accounts of one app, in the upstream's order. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    all: Arc<[Account]>,
    /// Names of accounts that calls could choose before, and that are gone.
    gone: Option<Arc<[Box<str>]>>,
}

impl Accounts {
    /// Returns the accounts of an app's connections.
    #[must_use]
    pub fn of<'a>(connections: impl IntoIterator<Item = &'a Connection>) -> Self {
        let mut all: Vec<Account> = Vec::new();
        let mut left_out = 0;
        for account in connections.into_iter().map(Account::of) {
            // Pages of a list may overlap where it changes meanwhile.
            if !account.id().is_empty() && all.iter().any(|known| known.id() == account.id()) {
                continue;
            }
            if all.len() == MAX_ACCOUNTS {
                left_out += 1;
                continue;
            }
            // A name must stand for one account. The second to have it is named by its id, or by nothing where that is
            // taken.
            let is_taken = |account: &Account| all.iter().any(|known| known.handle() == account.handle());
            let account = if is_taken(&account) { account.without_key() } else { account };
            let account = if is_taken(&account) { account.without_id() } else { account };
            all.push(account);
        }
        if left_out > 0 {
            log::warn!("{left_out} accounts of a user's app can't be chosen: at most {MAX_ACCOUNTS} can");
        }
        Self { all: all.into(), gone: None }
    }

    /// Remembers the accounts that could be chosen `before` and are gone, so that a call for one of them runs in no other.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        // No call could name one of them, so none can be meant for one that is gone.
        if !before.takes_argument() {
            return self;
        }
        let named = before.choices().map(Account::handle).chain(before.gone());
        let gone = named.filter(|handle| self.choices().all(|account| account.handle() != *handle));
        let gone: Vec<Box<str>> = gone.take(MAX_GONE).map(Into::into).collect();
        Self { gone: (!gone.is_empty()).then(|| gone.into()), ..self }
    }

    fn gone(&self) -> impl Iterator<Item = &str> {
        self.gone.iter().flat_map(|gone| gone.iter()).map(|gone| &**gone)
    }

    /// Returns all accounts, those included that no run can name.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.all.iter()
    }

    /// Returns the accounts that a call can name.
    pub fn choices(&self) -> impl Iterator<Item = &Account> {
        self.all.iter().filter(|account| !account.id().is_empty())
    }

    /// Returns whether a call has several accounts to choose among.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.choices().nth(1).is_some()
    }

    /// Returns whether arguments of the app's tools may name an account: there are several, or were until lately.
    #[must_use]
    pub fn takes_argument(&self) -> bool {
        self.are_several() || self.gone.is_some()
    }

    /// Returns the account that is used where a call names none: the first that is connected, else the first.
    #[must_use]
    pub fn default_choice(&self) -> Option<&Account> {
        let is_connected = |account: &&Account| account.state == AccountState::Connected;
        self.choices().find(is_connected).or_else(|| self.choices().next())
    }

    /// Finds an account by its connection's key, else by its id, else by its exact name where only one has that.
    #[must_use]
    pub fn find(&self, named: &str) -> Option<&Account> {
        let named = named.trim();
        let by_key = self.choices().find(|account| !named.is_empty() && account.key() == named);
        let by_id = || self.choices().find(|account| account.id() == named);
        by_key.or_else(by_id).or_else(|| {
            let mut by_name = self.choices().filter(|account| !named.is_empty() && account.name() == named);
            // Names are free text, and two accounts may have the same.
            by_name.next().filter(|_| by_name.next().is_none())
        })
    }

    /// Returns whether an account of this name was there before.
    #[must_use]
    pub fn had(&self, named: &str) -> bool {
        self.gone().any(|gone| gone == named.trim())
    }

    /// Returns the state of the app: that of its best account.
    #[must_use]
    pub fn state(&self) -> AccountState {
        self.all.iter().map(Account::state).min().unwrap_or(AccountState::Connected)
    }

    /// Returns the account that the user has to connect again before any run of the app can succeed.
    #[must_use]
    pub fn lost(&self) -> Option<&Account> {
        // Only where no account is better: with one that works, runs succeed.
        let is_lost = |account: &&Account| account.state == AccountState::Reconnect;
        self.iter().find(is_lost).filter(|_| self.state() == AccountState::Reconnect)
    }

    /// Returns whether the definitions of the app's tools say something of them: which can be chosen, or that all are lost.
    #[must_use]
    pub fn are_told(&self) -> bool {
        self.are_several() || self.lost().is_some()
    }

    /// Returns whether definitions that tell of them are the same as by `other` ones.
    #[must_use]
    pub fn are_told_as(&self, other: &Self) -> bool {
        match (self.are_told(), other.are_told()) {
            (false, false) => true,
            (true, true) if self.are_several() || other.are_several() => self.all == other.all,
            // Both say no more than that the app is lost, whichever account it was.
            (own, others) => own == others,
        }
    }

    /// About how much memory they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |account: &Account| {
            size_of::<Account>() + account.texts.len() + account.reason.as_ref().map_or(0, |reason| reason.len())
        };
        self.all.iter().map(of).sum()
    }
}

#[cfg(test)]
pub(super) mod tests;
