//! Looking up tools that are not in a user's catalog, many names at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Apps, Catalog, MembraneClient, MembraneError,
    lists::{ActionsOf, Reader},
    model::Action,
    names,
    reading::broken_work,
    tool::{App, Tool},
};
use crate::ids::{ActionKey, IntegrationKey, ToolName};

/// Places at which an unknown name is cut into integration key and action key, at most.
const MAX_CUTS: usize = 8;

/// Integrations guessed for one asker, at most. Made-up names must not flood the upstream.
const MAX_GUESSES: usize = 64;

/// Looks names up for `askers`, asking each integration once whatever the number of names. Gives the tools by the names
/// asked for; a name without an entry is unknown.
///
/// The integrations of the user's own connections are those of their catalog. A name that begins with one of them belongs to it; any
/// other is tried at each of its underscores, since keys may hold underscores themselves. A name with a hash is looked for
/// among the actions of each integration whose key it may begin with: the hash tells which is meant.
///
/// # Errors
/// Where the upstream no longer accepts the token. An integration that can't be asked leaves its names unknown, with a
/// warning.
pub async fn find_tools(
    client: &MembraneClient,
    reader: &Reader,
    apps: &Apps,
    catalog: &Catalog,
    names: &BTreeSet<ToolName>,
    askers: usize,
    concurrency: usize,
) -> Result<BTreeMap<ToolName, Arc<Tool>>, MembraneError> {
    let known: BTreeSet<_> = catalog.parts().map(|part| part.integration().clone()).collect();
    let mut wanted: BTreeMap<IntegrationKey, Wanted> = BTreeMap::new();
    for name in names {
        for (integration, action) in cuts(name, &known) {
            if apps.include(&integration) {
                wanted.entry(integration).or_default().by_key.insert(action, name.clone());
            }
        }
        for integration in integrations_of_hashed(name) {
            if apps.include(&integration) {
                wanted.entry(integration).or_default().hashed.insert(name.clone());
            }
        }
    }
    let mut guesses = 0_usize;
    wanted.retain(|integration, _| {
        guesses += usize::from(!known.contains(integration));
        // A batch may hold names of many askers, so the bound grows with them.
        known.contains(integration) || guesses <= MAX_GUESSES * askers
    });
    let found: Vec<Vec<(ToolName, Tool)>> = stream::iter(&wanted)
        .map(|(integration, wanted)| ask(client, reader, integration, wanted))
        .buffered(concurrency)
        .try_collect()
        .await?;

    let mut tools = BTreeMap::new();
    for (name, tool) in found.into_iter().flatten() {
        // The longest integration key that leads to a tool is the right one; `wanted` has the shortest first.
        tools.insert(name, Arc::new(tool));
    }
    Ok(tools)
}

/// Actions that are looked for in one integration.
#[derive(Debug, Default, Clone)]
struct Wanted {
    by_key: BTreeMap<ActionKey, ToolName>,
    /// Names with a hash, of which the action's key can't be read.
    hashed: BTreeSet<ToolName>,
}

impl Wanted {
    /// Returns the name under which an action is looked for.
    fn name_of(&self, integration: &IntegrationKey, action: &str) -> Option<ToolName> {
        let by_key = self.by_key.get(&ActionKey::new(action));
        let by_hash = || self.hashed.get(&names::hashed(integration, action));
        by_key.or_else(by_hash).cloned()
    }
}

/// Returns the integrations that a name with a hash may belong to.
fn integrations_of_hashed(name: &ToolName) -> Vec<IntegrationKey> {
    let Some(keys) = names::before_hash(name.as_str()) else { return Vec::new() };
    let cuts = keys.match_indices('_').map(|(i, _)| i).chain([keys.len()]).filter_map(|i| keys.get(..i));
    cuts.filter(|key| !key.is_empty()).take(MAX_CUTS).map(IntegrationKey::new).collect()
}

