//! `describe-tools`: whole definitions of tools, by their names.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{accounts, find::find_forgiving, search_tools::access, similar::similar_names};
use crate::{
    membrane::{AccountState, Accounts, Catalog, tool::Published},
    protocol::{json, revision::Era, tools::CallToolResult},
};

/// Tools of one call at most.
const MAX_NAMES: usize = 10;

/// Paths into the output that a description names.
const MAX_FIELDS: usize = 40;

/// Names that are suggested for one that does not exist.
const SUGGESTIONS: usize = 3;

/// Arguments of `describe-tools`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    names: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Described<'a> {
    #[serde(rename_all = "camelCase")]
    Known {
        name: &'a str,
        access: &'static str,
        description: Cow<'a, str>,
        input_schema: &'a RawValue,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        output_fields: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        accounts: Vec<Value>,
    },
    Unknown {
        name: &'a str,
        error: &'static str,
        similar: Vec<String>,
    },
}

#[derive(Serialize)]
struct Tools<'a> {
    tools: Vec<Described<'a>>,
}

/// Describes tools of a catalog whose index is built.
pub(super) fn describe(catalog: &Catalog, Arguments { names }: &Arguments) -> CallToolResult {
    if names.is_empty() || names.len() > MAX_NAMES {
        return CallToolResult::failure(format!(
            "Invalid arguments for tool describe-tools: names must hold 1 to {MAX_NAMES}"
        ));
    }
    let described = names.iter().map(|name| {
        let tool = find_forgiving(catalog, name);
        match tool.and_then(|tool| Some((tool, tool.published()?))) {
            Some((tool, Published { description, input_schema, .. })) => {
                let of_app = catalog.accounts(tool.integration());
                let state = of_app.map(Accounts::state).filter(|state| *state != AccountState::Connected);
                Described::Known {
                    name: tool.name().as_str(),
                    access: access(tool),
                    description,
                    input_schema,
                    output_fields: tool.output_schema(Era::Modern).map(fields).unwrap_or_default(),
                    status: state.map(AccountState::word),
                    accounts: of_app.map(accounts::several).unwrap_or_default(),
                }
            }
            None => {
                Described::Unknown { name, error: "unknown tool", similar: similar_names(catalog, name, SUGGESTIONS) }
            }
        }
    });
    CallToolResult::text(json::to_string(&Tools { tools: described.collect() }))
}

/// Returns the paths of an output's members, two levels deep, in the form that `fields` takes.
fn fields(schema: &RawValue) -> Vec<String> {
    let schema: Value = json::read(schema).unwrap_or_default();
    let mut fields = Vec::new();
    each_member(&schema, "", &mut |path, schema| {
        fields.push(path.to_owned());
        each_member(schema, path, &mut |path, _| fields.push(path.to_owned()));
    });
    fields.truncate(MAX_FIELDS);
    fields
}

/// Visits the members of an object, or of the objects in a list.
fn each_member(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    let (schema, path) = match schema.get("items") {
        Some(items) => (items, format!("{path}[]")),
        None => (schema, path.to_owned()),
    };
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        visit(&path, schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_two_levels_deep() {
        let schema = serde_json::json!({"type": "object", "properties": {
            "items": {"type": "array", "items": {"type": "object", "properties": {"id": {}, "deep": {"properties": {"er": {}}}}}},
            "cursor": {"type": "string"}
        }});
        assert_eq!(fields(&json::to_raw(&schema)), ["items", "items[].id", "items[].deep", "cursor"]);
    }
}
