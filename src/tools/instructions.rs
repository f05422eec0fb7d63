//! The `instructions` of the server: facts that a model should know before it uses the tools.

use std::sync::Arc;

use super::{mode, text::cut, view::Scope};
use crate::{
    ids::{IntegrationKey, ToolName},
    membrane::{Catalog, app_tools::AppTools},
    protocol::tools::ToolMode,
};

/// Bytes of the instructions at most: they are part of every prompt.
const MAX_BYTES: usize = 500;

/// The server's instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instructions {
    /// Text for the model, of 500 bytes at most.
    pub text: String,
    /// Whether the text is about the user, or would be if more were known, so that nobody else may be given it.
    pub is_personal: bool,
    /// Whether the user's tools were not known, or not all of them.
    pub is_partial: bool,
}

/// Returns the instructions for a URL, with what is known of the user's tools.
#[must_use]
pub fn instructions(scope: &Scope, catalog: Option<&Catalog>) -> Instructions {
    let mut text =
        "Each tool is an action of one of the user's connected apps, and acts on the user's real account.".to_owned();
    let mode = catalog.map_or(scope.mode, |catalog| mode::of_catalog(scope.mode, catalog));
    match mode {
        ToolMode::Static => {}
        ToolMode::Dynamic => text.push_str(
            " Tools must be enabled before they are listed: call enable-tools with the names you need, such as \
             gmail_send-email. Each call replaces the set enabled before.",
        ),
        ToolMode::Search | ToolMode::Auto => text.push_str(
            " search-tools finds tools by what they do; run-read-tool and run-write-tool run them; connect-app connects \
             more apps.",
        ),
    }
    let mut notes = Vec::new();
    if let Some(catalog) = catalog {
        notes.extend(failed(catalog));
        notes.extend(unknown(scope, catalog));
        if mode == ToolMode::Search {
            let is_lost = |part: &&Arc<AppTools>| {
                catalog.accounts(part.integration()).is_some_and(|accounts| accounts.lost().is_some())
            };
            let (lost, connected): (Vec<_>, Vec<_>) = catalog.parts().partition(is_lost);
            let names = |parts: &[&Arc<AppTools>]| parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ");
            // First, since what is too long is cut at its end.
            notes.extend((!lost.is_empty()).then(|| format!("To be connected again: {}.", names(&lost))));
            let connected = if connected.is_empty() { "no app".to_owned() } else { names(&connected) };
            notes.push(format!("Connected: {connected}."));
        }
    }
    // What says nothing of the user only because their tools are not known yet must not be taken for everybody's.
    let depends_on_user = matches!(scope.mode, ToolMode::Search | ToolMode::Auto)
        || named_apps(scope).chain(named_tools(scope)).next().is_some();
    let is_personal = depends_on_user || !notes.is_empty();
    let is_partial = catalog.is_none_or(|catalog| !catalog.failed().is_empty());
    for note in notes {
        text.push(' ');
        text.push_str(&note);
    }
    Instructions { text: cut(&text, MAX_BYTES).into_owned(), is_personal, is_partial }
}

/// Returns the apps that a URL names.
fn named_apps(scope: &Scope) -> impl Iterator<Item = &str> {
    scope.apps.keys().into_iter().flatten().map(IntegrationKey::as_str)
}

/// Returns the tools that a URL names, pinned ones among them.
fn named_tools(scope: &Scope) -> impl Iterator<Item = &str> {
    let filtered = scope.filter.tools.iter().filter(|pattern| !pattern.contains('*')).map(String::as_str);
    filtered.chain(scope.filter.pins.iter().map(ToolName::as_str))
}

/// Returns a note on apps whose tools could not be loaded.
fn failed(catalog: &Catalog) -> Option<String> {
    let when = catalog.failed().first()?.when();
    let names: Vec<_> = catalog.failed().iter().map(|app| app.name.as_str()).collect();
    Some(format!(
        "The tools of these apps can't be loaded right now: {}. List the tools again {when}.",
        names.join(", ")
    ))
}

/// Returns a note on apps and tools that the URL names and that there are not. Without it, a mistake in the URL would look
/// like an app without tools.
fn unknown(scope: &Scope, catalog: &Catalog) -> Option<String> {
    let has_app = |key: &str| {
        let is_failed = catalog.failed().iter().any(|app| app.key.as_str() == key);
        is_failed || catalog.connected().any(|app| app.as_str() == key)
    };
    let apps = named_apps(scope).filter(|key| !has_app(key));
    let tools = named_tools(scope).filter(|name| catalog.find(&ToolName::new(name)).is_none());
    let unknown: Vec<_> = apps.chain(tools).collect();
    if unknown.is_empty() {
        return None;
    }
    let unknown = unknown.join(", ");
    log::info!(unknown:%; "a URL names apps or tools that its user does not have");
    Some(format!("The URL of this server names what the user does not have: {unknown}."))
}
