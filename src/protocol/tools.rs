//! Tools on the wire: definitions and call results (MCP 2025-11-25, server/tools).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ids::ToolName;

/// Way in which tools are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolMode {
    /// Lists every tool of the user's catalog.
    Static,
    /// Lists `enable-tools`, and the tools that it has enabled.
    Dynamic,
    /// Lists tools to search and run the others.
    Search,
    /// Lists every tool while there are few, else as [`Search`](Self::Search).
    Auto,
}

/// Tools of a URL: which of the user's may be seen, and which of them are listed beside the tools of the search mode.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolFilter {
    /// Patterns of names, of which a tool must match one; with none, any tool may be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Patterns of names, of which a tool must match none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether only tools that read may be seen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reads_only: bool,
    /// Names of tools that are listed beside those of the search mode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<ToolName>,
}

impl ToolFilter {
    /// Returns whether any tool may be seen.
    #[must_use]
    pub fn permits_all(&self) -> bool {
        self.tools.is_empty() && self.exclude.is_empty() && !self.reads_only
    }

    /// Returns whether nothing of it was set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.permits_all() && self.pins.is_empty()
    }
}

impl ToolMode {
    /// Reads the value of the query parameter `mode`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "static" => Some(Self::Static),
            "dynamic" => Some(Self::Dynamic),
            "search" => Some(Self::Search),
            "auto" => Some(Self::Auto),
            _ => None,
        }
    }

    /// Returns whether the list has what a session has enabled, and so depends on the session. Else it depends on user and URL
    /// alone, so that it is the same for every request.
    #[must_use]
    pub fn lists_enabled(self) -> bool {
        self == Self::Dynamic
    }
}

/// A tool as `tools/list` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition<'a> {
    /// The name by which it is called.
    pub name: &'a str,
    /// Title of the tool, for people.
    pub title: &'a str,
    /// Description of the tool, for the model.
    pub description: &'a str,
    /// Its arguments: always a schema of an object.
    pub input_schema: &'a RawValue,
    /// Its structured result, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<&'a RawValue>,
    /// Hints on what it does to the world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Logo of the tool's app, where it has a usable one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icons: Option<[Icon<'a>; 1]>,
    /// Notes for clients that know them.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<DefinitionMeta>,
}

/// Notes on a tool for clients of Anthropic, by names that its documentation gives.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct DefinitionMeta {
    /// Whether the tool is there from the start, and never searched for by the client.
    #[serde(rename = "anthropic/alwaysLoad", skip_serializing_if = "std::ops::Not::not")]
    pub always_load: bool,
    /// Characters up to which a client takes a result whole.
    #[serde(rename = "anthropic/maxResultSizeChars", skip_serializing_if = "Option::is_none")]
    pub max_result_chars: Option<u32>,
}

impl DefinitionMeta {
    /// Notes on a tool whose results are outputs of actions. Longer ones are shortened here; Claude Code would put what is over
    /// its own, lower limit into a file.
    pub const BOUNDED: Self = Self { always_load: false, max_result_chars: Some(150_000) };
}

/// Hints on a tool's behaviour (MCP 2025-11-25, schema `ToolAnnotations`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    /// Whether a call changes nothing.
    pub read_only_hint: bool,
    /// Whether a call may destroy or overwrite something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// Calling it twice is like calling it once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// Whether a call reaches systems outside the server, as every action does.
    pub open_world_hint: bool,
}

/// Icon of a tool, by its address.
#[derive(Debug, Serialize)]
pub struct Icon<'a> {
    /// Address of the image, an `https:` or `data:` URI.
    pub src: &'a str,
}

/// Result of `tools/call`, of every era.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallToolResult {
    content: Vec<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    structured_content: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_error: bool,
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<ResultMeta>,
}

/// Notes of a result that are for the client, not for the model (MCP 2025-11-25, basic/index § `_meta`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultMeta {
    /// Changes that were made to the arguments so that they conform to the tool's schema.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
    /// Whether the result is that of the same call made before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// Account that was used, where the app has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text {
    #[serde(skip_deserializing, default = "text_type")]
    r#type: &'static str,
    text: String,
}

fn text_type() -> &'static str {
    "text"
}

/// Text of a success without an output.
pub const NO_OUTPUT: &str = "No output";

impl CallToolResult {
    /// Returns a success whose only block is `text`.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let content = vec![Text { r#type: "text", text: text.into() }];
        Self { content, structured_content: None, is_error: false, meta: None }
    }

    /// Returns how much it says, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts: usize = self.content.iter().map(|content| content.text.len()).sum();
        texts + self.structured_content.as_ref().map_or(0, |content| content.get().len())
    }

    /// Returns whether it says what went wrong.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.is_error
    }

    /// Returns the failure for a caller that calls more often than it may.
    #[must_use]
    pub fn too_many(wait_s: u64) -> Self {
        Self::failure(format!("Too many calls were made: wait {wait_s} s, then call again. The action was not run."))
    }

    /// Returns a failure that the model can act on.
    #[must_use]
    pub fn failure(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// Appends a block of text to the result.
    #[must_use]
    pub fn and_text(mut self, text: impl Into<String>) -> Self {
        self.content.extend(Self::text(text).content);
        self
    }

    /// Appends a line to the first block of text.
    #[must_use]
    pub fn and_line(mut self, line: &str) -> Self {
        if let Some(first) = self.content.first_mut() {
            first.text.push('\n');
            first.text.push_str(line);
        }
        self
    }

    /// Notes how the arguments were mended, if they were.
    #[must_use]
    pub fn and_mended(mut self, mended: Vec<String>) -> Self {
        if !mended.is_empty() {
            self.meta.get_or_insert_default().mended.extend(mended);
        }
        self
    }

    /// Notes that the arguments were sent as a text, and read.
    #[must_use]
    pub fn and_read_from_text(mut self) -> Self {
        // That came first.
        self.meta.get_or_insert_default().mended.insert(0, "/: a text was read as JSON".to_owned());
        self
    }

    /// Notes that the result is that of the same call made before.
    #[must_use]
    pub fn and_replayed(mut self) -> Self {
        self.meta.get_or_insert_default().replayed = true;
        self
    }

    /// Notes the account that was used, where there were several.
    #[must_use]
    pub fn and_account(mut self, account: Option<String>) -> Self {
        if account.is_some() {
            self.meta.get_or_insert_default().account = account;
        }
        self
    }

    /// Takes the output of a run out of a success, as JSON, with its structured form. Nothing where there is none.
    pub fn take_output(&mut self) -> Option<(String, Option<Box<RawValue>>)> {
        let first = self.content.first_mut().filter(|first| !self.is_error && first.text != NO_OUTPUT)?;
        Some((std::mem::take(&mut first.text), self.structured_content.take()))
    }

    /// Puts an output in the place of the one that was taken.
    #[must_use]
    pub fn with_output(mut self, text: String, structured: Option<Box<RawValue>>) -> Self {
        if let Some(first) = self.content.first_mut() {
            first.text = text;
        }
        Self { structured_content: structured, ..self }
    }

    /// Takes the notes for the client out of the result.
    pub fn take_meta(&mut self) -> Option<ResultMeta> {
        self.meta.take()
    }

    /// Adds the structured form of the result.
    #[must_use]
    pub fn and_structured(mut self, content: Box<RawValue>) -> Self {
        self.structured_content = Some(content);
        self
    }
}
