//! The search index of an app, made of what its tools' definitions say.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Tool;
use crate::{
    protocol::revision::Era,
    search::{AppIndex, ToolText},
};

/// Levels of parameters that are searched. Deeper ones say little of what a tool does.
const LEVELS: usize = 2;

/// Words of a tool, as its definition has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Words<'a> {
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow)]
    description: Cow<'a, str>,
    input_schema: Schema,
}

#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    properties: Map<String, Value>,
}

/// Builds the index of an app's tools, in their order.
pub(super) fn index<'a>(key: &str, name: &str, tools: impl Iterator<Item = &'a Tool>) -> AppIndex {
    let mut builder = AppIndex::builder(key, name);
    for tool in tools {
        let words = serde_json::from_slice::<Words<'_>>(tool.definition(Era::Legacy)).ok();
        let words = words.as_ref();
        let title = words.map_or(tool.action().as_str(), |words| &words.title);
        let mut parameters = Vec::new();
        if let Some(words) = words {
            add_parameters(&words.input_schema.properties, LEVELS, &mut parameters);
        }
        builder.add(&ToolText {
            key: tool.action().as_str(),
            // Titles and descriptions begin with the app's name, which is a field of its own.
            name: title.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(title),
            description: words.and_then(|words| words.description.split_once('\n')).map_or("", |(_, own)| own),
            parameters: &parameters,
            access: tool.access(),
        });
    }
    builder.finish()
}

/// Adds the names and descriptions of parameters, those of nested objects and lists of objects included.
fn add_parameters<'a>(properties: &'a Map<String, Value>, levels: usize, parameters: &mut Vec<(&'a str, &'a str)>) {
    for (name, schema) in properties {
        let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        parameters.push((name, description));
        let nested = schema.get("items").unwrap_or(schema).get("properties").and_then(Value::as_object);
        if let Some(nested) = nested.filter(|_| levels > 1) {
            add_parameters(nested, levels - 1, parameters);
        }
    }
}
