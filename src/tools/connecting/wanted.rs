//! Account that a user is asked to connect, and words on it for models and users.

use serde::{Deserialize, Serialize};

use crate::{
    ids::IntegrationKey,
    membrane::{AccountState, app_tools::AppTools, connect::ConnectError, model::Connection},
    protocol::{
        clean::{beginning, one_line},
        tools::CallToolResult,
    },
};

/// Bytes of an app's name that are shown.
const MAX_NAME: usize = 200;

/// Bytes of an address to which a browser is sent: what all of them take, and a link can hold.
const MAX_ADDRESS: usize = 2048;

/// Account that a user is asked to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::tools) struct Wanted {
    /// Key of the app.
    pub(in crate::tools) app: IntegrationKey,
    /// Name of the app, for people.
    pub(in crate::tools) name: String,
    /// Connection that a call has named; with none, any account of the app will do.
    pub(in crate::tools) connection: Option<String>,
    /// Connection that its user is asked to connect again, among those that will do; with none, a new one is made.
    #[serde(default)]
    lost: Option<String>,
    /// Whether the upstream has listed it as connected while a run failed for want of it, so that its lists tell nothing.
    #[serde(default)]
    is_disputed: bool,
}

/// Reason why a user can't be asked.
#[derive(Debug, thiserror::Error)]
pub(in crate::tools) enum Unasked {
    #[error("{0}")]
    Upstream(#[from] ConnectError),
    /// The upstream names a page that no browser should be sent to.
    #[error("the page that Membrane names for it is not a secure one")]
    Insecure,
    /// There is nothing to do for the user.
    #[error("it is being set up")]
    Building,
    /// The user has been given as many links as they may.
    #[error("the user has been given too many links")]
    TooMany,
    #[error(transparent)]
    Failed(#[from] crate::error::Error),
}

impl Wanted {
    /// Returns any account of an app. Its name comes to models and people, so it is short and one line.
    pub(in crate::tools) fn new(app: IntegrationKey, name: &str) -> Self {
        let name = beginning(&one_line(name), MAX_NAME).to_owned();
        Self { app, name, connection: None, lost: None, is_disputed: false }
    }

    /// Returns any account of an app that is known.
    pub(in crate::tools) fn of(app: &AppTools) -> Self {
        Self::new(app.integration().clone(), app.name())
    }

    /// Returns the account of a connection, where one is named.
    pub(in crate::tools) fn by(self, connection: Option<String>) -> Self {
        Self { connection, ..self }
    }

    /// Returns the account that is to be connected, among the connections that the user has of the app: the best one where
    /// none can be used. With it, the page that the upstream names for that, if any.
    pub(in crate::tools) fn among(self, connections: &[Connection]) -> (Self, Option<String>) {
        let best = self.best(connections);
        let (lost, page) = match best {
            Some((AccountState::Reconnect | AccountState::Failed, lost)) => (lost.id.clone(), lost.page()),
            _ => (None, None),
        };
        let is_disputed = matches!(best, Some((AccountState::Connected, _)));
        (Self { lost, is_disputed, ..self }, page.map(str::to_owned))
    }

    /// Returns the state of the account; nothing where there is none.
    pub(in crate::tools) fn state(&self, connections: &[Connection]) -> Option<AccountState> {
        self.best(connections).map(|(state, _)| state)
    }

    /// Returns whether the account is connected, as far as lists of connections can tell.
    pub(in crate::tools) fn is_connected(&self, connections: &[Connection]) -> bool {
        !self.is_disputed && self.state(connections) == Some(AccountState::Connected)
    }

    /// Returns the connection that is in the best state, of those that will do.
    fn best<'a>(&self, connections: &'a [Connection]) -> Option<(AccountState, &'a Connection)> {
        let will_do = |connection: &&Connection| self.connection.is_none() || connection.id == self.connection;
        let live = connections.iter().filter(|connection| connection.is_live()).filter(will_do);
        live.map(|connection| (AccountState::of(connection), connection)).min_by_key(|(state, _)| *state)
    }

    /// Returns the connection that is connected again, rather than a new one made.
    pub(in crate::tools) fn renewed(&self) -> Option<&str> {
        self.lost.as_deref().or(self.connection.as_deref())
    }

    /// Has a new connection made, whatever the call has named.
    pub(in crate::tools) fn anew(self) -> Self {
        Self { connection: None, lost: None, ..self }
    }

    /// Returns the result that tells of an account which is connected.
    pub(in crate::tools) fn connected(&self) -> CallToolResult {
        CallToolResult::text(format!("{} is connected. Its tools can be found and run.", self.name))
    }

    /// Returns the question to the user: why a page is to be opened.
    pub(in crate::tools) fn question(&self, workspace: &str) -> String {
        let verb = if self.renewed().is_some() { "Connect your account again" } else { "Connect your account" };
        match workspace {
            "" => format!("{verb}: {}.", self.name),
            workspace => format!("{verb}: {}, for the workspace {workspace}.", self.name),
        }
    }

    /// Returns the text for a model that has to tell its user the page. The address has a line of its own, so that it is copied
    /// whole.
    pub(in crate::tools) fn text(&self, url: &str, again: &str) -> String {
        let name = &self.name;
        let first = match self.renewed() {
            None => format!("{name} is not connected. The user connects it on this page:"),
            Some(_) => format!("{name} has to be connected again. The user does that on this page:"),
        };
        format!("{first}\n{url}\nAfter signing in, call {again} again.")
    }

    /// Returns the text for a model whose user can't be asked.
    pub(in crate::tools) fn unasked(&self, why: &Unasked) -> String {
        let name = &self.name;
        match why {
            Unasked::Upstream(ConnectError::NoSuchApp) => {
                format!(
                    "There is no app {name:?} in this workspace. search-tools without a query lists the user's apps."
                )
            }
            Unasked::Upstream(ConnectError::Failed(error)) => {
                format!("{name} can't be connected right now: {}. Try again later.", error.in_full())
            }
            Unasked::Upstream(ConnectError::Off) | Unasked::Insecure => format!(
                "{name} can't be connected from here: {why}. The user connects it where they use this assistant. Its tools can \
                 be found after that."
            ),
            Unasked::Building => {
                format!(
                    "{name} is being set up. The user has nothing to do; connect-app with wait_s waits until it is ready."
                )
            }
            Unasked::TooMany => format!(
                "{name} can't be connected right now: the user has been given too many links to connect apps. Try again in some \
                 minutes."
            ),
            Unasked::Failed(error) => format!("{name} can't be connected right now: {error}"),
        }
    }
}

/// Returns an address as a browser may be sent to it: one that is reached securely, or on the user's own machine. It is written
/// anew, so that it holds no more than was looked at: line breaks, say, would be passed on to headers and models.
pub(in crate::tools) fn secure(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    let is_secure = !has_user && (url.scheme() == "https" || (url.scheme() == "http" && is_local));
    (is_secure && url.as_str().len() <= MAX_ADDRESS).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secure_pages_and_those_of_this_machine_are_opened() {
        for (address, fine) in [
            ("https://ui.getmembrane.com/connect?x=1", true),
            ("http://127.0.0.1:3001/connect/1", true),
            ("http://localhost/x", true),
            ("http://[::1]:1/x", true),
            ("http://ui.getmembrane.com/", false),
            ("http://localhost.evil.com/", false),
            ("https://user@evil.com/", false),
            ("https://:word@evil.com/", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("file:///etc/passwd", false),
            ("https:", false),
            ("//evil.com/", false),
            ("/relative", false),
            ("", false),
        ] {
            assert_eq!(secure(address).is_some(), fine, "{address}");
        }
        assert_eq!(secure("https://ok.example/\r\nSet-Cookie: a=b").unwrap(), "https://ok.example/Set-Cookie:%20a=b");
        assert_eq!(secure("https://exämple.com/ü").unwrap(), "https://xn--exmple-cua.com/%C3%BC");
        assert_eq!(secure(&format!("https://ok.example/{}", "x".repeat(3000))), None);
    }

    #[test]
    fn the_account_that_is_lost_is_the_one_to_connect() {
        let read = |json: serde_json::Value| -> Vec<Connection> { serde_json::from_value(json).unwrap() };
        let wanted = || Wanted::new(IntegrationKey::new("slack"), "Slack");
        let none = read(serde_json::json!([]));
        assert!(!wanted().is_connected(&none));
        assert_eq!((wanted().among(&none), wanted().state(&none)), ((wanted(), None), None));
        let lost = read(serde_json::json!([
            {"id": "old", "archivedAt": "2026-01-01", "disconnected": true},
            {"id": "c1", "state": "CLIENT_ACTION_REQUIRED", "clientAction": {"type": "connect", "uiUrl": "https://m/1"}},
        ]));
        assert!(!wanted().is_connected(&lost));
        let (again, page) = wanted().among(&lost);
        assert_eq!((again.renewed(), page.as_deref()), (Some("c1"), Some("https://m/1")));
        let fine = read(serde_json::json!([{"id": "c2", "connected": true}]));
        assert!(
            wanted().is_connected(&fine) && again.is_connected(&fine),
            "any account will do, the lost one or another"
        );
        let named = || wanted().by(Some("c1".to_owned()));
        assert!(
            !named().is_connected(&fine) && !named().among(&lost).0.is_connected(&fine),
            "another is not the named one"
        );
        let (disputed, page) = wanted().among(&fine);
        assert_eq!((disputed.renewed(), page), (None, None));
        assert!(!disputed.is_connected(&fine), "a run has failed on what the list tells");
    }

    #[test]
    fn an_account_counts_as_connected_by_its_best_connection() {
        use AccountState::{Building, Connected, Failed, Reconnect};
        let read = |states: &[&str]| -> Vec<Connection> {
            let connections =
                states.iter().enumerate().map(|(n, state)| serde_json::json!({"id": n.to_string(), "state": state}));
            serde_json::from_value(connections.collect()).unwrap()
        };
        for (states, state, renewed) in [
            (&["READY"][..], Connected, None),
            (&["BUILDING"], Building, None),
            (&["SETTING_UP", "DISCONNECTING"], Building, None),
            (&["DISCONNECTING"], Reconnect, Some("0")),
            (&["SETUP_FAILED"], Failed, Some("0")),
            (&["CONFIGURATION_ERROR", "CLIENT_ACTION_REQUIRED"], Reconnect, Some("1")),
            (&["SETUP_FAILED", "READY"], Connected, None),
        ] {
            let (connections, wanted) = (read(states), Wanted::new(IntegrationKey::new("slack"), "Slack"));
            assert_eq!(wanted.state(&connections), Some(state), "{states:?}");
            assert_eq!(wanted.is_connected(&connections), state == Connected, "{states:?}");
            assert_eq!(wanted.among(&connections).0.renewed(), renewed, "{states:?}");
        }
    }
}
