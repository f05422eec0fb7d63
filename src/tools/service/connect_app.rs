//! `connect-app`: has the user connect an app that a model wants to use.

use std::time::Duration;

use serde::Deserialize;

use super::ToolService;
use crate::{
    error::Error,
    ids::IntegrationKey,
    membrane::{AccountState, Catalog, connect::ConnectError},
    protocol::tools::CallToolResult,
    tools::{
        Builtin, Outcome, View,
        accounts::quoted,
        connecting::{Asking, Unasked, Wanted},
        search_tools::find_app,
        workspace_apps::WorkspaceApps,
    },
};

/// Longest time that a call waits for a sign-in: proxies and clients end calls that take a minute.
const MAX_WAIT: Duration = Duration::from_secs(50);

/// Longest name of an app that is looked for, in bytes.
const MAX_APP: usize = 100;

/// Arguments of `connect-app`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    app: String,
    /// Account that is to be connected again, where the user has several.
    #[serde(default)]
    account: Option<String>,
    /// Seconds to wait for the user, who has been given the link before.
    #[serde(default)]
    wait_s: u64,
}

impl ToolService {
    /// Tells that an app is connected, or asks the user to connect it.
    pub(super) async fn connect_app(&self, view: &View, asking: &Asking, asked: &Arguments) -> Result<Outcome, Error> {
        let result = |text: String| Ok(Outcome::Result(CallToolResult::text(text)));
        let app = asked.app.trim();
        if app.is_empty() || app.len() > MAX_APP {
            return Ok(Outcome::Result(CallToolResult::failure(
                "Invalid arguments for connect-app: app names no app.",
            )));
        }
        let catalog = self.catalog(&view.caller, &view.scope).get().await?;
        let workspace = self.workspace_apps(&view.caller).await;
        let mut candidates = candidates(&catalog, &workspace, app);
        if !candidates.iter().any(|wanted| view.scope.apps.include(&wanted.app)) {
            return result(format!("{} can't be used through this address: its ?apps= names others.", quoted(app)));
        }
        candidates.retain(|wanted| view.scope.apps.include(&wanted.app));
        if let Some(named) = &asked.account {
            // Of an app that the user has not connected there is no account to name.
            let of_app = candidates.iter().find_map(|wanted| catalog.accounts(&wanted.app));
            let Some(account) = of_app.and_then(|accounts| accounts.find(named)) else {
                let (named, app) = (quoted(named), quoted(app));
                return result(format!("The user has no account {named} of {app}. Without account, any is connected."));
            };
            let id = account.id().to_owned();
            candidates = candidates.into_iter().map(|wanted| wanted.by(Some(id.clone()))).collect();
        }
        let wait = Duration::from_secs(asked.wait_s).min(MAX_WAIT);
        for wanted in candidates {
            let is_building = match self.account_state(&view.caller, &wanted).await {
                Ok(Some(AccountState::Connected)) => {
                    let of_app = catalog.accounts(&wanted.app);
                    if of_app.is_none_or(|accounts| accounts.state() != AccountState::Connected) {
                        self.take_up(view, &wanted).await?;
                    }
                    return Ok(Outcome::Result(wanted.connected()));
                }
                Ok(state) => state == Some(AccountState::Building),
                Err(error @ Error::Unauthenticated(_)) => return Err(error),
                Err(error) => return result(wanted.unasked(&Unasked::Failed(error))),
            };
            if let Some(settled) = self.settle_pending(view, &wanted, is_building, wait).await? {
                return Ok(Outcome::Result(settled));
            }
            match self.ask(view, asking, wanted.clone(), Builtin::ConnectApp.name(), None).await? {
                Ok(outcome) => return Ok(outcome),
                Err(Unasked::Upstream(ConnectError::NoSuchApp)) => {}
                Err(why) => return result(wanted.unasked(&why)),
            }
        }
        // By the model's own word, not by the last of the keys that it may stand for.
        let app = quoted(app);
        result(format!("There is no app {app} in this workspace. search-tools without a query lists the user's apps."))
    }
}

/// Returns the apps that a model may mean: one of the user's or of the workspace, by key or name, else apps by the keys that the name
/// may stand for.
fn candidates(catalog: &Catalog, workspace: &WorkspaceApps, app: &str) -> Vec<Wanted> {
    let parts: Vec<_> = catalog.parts().collect();
    if let Some(known) = find_app(&parts, app) {
        return vec![Wanted::of(known)];
    }
    let failed = catalog.failed().iter().find(|failed| failed.key.as_str() == app || failed.name == app);
    if let Some(failed) = failed {
        return vec![Wanted::new(failed.key.clone(), &failed.name)];
    }
    if let Some((key, name)) = workspace.find(app) {
        return vec![Wanted::new(key.clone(), name)];
    }
    let words: Vec<_> = app.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let (slug, joined) = (words.join("-").to_lowercase(), words.concat().to_lowercase());
    let mut keys = vec![app.to_owned(), slug, joined];
    keys.retain(|key| !key.is_empty() && !key.contains(char::is_whitespace));
    let mut seen = Vec::new();
    for key in keys {
        if !seen.contains(&key) {
            seen.push(key);
        }
    }
    // By its key, not by the words of a model, which would stand on the page that the user sees.
    seen.iter().map(|key| Wanted::new(IntegrationKey::new(key), &name_of(key))).collect()
}

/// Returns a name that a key may stand for, such as Google Calendar for google-calendar.
pub(super) fn name_of(key: &str) -> String {
    let words = key.split(['-', '_']).filter(|word| !word.is_empty()).map(|word| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_the_keys_that_it_may_have() {
        let keys = |app: &str| {
            let candidates = candidates(&Catalog::default(), &WorkspaceApps::default(), app);
            candidates.iter().map(|wanted| wanted.app.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys("notion"), ["notion"]);
        assert_eq!(keys("Notion"), ["Notion", "notion"]);
        assert_eq!(keys("Google Calendar"), ["google-calendar", "googlecalendar"]);
        assert_eq!(keys("!!! "), Vec::<String>::new());
        assert_eq!(name_of("google-calendar"), "Google Calendar");
        assert_eq!(name_of("émile_x"), "Émile X");
    }
}
