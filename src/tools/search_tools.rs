//! `search-tools`: finds the tools of a user by what they do.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    accounts,
    signature::signature,
    text::{cut, letters},
    workspace_apps::Unconnected,
};
use crate::{
    ids::{IntegrationKey, ToolName},
    membrane::{Catalog, Tool, app_tools::AppTools},
    protocol::{json, tools::CallToolResult},
    search::{self, Access, Options},
};

/// Longest query that is read, in characters.
const MAX_QUERY_CHARS: usize = 300;

/// Steps of one goal at most.
const MAX_QUERIES: usize = 5;

const DEFAULT_LIMIT: usize = 6;

const MAX_LIMIT: usize = 20;

/// Hits of one app, unless it was asked for: an app with many tools alike would leave no place for others.
const MAX_PER_APP: usize = 3;

/// Bytes of the input schemas that an answer holds. A model can mostly call the best hit without another question.
const MAX_SCHEMA_BYTES: usize = 6_000;

/// Bytes of a description in an answer.
const MAX_DESCRIPTION: usize = 300;

/// Apps that an answer without a hit names.
const MAX_APPS: usize = 50;

/// Arguments of `search-tools`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Arguments {
    query: Option<String>,
    queries: Option<Vec<String>>,
    app: Option<String>,
    access: Option<KindFilter>,
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindFilter {
    Any,
    Read,
    Write,
}

/// Result of a search: what the client gets, and the names that were found, the best first.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) result: CallToolResult,
    pub(super) found: Vec<ToolName>,
}

#[derive(Serialize)]
struct SearchAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    tools: Vec<Hit<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hit<'a> {
    name: &'a str,
    access: &'static str,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<String>,
}

#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    found: SearchAnswer<'a>,
    apps: Map<String, Value>,
}

#[derive(Serialize)]
struct Several<'a> {
    steps: Vec<SearchAnswer<'a>>,
    apps: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Searches a catalog whose index is built, and names apps that may yet be connected.
pub(super) fn search(catalog: &Catalog, others: Unconnected<'_>, arguments: &Arguments) -> Searched {
    let parts: Vec<_> = catalog.parts().collect();
    let app = match arguments.app.as_deref().filter(|app| !app.trim().is_empty()) {
        None => None,
        Some(wanted) => match find_app(&parts, wanted) {
            Some(app) => Some(app),
            None => return no_such_app(catalog, others, wanted),
        },
    };
    let mut found = Vec::new();
    let mut seen = Vec::new();
    let limit = arguments.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let mut schema_bytes = MAX_SCHEMA_BYTES;
    let mut apps: Vec<&AppTools> = Vec::new();
    let mut named: Vec<(&IntegrationKey, &str)> = Vec::new();
    let indexes: Vec<_> = parts.iter().map(|part| part.index()).collect();
    let mut step = |query: &'_ str| {
        let visible = |app: usize, tool: usize| parts.get(app).is_some_and(|part| part.indexed(tool).is_some());
        let options = Options {
            app: app.map(|app: &AppTools| app.integration().as_str()),
            access: match arguments.access {
                Some(KindFilter::Read) => Some(Access::Read),
                Some(KindFilter::Write) => Some(Access::Write),
                Some(KindFilter::Any) | None => None,
            },
            limit,
            max_per_app: MAX_PER_APP,
            others: others.names(),
            visible: Some(&visible),
        };
        let answer = search::search(&indexes, query, &options);
        let whole = if answer.close { 2 } else { 1 };
        let mut hits = Vec::new();
        for (place, hit) in answer.hits.iter().enumerate() {
            let Some(part) = parts.get(hit.app) else { continue };
            let Some(tool) = part.indexed(hit.tool) else { continue };
            if !apps.iter().any(|app| app.integration() == part.integration()) {
                apps.push(part);
            }
            seen.push(tool.name().clone());
            hits.push(described(tool, place < whole, &mut schema_bytes));
        }
        let unconnected: Vec<_> = answer.others.iter().filter_map(|place| others.get(*place)).collect();
        let note = note(&answer, &unconnected, hits.is_empty());
        named.extend(unconnected);
        (hits, answer.more, note)
    };
    let queries: Vec<&str> = match &arguments.queries {
        Some(queries) if !queries.is_empty() => queries.iter().map(String::as_str).take(MAX_QUERIES).collect(),
        _ => vec![arguments.query.as_deref().unwrap_or_default()],
    };
    let is_one = queries.len() == 1;
    for query in queries {
        let query = query.trim();
        let query =
            query.char_indices().nth(MAX_QUERY_CHARS).map_or(query, |(end, _)| query.get(..end).unwrap_or(query));
        let (tools, more, note) = if query.is_empty() { (Vec::new(), 0, None) } else { step(query) };
        found.push(SearchAnswer { query: (!is_one).then_some(query), tools, more, note });
    }
    if apps.is_empty() {
        // Nothing was asked for, or nothing fits: the model chooses among all apps.
        apps.extend(parts.iter().take(MAX_APPS).map(|part| &***part));
        if named.is_empty() {
            named.extend(others.iter().take(MAX_APPS.saturating_sub(apps.len())));
        }
    }
    let apps = statuses(catalog, &apps, &named);
    let text = match found.pop() {
        Some(found) if is_one => json::to_string(&One { found, apps }),
        last => {
            found.extend(last);
            json::to_string(&Several { steps: found, apps })
        }
    };
    Searched { result: CallToolResult::text(text), found: seen }
}

