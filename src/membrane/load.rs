//! Loading a user's catalog: connections, then the actions of all their integrations side by side.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::{
    StreamExt, TryStreamExt,
    future::{LocalBoxFuture, Shared},
    stream,
};
use metrics::counter;

use super::{
    Accounts, Apps, Catalog, MembraneClient, MembraneError,
    app_list::{AppList, read_app},
    background::{Pace, READS_PER_LOAD},
    catalog::{AppCatalog, FailedApp},
    lists::{ActionsOf, Reader},
    model::Connection,
    shared::ListKey,
    shared_lists::{Sharing, Taken},
    tool::App,
};
use crate::ids::{IntegrationKey, UserKey};

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
pub struct LoadOptions {
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

/// A catalog that was kept, if it was. It may be waited for in several places.
pub type Thawed = Shared<LocalBoxFuture<'static, Option<Arc<Catalog>>>>;

/// Tools that a load may take rather than read them.
#[derive(Clone)]
pub struct Known {
    /// The catalog as it was before.
    pub before: Option<Previous>,
    /// The catalog as it was kept before this process started, where there is none of its own.
    pub thawed: Option<Thawed>,
    /// Lists that other users have read.
    pub sharing: Sharing,
    /// Time of a change of which the load is to learn: no list from before it is taken.
    pub not_before: Option<Instant>,
}

/// The catalog as it was before.
#[derive(Debug, Clone)]
pub struct Previous {
    /// Catalog that the load will replace.
    pub catalog: Arc<Catalog>,
    /// Whether parts that are still fresh need not be loaded again.
    pub is_reusable: bool,
}

/// Loads the tools of the user that `reader` reads for, at its pace. `on_accepted` is called as soon as the upstream has accepted
/// the token, which is long before the last action has come.
///
/// # Errors
/// [`MembraneError`], where the connections can't be had. An integration whose actions can't be had costs its own tools at
/// most, and a warning: the last good ones stand in for a while.
pub(super) async fn load_catalog(
    client: &MembraneClient,
    reader: &Reader,
    apps: &Apps,
    options: LoadOptions,
    known: Known,
    pace: &Pace,
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
    // Held to the end of the load.
    let turn = pace.turn(&client.upstream().background, reader.user()).await;
    if turn.is_some() && reader.token().has_expired(SystemTime::now()) {
        return Err(MembraneError::TokenExpired);
    }
    reader.begin(Instant::now());
    let concurrency = if turn.is_some() { READS_PER_LOAD } else { options.concurrency };
    // The token is accepted by now, so the rest may be asked side by side.
    let others = stream::iter(filters).map(|filter| client.connections(reader, filter, &on_accepted));
    let others: Vec<_> = others.buffered(concurrency).try_collect().await?;
    connections.extend(others);
    let mut sources = sources(connections.iter().flatten(), apps);
    let left_out = sources.len().saturating_sub(MAX_INTEGRATIONS);
    if left_out > 0 {
        log::warn!("{left_out} integrations of a user are left out: at most {MAX_INTEGRATIONS} are loaded");
        sources.truncate(MAX_INTEGRATIONS);
    }

    let (client, known) = (&client, &known);
    let before = known.before.as_ref();
    let mut parts: Vec<(usize, AppOutcome)> = stream::iter(sources.iter().enumerate())
        .map(|(place, source)| async move {
            let earlier = before.and_then(|before| before.catalog.part(&source.app.key));
            // Reused after a partial load alone. That is repeated every few seconds, and apps that have answered need
            // not be asked each time.
            let is_reusable = before.is_some_and(|before| before.is_reusable && before.catalog.is_partial());
            if let Some(part) = earlier.filter(|part| is_reusable && part.since.elapsed() < options.fresh) {
                return Ok((place, AppOutcome::Kept(part.clone())));
            }
            let earlier = earlier.filter(|part| part.since.elapsed() < options.stale);
            Ok((place, load_part(client, reader, source, earlier, known).await?))
        })
        // In any order: one that is slow or sent again must not keep those behind it from being asked.
        .buffer_unordered(concurrency)
        .try_collect()
        .await?;
    // Parts and sources are paired below.
    parts.sort_unstable_by_key(|(place, _)| *place);
    let parts: Vec<AppOutcome> = parts.into_iter().map(|(_, part)| part).collect();
    // An app that can't be asked is told of even where earlier tools stand in, since these may be wrong by now.
    let has_failed = |(part, _): &(&AppOutcome, &Source<'_>)| matches!(part, AppOutcome::Failed(_));
    let failed = parts.iter().zip(&sources).filter(has_failed).map(|(_, Source { app, .. })| FailedApp {
        key: app.key.clone(),
        name: app.name.clone(),
        retry: options.negative,
    });
    let failed: Vec<_> = failed.collect();
    // Tools of the catalog before stand in, and those that are gone are remembered; of none it is known whether it was lent.
    let thawed = known.thawed.as_ref().and_then(|thawed| thawed.peek()?.as_ref());
    let mut earlier = before.map(|before| &before.catalog).into_iter().chain(thawed);
    let was_lent = earlier.any(|catalog| catalog.is_lent());
    let is_lent = was_lent || parts.iter().any(|part| matches!(part, AppOutcome::Lent(_)));
    let parts = parts.into_iter().filter_map(|part| match part {
        AppOutcome::Read(part) | AppOutcome::Lent(part) | AppOutcome::Kept(part) => Some(part),
        AppOutcome::Failed(stand_in) => stand_in,
    });
    let parts: Vec<AppCatalog> = parts.collect();
    if let Some(keeper) = client.upstream().keeper.as_ref().filter(|_| failed.is_empty()) {
        let connections: Vec<_> = sources.iter().flat_map(|source| &source.connections).copied().collect();
        // Catalogs of which a list could not be kept are not kept either.
        if let Some(lists) = parts.iter().map(|part| part.place).collect::<Option<Vec<_>>>() {
            keeper.keep_catalog(reader.user(), apps, &connections, &lists, is_lent);
        }
    }
    let before = before.map(|before| &*before.catalog);
    let accounts = accounts_in(&sources);
    Ok(Catalog::new(parts, before, failed).with_accounts(accounts, before).lent(is_lent))
}

/// Returns a user's accounts of each app, by the user's connections.
pub(super) fn accounts_of<'a>(
    connections: impl Iterator<Item = &'a Connection>,
    apps: &Apps,
) -> BTreeMap<IntegrationKey, Accounts> {
    accounts_in(&sources(connections, apps))
}

fn accounts_in(sources: &[Source<'_>]) -> BTreeMap<IntegrationKey, Accounts> {
    let of_app = |source: &Source<'_>| (source.app.key.clone(), Accounts::of(source.connections.iter().copied()));
    sources.iter().map(of_app).collect()
}

/// Outcome of loading one integration.
enum AppOutcome {
    /// Read with the user's token.
    Read(AppCatalog),
    /// Read by other users.
    Lent(AppCatalog),
    /// As it was in the catalog before.
    Kept(AppCatalog),
    /// The integration can't be asked, and earlier tools stand in where there are some.
    Failed(Option<AppCatalog>),
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

impl Source<'_> {
    /// Returns the key of the list that users of the workspace may share; nothing where it is not certain to be the same for
    /// others: only an id is unique in all workspaces, and the workspace of some tokens is not known.
    fn shared(&self, user: &UserKey) -> Option<ListKey> {
        let ActionsOf::IntegrationId(integration) = &self.actions else { return None };
        let workspace = Some(user.workspace()).filter(|workspace| !workspace.is_empty())?;
        Some(ListKey { workspace: workspace.to_owned(), integration: integration.clone(), app: self.app.clone() })
    }
}

async fn load_part(
    client: &MembraneClient,
    reader: &Reader,
    source: &Source<'_>,
    earlier: Option<&AppCatalog>,
    known: &Known,
) -> Result<AppOutcome, MembraneError> {
    let Source { actions, app, .. } = source;
    let taken = match source.shared(reader.user()) {
        Some(key) => known.sharing.take(key, reader, known.not_before).await,
        None => Taken::Alone,
    };
    let reading = match taken {
        Taken::Lent(AppList { tools, place, .. }) => {
            counter!("mcp_catalog_lists_total", "source" => "shared").increment(1);
            // As old as the load: how old lists are that are lent is bounded where they are kept.
            return Ok(AppOutcome::Lent(AppCatalog { tools, since: Instant::now(), place }));
        }
        Taken::Read(reading) => Some(reading),
        Taken::Alone => None,
    };
    counter!("mcp_catalog_lists_total", "source" => "read").increment(1);
    let list = read_app(client, reader, actions, app).await;
    if let Some(reading) = reading {
        reading.ends(&list);
    }
    match list {
        Ok(AppList { tools, place, .. }) => Ok(AppOutcome::Read(AppCatalog { tools, since: Instant::now(), place })),
        // The token ended on the way; a list without half the tools would look as if they were gone.
        Err(error) if error.is_unauthenticated() => Err(error),
        Err(error) => {
            let thawed = match &known.thawed {
                Some(thawed) if earlier.is_none() => thawed.clone().await,
                _ => None,
            };
            let earlier = earlier.or_else(|| thawed.as_ref()?.part(&app.key));
            let (tools, what) = match earlier {
                Some(_) => ("kept", "its tools stay as they were"),
                None => ("missing", "its tools are missing"),
            };
            counter!("mcp_integrations_failed_total", "tools" => tools).increment(1);
            log::warn!(integration = app.key.as_str(); "its actions can't be loaded, {what}: {error}");
            Ok(AppOutcome::Failed(earlier.cloned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::{
        config::{Sources, load},
        membrane::{Upstream, background::Urgency},
        token::AccessToken,
    };

    /// Error of a load in the background that has waited for its turn so long, from an upstream that does not listen.
    async fn fail_after(waited: Duration, token: &str) -> MembraneError {
        let mut settings = load(&Sources::default()).unwrap();
        "http://127.0.0.1:1".clone_into(&mut settings.membrane.base_url);
        let client = MembraneClient::new(&settings, Arc::new(Upstream::new(&settings).unwrap()));
        // Read when it was still good.
        let token = AccessToken::parse(token, UNIX_EPOCH).unwrap();
        let reader = Reader::new(token, UserKey::new("w", "ann"), true, usize::MAX);
        reader.begin(Instant::now().checked_sub(waited).unwrap());
        let sharing = Sharing::new(1, &settings);
        let known = Known { before: None, thawed: None, sharing, not_before: None };
        let (fresh, stale, negative) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let options = LoadOptions { concurrency: 1, fresh, stale, max_bytes: usize::MAX, negative };
        let pace = Pace::new(Urgency::Background);
        load_catalog(&client, &reader, &Apps::default(), options, known, &pace, || ()).await.map(|_| ()).unwrap_err()
    }

    #[actix::test]
    async fn the_time_of_a_load_begins_with_its_turn() {
        let error = fail_after(Duration::from_secs(3600), "pat-of-a-user").await;
        assert!(matches!(error, MembraneError::Unreachable(_)), "{error:?}");
    }

    #[actix::test]
    async fn a_token_that_expires_before_the_turn_is_at_fault_and_not_the_upstream() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"id":"ann","iss":"w","exp":1000000000}"#);
        let error = fail_after(Duration::ZERO, &format!("e30.{claims}.c2ln")).await;
        assert!(error.is_unauthenticated() && !error.is_trouble(), "{error:?}");
    }
}
