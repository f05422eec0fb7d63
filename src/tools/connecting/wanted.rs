//! Account that a user is asked to connect, and words on it for models and users.

use serde::{Deserialize, Serialize};

use crate::{
    ids::IntegrationKey,
    membrane::{connect::ConnectError, model::Connection},
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
    /// Connection that is to be connected again; with none, a new one is made.
    pub(super) connection: Option<String>,
}

/// Reason why a user can't be asked.
#[derive(Debug, thiserror::Error)]
pub(in crate::tools) enum Unasked {
    #[error("{0}")]
    Upstream(#[from] ConnectError),
    /// The upstream names a page that no browser should be sent to.
    #[error("the page that Membrane names for it is not a secure one")]
    Insecure,
    #[error(transparent)]
    Failed(#[from] crate::error::Error),
}

impl Wanted {
    /// Returns any account of an app. Its name comes to models and people, so it is short and one line.
    pub(in crate::tools) fn new(app: IntegrationKey, name: &str) -> Self {
        Self { app, name: beginning(&one_line(name), MAX_NAME).to_owned(), connection: None }
    }

    /// Returns the account of a connection, where one is named.
    pub(in crate::tools) fn by(self, connection: Option<String>) -> Self {
        Self { connection, ..self }
    }

    /// Returns the account that is to be connected, among the connections that the user has of the app: a lost one where all
    /// are lost. With it, the page that the upstream names for that, if any.
    pub(super) fn among(self, connections: &[Connection]) -> (Self, Option<String>) {
        let wanted = |connection: &&Connection| self.connection.is_none() || connection.id == self.connection;
        let mut live = connections.iter().filter(|connection| connection.is_live()).filter(wanted);
        match live.find(|connection| connection.is_disconnected()) {
            None => (self, None),
            Some(lost) => {
                let page = lost.page().map(str::to_owned);
                (Self { connection: lost.id.clone(), ..self }, page)
            }
        }
    }

    /// Returns whether the account is connected.
    pub(super) fn is_connected(&self, connections: &[Connection]) -> bool {
        let wanted = |connection: &&Connection| self.connection.is_none() || connection.id == self.connection;
        let mut live = connections.iter().filter(|connection| connection.is_live()).filter(wanted);
        live.any(|connection| !connection.is_disconnected())
    }

    /// Returns the result that tells of an account which is connected.
    pub(in crate::tools) fn connected(&self) -> CallToolResult {
        CallToolResult::text(format!("{} is connected. Its tools can be found and run.", self.name))
    }

    /// Returns the question to the user: why a page is to be opened.
    pub(super) fn question(&self, workspace: &str) -> String {
        let verb = if self.connection.is_some() { "Connect your account again" } else { "Connect your account" };
        match workspace {
            "" => format!("{verb}: {}.", self.name),
            workspace => format!("{verb}: {}, for the workspace {workspace}.", self.name),
        }
    }

    /// Returns the text for a model that has to tell its user the page. The address has a line of its own, so that it is copied
    /// whole.
    pub(super) fn text(&self, url: &str, again: &str) -> String {
        let name = &self.name;
        let first = match self.connection {
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
            Unasked::Failed(error) => format!("{name} can't be connected right now: {error}"),
        }
    }
}

/// Returns an address as a browser may be sent to it: one that is reached securely, or on the user's own machine. It is written
/// anew, so that it holds no more than was looked at: line breaks, say, would be passed on to headers and models.
pub(super) fn secure(address: &str) -> Option<String> {
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
        assert_eq!(wanted().among(&none), (wanted(), None));
        let lost = read(serde_json::json!([
            {"id": "old", "archivedAt": "2026-01-01", "disconnected": true},
            {"id": "c1", "state": "CLIENT_ACTION_REQUIRED", "clientAction": {"type": "connect", "uiUrl": "https://m/1"}},
        ]));
        assert!(!wanted().is_connected(&lost));
        let (again, page) = wanted().among(&lost);
        assert_eq!((again.connection.as_deref(), page.as_deref()), (Some("c1"), Some("https://m/1")));
        let fine = read(serde_json::json!([{"id": "c2", "connected": true}]));
        assert!(
            wanted().is_connected(&fine) && !again.is_connected(&fine),
            "another account is not the one that was lost"
        );
    }
}
