//! The server's own tools, which stand beside those of actions.
//!
//! Their definitions are paid for by every request of every model, so they are short: the five of the search mode take less
//! than 1,000 tokens together. Descriptions state facts and give no orders: directories refuse tools that command the model.

use std::{collections::HashMap, fmt::Write as _, sync::LazyLock};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json, value::RawValue};

use super::text::cut;
use crate::{
    membrane::Catalog,
    protocol::{
        json,
        tools::{Annotations, CallToolResult, Definition, DefinitionMeta},
    },
};

/// Apps that the description of `search-tools` names. Some clients drop a server's instructions, so a model learns here what
/// can be searched.
const MAX_APPS: usize = 30;

/// Bytes of that description at most: clients cut longer ones at 2,048.
const MAX_DESCRIPTION: usize = 1_900;

/// Bytes of what is told of arguments that can't be read.
const MAX_FAULT: usize = 500;

/// A tool of the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// Enables tools for the session, in dynamic mode.
    EnableTools,
    /// Finds tools by what they do.
    SearchTools,
    /// Shows definitions of tools.
    DescribeTools,
    /// Runs a tool that reads.
    RunReadTool,
    /// Runs any tool.
    RunWriteTool,
    /// Lets the user connect an app.
    ConnectApp,
}

impl Builtin {
    /// Tools of the search mode, in the order in which they are listed.
    pub const SEARCH: [Self; 5] =
        [Self::SearchTools, Self::DescribeTools, Self::RunReadTool, Self::RunWriteTool, Self::ConnectApp];

    /// Returns the name by which it is listed and called. It holds no `_`, so that no action's tool can have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EnableTools => "enable-tools",
            Self::SearchTools => "search-tools",
            Self::DescribeTools => "describe-tools",
            Self::RunReadTool => "run-read-tool",
            Self::RunWriteTool => "run-write-tool",
            Self::ConnectApp => "connect-app",
        }
    }

    /// Returns whether the definition names apps of the user.
    #[must_use]
    pub fn names_apps(self) -> bool {
        self == Self::SearchTools
    }

    /// Returns the definition as JSON, for a user with these tools.
    #[must_use]
    pub fn definition(self, catalog: &Catalog) -> Bytes {
        static FIXED: LazyLock<HashMap<Builtin, Bytes>> = LazyLock::new(|| {
            let fixed =
                Builtin::SEARCH.into_iter().chain([Builtin::EnableTools]).filter(|builtin| !builtin.names_apps());
            fixed.map(|builtin| (builtin, builtin.define(&Catalog::default()))).collect()
        });
        FIXED.get(&self).cloned().unwrap_or_else(|| self.define(catalog))
    }

    fn define(self, catalog: &Catalog) -> Bytes {
        let description =
            if self.names_apps() { with_apps(self.description(), catalog) } else { self.description().into() };
        let definition = Definition {
            name: self.name(),
            title: self.title(),
            description: &description,
            input_schema: &json::to_raw(&self.input_schema()),
            output_schema: None,
            annotations: Some(self.annotations()),
            icons: None,
            meta: Some(DefinitionMeta { always_load: true, ..self.bounds() }),
        };
        json::to_string(&definition).into()
    }

    /// Returns the notes on the tool's results, where those are outputs of actions.
    fn bounds(self) -> DefinitionMeta {
        if matches!(self, Self::RunReadTool | Self::RunWriteTool) {
            DefinitionMeta::BOUNDED
        } else {
            DefinitionMeta::default()
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::EnableTools => "Enable Tools",
            Self::SearchTools => "Search Tools",
            Self::DescribeTools => "Describe Tools",
            Self::RunReadTool => "Run a Reading Tool",
            Self::RunWriteTool => "Run a Tool",
            Self::ConnectApp => "Connect an App",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::EnableTools => {
                "Enable a list of tools for the session. The tools named here replace those enabled before."
            }
            Self::SearchTools => {
                "Finds the actions of the user's apps by what they do, in any language. The best hit comes with its input \
                 schema. An empty query lists the apps."
            }
            Self::DescribeTools => "Shows the full definition of tools, by the names that search-tools gives.",
            Self::RunReadTool => "Runs a tool that only reads. Tools that write are refused here.",
            Self::RunWriteTool => {
                "Runs a tool that creates, changes, sends or deletes something in the user's real account."
            }
            Self::ConnectApp => "Tells whether an app is connected, and gives the link on which the user connects it.",
        }
    }

    fn input_schema(self) -> Value {
        let (properties, required) = match self {
            Self::EnableTools => (
                json!({
                    "tools": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Names of the tools to enable, such as gmail_send-email. They replace the tools enabled before; an empty list disables all."
                    }
                }),
                json!(["tools"]),
            ),
            Self::SearchTools => (
                json!({
                    "query": {"type": "string", "description": "What to do, such as: send an email"},
                    "queries": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Up to 5 steps of one goal, in place of query"
                    },
                    "app": {"type": "string", "description": "Key of one app, such as gmail"},
                    "access": {"type": "string", "enum": ["any", "read", "write"]},
                    "limit": {"type": "integer", "description": "1 to 20, default 6"}
                }),
                json!([]),
            ),
            Self::DescribeTools => (
                json!({"names": {"type": "array", "items": {"type": "string"}, "description": "1 to 10 names"}}),
                json!(["names"]),
            ),
            Self::RunReadTool => (run_properties(None), json!(["name"])),
            Self::RunWriteTool => {
                let key = json!({"type": "string", "description": "Under one key the same call runs once; repeats get its result"});
                (run_properties(Some(("idempotency_key", key))), json!(["name"]))
            }
            Self::ConnectApp => (
                json!({
                    "app": {"type": "string", "description": "Key or name of the app"},
                    "account": {"type": "string", "description": "Account to connect again, of several"},
                    "wait_s": {"type": "integer", "description": "Seconds to wait for a sign-in whose link was given before, up to 50"}
                }),
                json!(["app"]),
            ),
        };
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), properties);
        if required != json!([]) {
            schema.insert("required".to_owned(), required);
        }
        schema.insert("additionalProperties".to_owned(), json!(false));
        schema.into()
    }

    fn annotations(self) -> Annotations {
        let (read_only, destructive, idempotent, open_world) = match self {
            Self::EnableTools => (false, false, true, false),
            Self::SearchTools | Self::DescribeTools => (true, false, true, false),
            Self::RunReadTool => (true, false, true, true),
            Self::RunWriteTool => (false, true, false, true),
            Self::ConnectApp => (false, false, true, true),
        };
        Annotations {
            read_only_hint: read_only,
            destructive_hint: Some(destructive),
            idempotent_hint: Some(idempotent),
            open_world_hint: open_world,
        }
    }
}