/// Returns a tool as a hit: with its whole input schema where that is wanted and fits, else with a line on its parameters.
fn described<'a>(tool: &'a Tool, is_whole: bool, schema_bytes: &mut usize) -> Hit<'a> {
    let published = tool.published();
    let schema = published.as_ref().map(|published| published.input_schema);
    let shown = schema.filter(|schema| is_whole && schema.get().len() <= *schema_bytes);
    if let Some(schema) = shown {
        *schema_bytes -= schema.get().len();
    }
    Hit {
        name: tool.name().as_str(),
        access: access(tool),
        description: published
            .map_or_else(String::new, |published| cut(&published.description, MAX_DESCRIPTION).into_owned()),
        input_schema: shown,
        params: if shown.is_none() { schema.map(signature) } else { None },
    }
}

/// Returns whether a tool reads or writes, as answers say it.
pub(super) fn access(tool: &Tool) -> &'static str {
    match tool.access() {
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// Finds an app by its key or name, however that is written.
pub(super) fn find_app<'a>(parts: &[&'a Arc<AppTools>], wanted: &str) -> Option<&'a AppTools> {
    let wanted = letters(wanted);
    let is_it =
        |part: &&&'a Arc<AppTools>| letters(part.integration().as_str()) == wanted || letters(part.name()) == wanted;
    parts.iter().find(is_it).map(|part| &***part)
}

fn no_such_app(catalog: &Catalog, others: Unconnected<'_>, wanted: &str) -> Searched {
    let meant = letters(wanted);
    let known = others.iter().find(|(key, name)| [key.as_str(), name].into_iter().any(|text| letters(text) == meant));
    let parts: Vec<_> = catalog.parts().map(|part| &**part).collect();
    let (apps, note) = match known {
        Some((_, name)) => (Vec::new(), not_connected(name)),
        None => (parts, format!("There is no app {wanted:?} among the user's. These are there.")),
    };
    let apps = statuses(catalog, apps.get(..MAX_APPS).unwrap_or(&apps), known.as_slice());
    let found = SearchAnswer { query: None, tools: Vec::new(), more: 0, note: Some(note) };
    Searched { result: CallToolResult::text(json::to_string(&One { found, apps })), found: Vec::new() }
}

/// Returns the state of apps, those that could not be asked and those that are not connected included.
fn statuses(catalog: &Catalog, apps: &[&AppTools], unconnected: &[(&IntegrationKey, &str)]) -> Map<String, Value> {
    let status = |app: &&AppTools| {
        let described = accounts::described(app.name(), catalog.accounts(app.integration()));
        (app.integration().as_str().to_owned(), described)
    };
    let mut statuses: Map<_, _> = apps.iter().map(status).collect();
    for failed in catalog.failed() {
        let retry = format!("its tools can't be loaded right now: try again {}", failed.when());
        let entry = json!({"status": "failed", "name": failed.name, "reason": retry});
        statuses.insert(failed.key.as_str().to_owned(), entry);
    }
    for (key, name) in unconnected {
        statuses.insert(key.as_str().to_owned(), json!({"status": "not_connected", "name": name}));
    }
    statuses
}

fn not_connected(name: &str) -> String {
    format!("{name} is not connected: connect-app connects it.")
}

/// Returns what a model should know of an answer beside its hits.
fn note(answer: &search::Ranking, unconnected: &[(&IntegrationKey, &str)], is_empty: bool) -> Option<String> {
    let mut notes: Vec<_> = unconnected.iter().map(|(_, name)| not_connected(name)).collect();
    if let [first, ..] = answer.unknown[..] {
        notes.push(format!("{first} is not among the user's apps."));
    }
    if is_empty && unconnected.is_empty() {
        notes.push("No tool matches. These are the user's apps.".to_owned());
    }
    (!notes.is_empty()).then(|| notes.join(" "))
}
