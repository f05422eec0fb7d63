//! The server's own tools, which stand beside those of actions.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::protocol::{
    json,
    tools::{Annotations, Definition},
};

/// A tool of the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// Enables tools for the session, in dynamic mode.
    EnableTools,
}

impl Builtin {
    /// Returns the name by which it is listed and called. It holds no `_`, so that no action's tool can have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EnableTools => "enable-tools",
        }
    }

    /// Returns the definition as JSON, the same bytes for every client.
    #[must_use]
    pub fn definition(self) -> Bytes {
        static ENABLE_TOOLS: LazyLock<Bytes> = LazyLock::new(|| Builtin::EnableTools.define());
        match self {
            Self::EnableTools => ENABLE_TOOLS.clone(),
        }
    }

    fn define(self) -> Bytes {
        let definition = Definition {
            name: self.name(),
            title: self.title(),
            description: self.description(),
            input_schema: &json::to_raw(&self.input_schema()),
            output_schema: None,
            annotations: Some(self.annotations()),
            icons: None,
        };
        json::to_string(&definition).into()
    }

    fn title(self) -> &'static str {
        match self {
            Self::EnableTools => "Enable Tools",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::EnableTools => {
                "Enable a list of tools for the session. The tools named here replace those enabled before."
            }
        }
    }

    fn input_schema(self) -> Value {
        match self {
            Self::EnableTools => json!({
                "type": "object",
                "properties": {
                    "tools": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Names of the tools to enable, such as gmail_send-email. They replace the tools enabled before; an empty list disables all."
                    }
                },
                "required": ["tools"],
                "additionalProperties": false
            }),
        }
    }

    fn annotations(self) -> Annotations {
        match self {
            Self::EnableTools => Annotations {
                read_only_hint: false,
                destructive_hint: Some(false),
                idempotent_hint: Some(true),
                open_world_hint: false,
            },
        }
    }
}
