//! `connect-app`: how a user connects an app that a model wants to use.

use serde::Deserialize;

use crate::{
    membrane::{AccountState, Catalog},
    protocol::tools::CallToolResult,
};

/// Arguments of `connect-app`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    app: String,
}

/// Tells whether an app is connected, and where it can be.
pub(super) fn connect(catalog: &Catalog, Arguments { app }: &Arguments) -> CallToolResult {
    let is_it = |key: &str, name: &str| key.eq_ignore_ascii_case(app) || name.eq_ignore_ascii_case(app);
    let is_usable = |app| catalog.accounts(app).is_none_or(|accounts| accounts.state() == AccountState::Connected);
    match catalog.parts().find(|part| is_it(part.integration().as_str(), part.name())) {
        Some(part) if is_usable(part.integration()) => CallToolResult::text(format!("{} is connected.", part.name())),
        _ => CallToolResult::text(format!(
            "{app} can't be connected from here: the user connects it where they use this assistant. Its tools can be found \
             after that."
        )),
    }
}