/// Returns the properties that both runners have, and one more.
fn run_properties(more: Option<(&str, Value)>) -> Value {
    let properties = [
        ("name", json!({"type": "string", "description": "Name of the tool"})),
        ("arguments", json!({"type": "object", "properties": {}, "description": "Its input"})),
        ("account", json!({"type": "string", "description": "Which account, where the app has several"})),
        (
            "fields",
            json!({"type": "array", "items": {"type": "string"}, "description": "Parts of the output to keep, such as items[].id"}),
        ),
        ("range", json!({"type": "string", "description": "Part of a long list to keep, such as 20-39"})),
    ];
    properties.into_iter().chain(more).map(|(name, schema)| (name.to_owned(), schema)).collect::<Map<_, _>>().into()
}

/// Adds the keys of the user's apps to a description.
fn with_apps(description: &str, catalog: &Catalog) -> String {
    let mut keys: Vec<_> = catalog.parts().map(|part| part.integration().as_str()).collect();
    keys.sort_unstable();
    let mut text = description.to_owned();
    let mut before = " Apps: ";
    for (i, key) in keys.iter().enumerate() {
        let more = keys.len() - i;
        if i == MAX_APPS || text.len() + before.len() + key.len() + "; 1000 more.".len() > MAX_DESCRIPTION {
            // Writing to a text can't fail.
            let _ = write!(text, "; {more} more");
            break;
        }
        text.push_str(before);
        text.push_str(key);
        before = ", ";
    }
    if !keys.is_empty() {
        text.push('.');
    }
    text
}

/// Reads the arguments of one of the server's own tools.
pub(super) fn read_arguments<T: DeserializeOwned>(builtin: Builtin, arguments: &RawValue) -> Result<T, CallToolResult> {
    json::read(arguments).map_err(|error| {
        // It quotes names that a model made up, of any length.
        let why = error.to_string();
        let why = cut(&why, MAX_FAULT);
        CallToolResult::failure(format!("Invalid arguments for tool {}: {why}", builtin.name()))
    })
}
