//! Connections and records of the sandbox's users, each user's apart.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    catalog::{App, Integration, SampleApps},
    token::Claims,
};

/// Record of a collection, as a JSON object.
pub type SandboxRecord = Map<String, Value>;

/// Accounts that a user has with every app, by the words that name them. The first holds an app's sample records.
pub const ACCOUNTS: [&str; 2] = ["work", "home"];

/// All users' belongings. A lock is enough here: one worker serves the sandbox.
#[derive(Debug, Default)]
pub struct State(Mutex<HashMap<String, Belongings>>);

/// Connections and records of one user.
#[derive(Debug)]
pub struct Belongings {
    /// Accounts that the user has connected.
    pub connections: Vec<Connection>,
    records: HashMap<(String, usize, String), Vec<SandboxRecord>>,
    made: u64,
}

/// Account of an app that is connected.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Id of the connection.
    pub id: String,
    /// Key of the connection, such as `gmail-work`.
    pub key: String,
    /// Name of the connection, for people.
    pub name: String,
    user_id: String,
    /// Id of the connection's app.
    pub integration_id: String,
    /// Integration of the connection's app.
    pub integration: Integration,
    /// Whether it has to be connected again.
    pub disconnected: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_action: Option<ClientAction>,
    /// Number of the account among the user's with this app.
    #[serde(skip)]
    pub account: usize,
}

/// Step that a connection waits for its user to take.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientAction {
    r#type: &'static str,
    description: String,
    ui_url: String,
}

impl State {
    /// Works on what a user has. A user who is new has connected what the token says, and the apps' first records.
    pub fn of<T>(&self, claims: &Claims, catalog: &SampleApps, work: impl FnOnce(&mut Belongings) -> T) -> T {
        // Work that panicked is a fault of the sandbox; the next request may still go well.
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let belongings = users.entry(claims.id.clone()).or_insert_with(|| Belongings::new(claims, catalog));
        work(belongings)
    }
}

impl Belongings {
    fn new(claims: &Claims, catalog: &SampleApps) -> Self {
        let mut belongings = Self { connections: Vec::new(), records: HashMap::new(), made: 0 };
        for app in catalog.apps() {
            for (collection, records) in &app.records {
                let key = (app.integration.key.clone(), 0, collection.clone());
                belongings.records.insert(key, records.clone());
            }
        }
        for app in catalog.apps() {
            for _ in 0..claims.fields.accounts(&app.integration.key, app.is_extra) {
                belongings.connect(&claims.id, app);
            }
        }
        belongings
    }

    /// Connects an account of an app for the user: the first that is not connected yet.
    pub fn connect(&mut self, user: &str, app: &App) -> Connection {
        // Of one number more than there are connections, one is free.
        let mut numbers = 0..=self.connections.len();
        let account = numbers.find(|account| self.account(app, *account).is_none()).unwrap_or_default();
        self.connect_account(user, app, account)
    }

    /// Connects this account of an app for the user, or restores the connection that it has.
    pub fn connect_account(&mut self, user: &str, app: &App, account: usize) -> Connection {
        let integration = app.integration.clone();
        if let Some(known) = self.account(app, account).map(|known| known.id.clone())
            && let Some(connection) = self.connection_mut(&known)
        {
            connection.restore();
            return connection.clone();
        }
        let connection = Connection {
            id: self.draw_id("con"),
            key: format!("{}-{}", integration.key, account_word(account)),
            name: account_name(user, account),
            user_id: user.to_owned(),
            integration_id: integration.id.clone(),
            integration,
            disconnected: false,
            state: "READY",
            client_action: None,
            account,
        };
        self.connections.push(connection.clone());
        connection
    }

    /// Returns the connection of an account of an app.
    #[must_use]
    pub fn account(&self, app: &App, account: usize) -> Option<&Connection> {
        let key = &app.integration.key;
        self.connections.iter().find(|known| known.integration.key == *key && known.account == account)
    }

    /// Returns the connection with this id or key, or the oldest of the integration with this key.
    #[must_use]
    pub fn connection(&self, selector: &str) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.is(selector))
    }

    /// Returns the same connection, to be changed.
    pub fn connection_mut(&mut self, selector: &str) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.is(selector))
    }

    /// Takes away the connections that a selector names, all of them where it is an integration's key.
    pub fn disconnect(&mut self, selector: &str) -> Vec<Connection> {
        let all = std::mem::take(&mut self.connections);
        let (gone, left) = all.into_iter().partition(|connection| connection.is(selector));
        self.connections = left;
        gone
    }

    /// Returns the records of a collection that an account of an app holds.
    pub fn records(&mut self, (app, account): (&App, usize), collection: &str) -> &mut Vec<SandboxRecord> {
        let key = (app.integration.key.clone(), account, collection.to_owned());
        self.records.entry(key).or_default()
    }

    /// Returns an id that the user has nothing else under.
    pub fn draw_id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }
}

impl Connection {
    fn is(&self, selector: &str) -> bool {
        self.id == selector || self.key == selector || self.integration.key == selector
    }

    /// Returns whether the app no longer takes its credentials.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.disconnected
    }

    /// Marks the credentials as lost until the user signs in again at `ui_url`.
    pub fn lose(&mut self, ui_url: String) {
        self.disconnected = true;
        self.state = "CLIENT_ACTION_REQUIRED";
        let description = format!("Sign in to {} again as {}.", self.integration.name, self.name);
        self.client_action = Some(ClientAction { r#type: "connect", description, ui_url });
    }

    /// Takes the credentials for good again.
    pub fn restore(&mut self) {
        self.disconnected = false;
        self.state = "READY";
        self.client_action = None;
    }
}

fn account_word(account: usize) -> String {
    ACCOUNTS.get(account).map_or_else(|| (account + 1).to_string(), |word| (*word).to_owned())
}

/// Returns the address by which a user's account is known, such as `ann@work.example`.
#[must_use]
pub fn account_name(user: &str, account: usize) -> String {
    format!("{user}@{}.example", account_word(account))
}

/// Names of record fields, by the members of the input that they are compared with.
pub type Fields = BTreeMap<String, String>;
