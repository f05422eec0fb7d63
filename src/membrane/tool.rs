//! An action as a tool.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    check::Check,
    model::{Action, Integration},
    names,
};
use crate::{
    ids::{ActionKey, IntegrationKey, ToolName},
    protocol::{
        aliases::Aliases,
        json,
        loosen::loosen,
        param_headers::ParamHeader,
        revision::Era,
        schema::{self, InputSchema},
        tools::{Annotations, Definition, DefinitionMeta, Icon},
    },
    search::Access,
};

/// Longest logo that stands in each definition itself, in bytes.
const MAX_DATA_LOGO_BYTES: usize = 2_000;

/// An action of an app, ready to be listed and called. Immutable and shared.
#[derive(Debug)]
pub struct Tool {
    name: ToolName,
    integration: IntegrationKey,
    action: ActionKey,
    definition: Bytes,
    /// The definition for the modern era, where it differs.
    modern: Option<Bytes>,
    input: Check,
    wrapped: bool,
    access: Access,
    headers: Vec<ParamHeader>,
    aliases: Aliases,
    /// Output schema as it is published, and results conform to it.
    output: Option<Box<RawValue>>,
    output_is_object: bool,
}

/// Members of a tool's definition that other texts are made of. They are read again from the definition, so that a tool holds
/// them once.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published<'a> {
    /// Title of the tool, for people.
    #[serde(borrow)]
    pub title: Cow<'a, str>,
    /// Description of the tool, for the model.
    #[serde(borrow)]
    pub description: Cow<'a, str>,
    /// Schema of the arguments.
    #[serde(borrow)]
    pub input_schema: &'a RawValue,
}

/// The app whose actions become tools.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct App {
    /// Key of the app, the first part of its tools' names.
    pub key: IntegrationKey,
    /// Name of the app, for people.
    pub name: String,
    /// Its logo, where that is an `https:` URI or a short `data:` URI.
    pub logo: Option<String>,
}

impl App {
    /// Returns the app of an integration, unless that has no key.
    #[must_use]
    pub fn of(integration: &Integration) -> Option<Self> {
        let key = integration.key.as_deref().filter(|key| !key.is_empty())?;
        let logo = integration.logo_uri.clone();
        Some(Self {
            key: IntegrationKey::new(key),
            name: integration.name.clone().unwrap_or_else(|| key.to_owned()),
            logo: logo.filter(|uri| is_logo(uri)),
        })
    }
}

impl Tool {
    /// Makes a tool of an action, unless it can't be one: it is archived, or belongs to no app.
    #[must_use]
    pub fn of(app: &App, action: &Action) -> Option<Self> {
        let key = action.key.as_deref().filter(|key| !key.is_empty())?;
        if !action.is_live() || !action.has_integration() {
            return None;
        }
        let name = names::name(&app.key, key);
        let title = format!("{}: {}", app.name, action.name.as_deref().unwrap_or(key));
        let description = match action.description.as_deref().map(str::trim) {
            Some(own) if !own.is_empty() => format!("{title}\n{own}"),
            _ => title.clone(),
        };
        let input = InputSchema::of(action.input_schema.as_deref());
        if !input.faults.is_empty() {
            let (tool, faults) = (name.as_str(), input.faults.join("; "));
            log::warn!(tool; "an input schema is published in part, for it has faults: {faults}");
        }
        let access = access(action);
        let output = action.output_schema.as_deref().and_then(loosen);
        let output_is_object = output.as_deref().is_some_and(schema::is_object_schema);
        let legacy = Definition {
            name: name.as_str(),
            title: &title,
            description: &description,
            input_schema: &input.published,
            // Clients of the legacy era refuse a whole list for one output schema that is of no object.
            output_schema: output.as_deref().filter(|_| output_is_object),
            annotations: Some(annotations(access, action.r#type.as_deref())),
            // Results are bounded here, and Claude Code puts longer ones into a file unless it is told the bound.
            meta: Some(DefinitionMeta::BOUNDED),
            icons: app.logo.as_deref().map(|src| [Icon { src }]),
        };
        let definition = json::to_string(&legacy).into();
        // The eras differ in nothing else, so that most tools have one definition.
        let modern = output.as_deref().filter(|_| !output_is_object).map(|output| {
            let definition = Definition { output_schema: Some(output), ..legacy };
            json::to_string(&definition).into()
        });
        Some(Self {
            definition,
            modern,
            integration: app.key.clone(),
            action: ActionKey::new(key),
            input: Check::new(input.checked),
            wrapped: input.wrapped,
            access,
            headers: input.headers,
            aliases: input.aliases,
            output_is_object,
            output,
            name,
        })
    }

    /// Returns the name by which it is listed and called.
    #[must_use]
    pub fn name(&self) -> &ToolName {
        &self.name
    }

    /// Returns the key of the app that the tool belongs to.
    #[must_use]
    pub fn integration(&self) -> &IntegrationKey {
        &self.integration
    }

    /// Returns the key of the action that the tool runs.
    #[must_use]
    pub fn action(&self) -> &ActionKey {
        &self.action
    }

    /// Its definition for clients of an era, as JSON.
    #[must_use]
    pub fn definition(&self, era: Era) -> &Bytes {
        match (era, &self.modern) {
            (Era::Modern, Some(modern)) => modern,
            _ => &self.definition,
        }
    }

    /// Returns the arguments that clients of the modern era repeat in headers.
    #[must_use]
    pub fn headers(&self) -> &[ParamHeader] {
        &self.headers
    }

    /// Returns whether the tool reads or writes.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Returns the names of arguments that differ from those of the action.
    #[must_use]
    pub fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// Returns whether the action takes no object, so that its input stands in a member of the arguments.
    #[must_use]
    pub fn is_wrapped(&self) -> bool {
        self.wrapped
    }

    /// Returns the texts by which two tools of equal keys and definitions may still differ.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let output = self.output.as_deref().map(RawValue::get);
        [Some(self.input.text()), output].into_iter().flatten().map(str::as_bytes).chain(self.modern.as_deref())
    }

    /// Checks arguments against the action's schema.
    ///
    /// # Errors
    /// The faults, each with its path.
    pub fn check_arguments(&self, arguments: &Value) -> Result<(), String> {
        self.input.check(&self.name, arguments)
    }

    /// Returns the output schema that clients of an era are told of. They get structured results that conform to it.
    #[must_use]
    pub fn output_schema(&self, era: Era) -> Option<&RawValue> {
        self.output.as_deref().filter(|_| era == Era::Modern || self.output_is_object)
    }

    /// Returns what the definition tells of the tool. Definitions are JSON of this server's own.
    #[must_use]
    pub fn published(&self) -> Option<Published<'_>> {
        serde_json::from_slice(&self.definition).ok()
    }

