//! Loading a user's catalog: connections, then the actions of all their integrations side by side.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use metrics::counter;

use super::{
    Accounts, Apps, Catalog, MembraneClient, MembraneError,
    app_tools::AppTools,
    catalog::{FailedApp, Part},
    lists::{ActionsOf, Reader},
    model::{Action, Connection},
    reading::broken_work,
    tool::{App, Tool},
};

/// Integrations of one load. Each costs a request at least.
const MAX_INTEGRATIONS: usize = 1000;

/// An integration to load: where its actions are, how its tools are to look, and by which connections they run.
struct Source<'a> {
    actions: ActionsOf,
    app: App,
    connections: Vec<&'a Connection>,
}

/// Options with which catalogs are loaded.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Requests of one load that may be in flight or wait for the user's turn.
    pub concurrency: usize,
    /// How long tools are taken as loaded.
    pub fresh: Duration,
    /// How long they stand in for those that can't be had.
    pub stale: Duration,
    /// Bytes that one load reads at most: a worker gives no more memory to the tools of all users.
    pub max_bytes: usize,
    /// How long after a failure the load is tried again.
    pub negative: Duration,
}

/// The catalog as it was before.
#[derive(Debug, Clone)]
pub struct Before {
    /// Catalog that the load will replace.
    pub catalog: Arc<Catalog>,
    /// Whether parts that are still fresh need not be loaded again.
    pub is_reusable: bool,
}

/// Loads the tools of the user that `reader` reads for. `on_accepted` is called as soon as the upstream has accepted the
/// token, which is long before the last action has come.
///
/// # Errors
/// [`MembraneError`], where the connections can't be had. An integration whose actions can't be had costs its own tools at
/// most, and a warning: the last good ones stand in for a while.
pub async fn load_catalog(
    client: &MembraneClient,
    reader: &Reader,
    apps: &Apps,
    manner: Manner,
    before: Option<Before>,
    on_accepted: impl Fn(),
) -> Result<Catalog, MembraneError> {
    let filters: Vec<_> = match apps.keys() {
        Some(keys) => keys.iter().map(Some).collect(),
        None => vec![None],
    };
    let mut filters = filters.into_iter();
    let mut connections: Vec<Vec<Connection>> = Vec::new();
    if !reader.is_accepted() {
        // One request finds out whether the token is good. A guess costs no more than that.
        connections.push(client.connections(reader, filters.next().flatten(), &on_accepted).await?);
    }
    // The token is accepted by now, so the rest may be asked side by side.
    let others = stream::iter(filters).map(|filter| client.connections(reader, filter, &on_accepted));
    let others: Vec<_> = others.buffered(manner.concurrency).try_collect().await?;
    connections.extend(others);
    let mut sources = sources(connections.iter().flatten(), apps);
    let left_out = sources.len().saturating_sub(MAX_INTEGRATIONS);
    if left_out > 0 {
        log::warn!("{left_out} integrations of a user are left out: at most {MAX_INTEGRATIONS} are loaded");
        sources.truncate(MAX_INTEGRATIONS);
    }

    let (client, before) = (&client, before.as_ref());
    let parts: Vec<Loaded> = stream::iter(&sources)
        .map(|source| async move {
            let earlier = before.and_then(|before| before.catalog.part(&source.app.key));
            // Reused after a partial load alone. That is repeated every few seconds, and apps that have answered need
            // not be asked each time.
            let is_reusable = before.is_some_and(|before| before.is_reusable && before.catalog.is_partial());
            match earlier.filter(|part| is_reusable && part.since.elapsed() < manner.fresh) {
                Some(part) => Ok(Loaded::Part(part.clone())),
                None => {
                    load_part(client, reader, source, earlier.filter(|part| part.since.elapsed() < manner.stale)).await
                }
            }
        })
        // In order, since parts and sources are paired below.
        .buffered(manner.concurrency)
        .try_collect()
        .await?;
    // An app that can't be asked is told of even where earlier tools stand in, since these may be wrong by now.
    let has_failed = |(part, _): &(&Loaded, &Source<'_>)| matches!(part, Loaded::Failed(_));
    let failed = parts.iter().zip(&sources).filter(has_failed).map(|(_, Source { app, .. })| FailedApp {
        key: app.key.clone(),
        name: app.name.clone(),
        retry: manner.negative,
    });
    let failed = failed.collect();
    let parts = parts.into_iter().filter_map(|part| match part {
        Loaded::Part(part) => Some(part),
        Loaded::Failed(stand_in) => stand_in,
    });
    let of_app = |source: &Source<'_>| (source.app.key.clone(), Accounts::of(source.connections.iter().copied()));
    let accounts = sources.iter().map(of_app).collect();
    let before = before.map(|before| &*before.catalog);
    Ok(Catalog::new(parts.collect(), before, failed).with_accounts(accounts, before))
}

/// Outcome of loading one integration.
enum Loaded {
    Part(Part),
    /// The integration can't be asked, and earlier tools stand in where there are some.
    Failed(Option<Part>),
}

/// Returns the integrations of the connections, each once: two connections of one integration are two accounts of one set of
/// tools.
fn sources<'a>(connections: impl Iterator<Item = &'a Connection>, apps: &Apps) -> Vec<Source<'a>> {
    let mut sources: BTreeMap<_, Source<'a>> = BTreeMap::new();
    for connection in connections.filter(|connection| connection.is_live()) {
        let Some(integration) = connection.integration.as_ref().filter(|i| i.is_live()) else {
            continue;
        };
        let Some(app) = App::of(integration).filter(|app| apps.include(&app.key)) else {
            continue;
        };
        // By key and not by id: names of tools are made of it, and two sets under one key would be mixed up.
        let source = sources.entry(app.key.clone()).or_insert_with(|| Source {
            actions: match &integration.id {
                Some(id) => ActionsOf::IntegrationId(id.clone()),
                None => ActionsOf::IntegrationKey(app.key.clone()),
            },
            app,
            connections: Vec::new(),
        });
        source.connections.push(connection);
    }
    sources.into_values().collect()
}

async fn load_part(
    client: &MembraneClient,
    reader: &Reader,
    source: &Source<'_>,
    earlier: Option<&Part>,
) -> Result<Loaded, MembraneError> {
    let Source { actions, app, .. } = source;
    match client.actions(reader, actions).await {
        Ok(actions) => {
            let upstream = client.upstream();
            let (bytes, app) = (actions.iter().map(Action::schema_bytes).sum(), app.clone());
            let build = move || {
                // Each action is dropped as its tool is there.
                let tools = actions.into_iter().filter_map(|action| Tool::of(&app, &action)).collect();
                AppTools::new(&app, tools)
            };
            let tools = upstream.pool.run(bytes, build).await.ok_or_else(broken_work)?;
            Ok(Loaded::Part(Part { tools: upstream.tools.share(tools), since: Instant::now() }))
        }
        // The token ended on the way; a list without half the tools would look as if they were gone.
        Err(error) if error.is_unauthenticated() => Err(error),
        Err(error) => {
            let (tools, what) = match earlier {
                Some(_) => ("kept", "its tools stay as they were"),
                None => ("missing", "its tools are missing"),
            };
            counter!("mcp_integrations_failed_total", "tools" => tools).increment(1);
            log::warn!(integration = app.key.as_str(); "its actions can't be loaded, {what}: {error}");
            Ok(Loaded::Failed(earlier.cloned()))
        }
    }
}
