//! Connections and records of the sandbox's users, each user's apart.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    catalog::{App, Catalog, Integration},
    token::Claims,
};

/// Record of a collection, as a JSON object.
pub type Record = Map<String, Value>;

/// All users' belongings. A lock is enough here: one worker serves the sandbox.
#[derive(Debug, Default)]
pub struct State(Mutex<HashMap<String, Belongings>>);

/// Connections and records of one user.
#[derive(Debug)]
pub struct Belongings {
    /// Accounts that the user has connected.
    pub connections: Vec<Connection>,
    records: HashMap<(String, String), Vec<Record>>,
    made: u64,
}

/// Account of an app that is connected.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Id of the connection.
    pub id: String,
    /// Name of the connection, for people.
    pub name: String,
    user_id: String,
    integration_id: String,
    /// Integration of the connection's app.
    pub integration: Integration,
    /// Whether it has to be connected again.
    pub disconnected: bool,
}

impl State {
    /// Works on what a user has. A user who is new has connected what the token says, and the apps' first records.
    pub fn of<T>(&self, claims: &Claims, catalog: &Catalog, work: impl FnOnce(&mut Belongings) -> T) -> T {
        // Work that panicked is a fault of the sandbox; the next request may still go well.
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let belongings = users.entry(claims.id.clone()).or_insert_with(|| Belongings::new(claims, catalog));
        work(belongings)
    }
}

impl Belongings {
    fn new(claims: &Claims, catalog: &Catalog) -> Self {
        let connected = |app: &&App| {
            let keys = claims.fields.connections.as_ref();
            keys.map_or(!app.is_extra, |keys| keys.contains(&app.integration.key))
        };
        let mut belongings = Self { connections: Vec::new(), records: HashMap::new(), made: 0 };
        for app in catalog.apps() {
            for (collection, records) in &app.records {
                let key = (app.integration.key.clone(), collection.clone());
                belongings.records.insert(key, records.clone());
            }
        }
        for app in catalog.apps().filter(connected) {
            belongings.connect(&claims.id, app);
        }
        belongings
    }

    /// Connects an account of an app for the user.
    pub fn connect(&mut self, user: &str, app: &App) -> Connection {
        let integration = app.integration.clone();
        let connection = Connection {
            id: self.draw_id("con"),
            name: format!("{} of {user}", integration.name),
            user_id: user.to_owned(),
            integration_id: integration.id.clone(),
            integration,
            disconnected: false,
        };
        self.connections.push(connection.clone());
        connection
    }

    /// Returns the records of a collection of an app.
    pub fn records(&mut self, app: &App, collection: &str) -> &mut Vec<Record> {
        let key = (app.integration.key.clone(), collection.to_owned());
        self.records.entry(key).or_default()
    }

    /// Returns an id that the user has nothing else under.
    pub fn draw_id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }
}

/// Names of record fields, by the members of the input that they are compared with.
pub type Fields = BTreeMap<String, String>;