/// Returns the ways to read a name as an integration key and an action key.
fn cuts(name: &ToolName, known: &BTreeSet<IntegrationKey>) -> Vec<(IntegrationKey, ActionKey)> {
    let name = name.as_str();
    // A name that begins with a key of the user's own is no guess. Of `acme` and `acme_crm` the longer is meant.
    let own = known
        .iter()
        .filter_map(|key| {
            let action = name.strip_prefix(key.as_str())?.strip_prefix('_')?;
            (!action.is_empty()).then_some(())?;
            Some((key.clone(), ActionKey::new(action)))
        })
        .max_by_key(|(key, _)| key.as_str().len());
    if let Some(own) = own {
        return vec![own];
    }
    name.match_indices('_')
        .filter_map(|(i, _)| {
            let (integration, action) = (name.get(..i)?, name.get(i + 1..)?);
            let complete = !integration.is_empty() && !action.is_empty();
            complete.then(|| (IntegrationKey::new(integration), ActionKey::new(action)))
        })
        .take(MAX_CUTS)
        .collect()
}

async fn ask(
    client: &MembraneClient,
    reader: &Reader,
    integration: &IntegrationKey,
    wanted: &Wanted,
) -> Result<Vec<(ToolName, Tool)>, MembraneError> {
    match fetch(client, reader, integration, wanted).await {
        Ok(actions) => {
            let bytes = actions.iter().map(Action::schema_bytes).sum();
            let (integration, wanted) = (integration.clone(), wanted.clone());
            let build = move || {
                let found = actions.into_iter().filter_map(|action| {
                    let name = wanted.name_of(&integration, action.key.as_deref()?)?;
                    let app = App::of(action.integration.as_ref()?)?;
                    // An action of another app would be called under a name that is not its own.
                    (app.key == integration).then_some(())?;
                    Some((name, Tool::of(&app, &action)?))
                });
                found.collect()
            };
            client.upstream().pool.run(bytes, build).await.ok_or_else(broken_work)
        }
        Err(error) if error.is_unauthenticated() => Err(error),
        Err(error) => {
            // Most guesses name no integration.
            if !error.is_not_found() {
                log::warn!(integration = integration.as_str(); "tools can't be looked up: {error}");
            }
            Ok(Vec::new())
        }
    }
}

/// One request: the action itself where one is wanted, the integration's list where there are more.
async fn fetch(
    client: &MembraneClient,
    reader: &Reader,
    integration: &IntegrationKey,
    wanted: &Wanted,
) -> Result<Vec<Action>, MembraneError> {
    if let (1, Some(action), true) = (wanted.by_key.len(), wanted.by_key.keys().next(), wanted.hashed.is_empty()) {
        let action = client.action(reader, integration, action).await?;
        Ok(action.into_iter().collect())
    } else {
        client.actions(reader, &ActionsOf::IntegrationKey(integration.clone())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_hash_is_looked_for_in_all_integrations_that_it_may_begin_with() {
        let (slack, google) = (IntegrationKey::new("slack"), IntegrationKey::new("google_cal"));
        for (integration, action) in [(&slack, "get user"), (&slack, "创建"), (&google, "a.b_c"), (&google, "get")] {
            let name = names::hashed(integration, action);
            assert!(integrations_of_hashed(&name).contains(integration), "{name}");
            let wanted = Wanted { hashed: [name.clone()].into(), ..Wanted::default() };
            assert_eq!(wanted.name_of(integration, action), Some(name));
            assert_eq!(wanted.name_of(integration, "other"), None);
        }
        assert!(integrations_of_hashed(&ToolName::new("slack_get")).is_empty());
    }

    #[test]
    fn a_name_is_cut_at_a_known_integration_or_at_every_underscore() {
        let known: BTreeSet<_> = ["acme", "acme_crm", "slack"].map(IntegrationKey::new).into();
        let cases: [(&str, &[(&str, &str)]); 7] = [
            ("slack_list-users", &[("slack", "list-users")]),
            ("acme_crm_list_leads", &[("acme_crm", "list_leads")]),
            ("acme_other", &[("acme", "other")]),
            ("google_cal_get", &[("google", "cal_get"), ("google_cal", "get")]),
            ("slack_", &[("slack", "")]),
            ("_x_", &[("_x", "")]),
            ("non-existent-tool", &[]),
        ];
        for (name, expected) in cases {
            let cuts = cuts(&ToolName::new(name), &known);
            let cuts: Vec<_> = cuts.iter().map(|(i, a)| (i.as_str(), a.as_str())).collect();
            let complete: Vec<_> = expected.iter().copied().filter(|(_, action)| !action.is_empty()).collect();
            assert_eq!(cuts, complete, "{name}");
        }
    }
}
