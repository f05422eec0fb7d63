//! Loading a user's catalog: connections, then the actions of all their integrations side by side.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Apps, Catalog, MembraneClient, MembraneError,
    client::ActionsOf,
    model::Connection,
    tool::{App, Tool},
};
use crate::token::AccessToken;

/// An integration to load: where its actions are, and how its tools are to look.
struct Source {
    actions: ActionsOf,
    app: App,
}

/// Loads the tools of the user that `token` speaks for. `on_accepted` is called as soon as the upstream has accepted the
/// token, which is long before the last action has come.
///
/// # Errors
/// [`MembraneError`], where the connections can't be had. An integration whose actions can't be had costs its own tools
/// and a warning.
pub async fn load_catalog(
    client: &MembraneClient,
    token: &AccessToken,
    apps: &Apps,
    concurrency: usize,
    on_accepted: impl Fn(),
) -> Result<Catalog, MembraneError> {
    let filters: Vec<_> = match apps.keys() {
        Some(keys) => keys.iter().map(Some).collect(),
        None => vec![None],
    };
    let connections: Vec<Vec<Connection>> = stream::iter(filters)
        .map(|filter| client.connections(token, filter, &on_accepted))
        .buffered(concurrency)
        .try_collect()
        .await?;
    let sources = sources(connections.iter().flatten(), apps);

    let tools: Vec<Vec<Tool>> = stream::iter(&sources)
        .map(|source| tools_of(client, token, source))
        .buffered(concurrency)
        .try_collect()
        .await?;
    Ok(Catalog::new(tools.into_iter().flatten().collect()))
}

/// The integrations of the connections, each once: two connections of one integration give one set of tools, which counts
/// as disconnected only where both are.
fn sources<'a>(connections: impl Iterator<Item = &'a Connection>, apps: &Apps) -> Vec<Source> {
    let mut sources: BTreeMap<_, Source> = BTreeMap::new();
    for connection in connections.filter(|connection| connection.is_live()) {
        let Some(integration) = connection.integration.as_ref().filter(|i| i.is_live()) else {
            continue;
        };
        let disconnected = connection.disconnected == Some(true);
        let Some(app) = App::of(integration, disconnected).filter(|app| apps.include(&app.key)) else {
            continue;
        };
        let actions = match &integration.id {
            Some(id) => ActionsOf::IntegrationId(id.clone()),
            None => ActionsOf::IntegrationKey(app.key.clone()),
        };
        sources
            .entry(app.key.clone())
            .and_modify(|known| known.app.disconnected &= disconnected)
            .or_insert(Source { actions, app });
    }
    sources.into_values().collect()
}

async fn tools_of(client: &MembraneClient, token: &AccessToken, source: &Source) -> Result<Vec<Tool>, MembraneError> {
    match client.actions(token, &source.actions).await {
        Ok(actions) => Ok(actions.iter().filter_map(|action| Tool::of(&source.app, action)).collect()),
        // The token ended on the way; a list without half the tools would look as if they were gone.
        Err(error) if error.is_unauthenticated() => Err(error),
        Err(error) => {
            log::warn!(integration = source.app.key.as_str(); "its actions can't be loaded, its tools are missing: {error}");
            Ok(Vec::new())
        }
    }
}