    /// Returns the input schema as it is published.
    #[must_use]
    pub fn input_schema(&self) -> Option<&RawValue> {
        self.published().map(|published| published.input_schema)
    }

    /// Returns the check of arguments.
    pub(super) fn input(&self) -> &Check {
        &self.input
    }

    /// Returns the same tool under another name.
    #[must_use]
    pub(super) fn renamed(&self, name: ToolName) -> Self {
        Self {
            definition: rename(&self.definition, &self.name, &name),
            modern: self.modern.as_ref().map(|modern| rename(modern, &self.name, &name)),
            integration: self.integration.clone(),
            action: self.action.clone(),
            input: self.input.anew(),
            wrapped: self.wrapped,
            access: self.access,
            headers: self.headers.clone(),
            aliases: self.aliases.clone(),
            output: self.output.clone(),
            output_is_object: self.output_is_object,
            name,
        }
    }

    /// Returns the same tool with its definition in a buffer that it shares with others.
    #[must_use]
    pub(super) fn with_definition(self, definition: Bytes) -> Self {
        Self { definition, ..self }
    }
}

/// Returns whether a logo is shown: each tool of its app repeats it.
fn is_logo(uri: &str) -> bool {
    uri.starts_with("https:") || (uri.starts_with("data:") && uri.len() <= MAX_DATA_LOGO_BYTES)
}

/// Puts another name into a definition, which begins with it.
fn rename(definition: &Bytes, old: &ToolName, new: &ToolName) -> Bytes {
    let start = |name: &ToolName| format!(r#"{{"name":"{name}""#).into_bytes();
    match definition.strip_prefix(&*start(old)) {
        Some(rest) => [&start(new), rest].concat().into(),
        None => definition.clone(),
    }
}

/// Classifies an action. Most types tell by themselves, so that configurations, which may be large, are seldom read.
fn access(action: &Action) -> Access {
    let value = |raw: &Option<Box<RawValue>>| raw.as_deref().and_then(|raw| json::read::<Value>(raw).ok());
    // Only types that make requests tell by their configuration whether they write.
    let config = action.r#type.as_deref().filter(|kind| Access::is_told_by_request(kind)).and(value(&action.config));
    Access::classify(action.r#type.as_deref(), config.as_ref(), value(&action.meta).as_ref())
}

/// Returns the effects of an action, as far as its type tells them. Where it does not, the worst is assumed (MCP 2025-11-25,
/// schema `ToolAnnotations`).
fn annotations(access: Access, r#type: Option<&str>) -> Annotations {
    let (destructive, idempotent) = match r#type {
        _ if access == Access::Read => (false, true),
        Some("create-data-record") => (false, false),
        Some("find-or-create-data-record") => (false, true),
        Some("update-data-record" | "delete-data-record") => (true, true),
        _ => (true, false),
    };
    Annotations {
        read_only_hint: access == Access::Read,
        destructive_hint: Some(destructive),
        idempotent_hint: Some(idempotent),
        open_world_hint: true,
    }
}
