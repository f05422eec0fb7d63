//! The search index of an app, made of what its tools' definitions say.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Tool;
use crate::{
    protocol::json,
    search::{AppIndex, AppIndexBuilder, ToolText},
};

/// Levels of parameters that are searched. Deeper ones say little of what a tool does.
const LEVELS: usize = 2;

/// Parameters of a tool, as its input schema has them.
#[derive(Default, Deserialize)]
struct Schema {
    #[serde(default)]
    properties: Map<String, Value>,
}

/// Builds the index of an app's tools, in their order.
pub(super) fn index<'a>(key: &str, name: &str, tools: impl Iterator<Item = &'a Tool>) -> AppIndex {
    let mut builder = AppIndexBuilder::new(key, name);
    for tool in tools {
        let published = tool.published();
        let published = published.as_ref();
        let title = published.map_or(tool.action().as_str(), |published| &published.title);
        let schema =
            published.and_then(|published| json::read::<Schema>(published.input_schema).ok()).unwrap_or_default();
        let mut parameters = Vec::new();
        add_parameters(&schema.properties, LEVELS, &mut parameters);
        builder.add(&ToolText {
            key: tool.action().as_str(),
            // Titles and descriptions begin with the app's name, which is a field of its own.
            name: title.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(title),
            description: published
                .and_then(|published| published.description.split_once('\n'))
                .map_or("", |(_, own)| own),
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
