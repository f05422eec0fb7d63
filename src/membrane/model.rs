//! Membrane's wire format, as far as it matters here. Every member may be missing: schemas differ between the API's
//! versions and between what workspaces have set up.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// A page of a list. No cursor: the last one.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The items, read one by one so that a strange one costs itself alone.
    pub items: Vec<Box<RawValue>>,
    /// Cursor to ask the next page with.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// The customer that a token speaks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// Id of the customer, unique in all workspaces.
    pub id: Option<String>,
    /// The token's `id` or `tenantKey`: unique in the workspace.
    pub internal_id: Option<String>,
    /// The workspace, where the API tells it.
    pub workspace_key: Option<String>,
}

/// An account that a user has connected.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// The app. Missing where the connection hangs on a bare connector.
    pub integration: Option<Integration>,
    /// True where the account's credentials are lost.
    #[serde(default)]
    pub disconnected: Option<bool>,
    #[serde(default)]
    is_deactivated: Option<bool>,
    #[serde(default)]
    archived_at: Option<IgnoredAny>,
}

/// App, as connections and actions name it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Integration {
    /// Id of the integration, by which its actions are listed.
    pub id: Option<String>,
    /// Its key, the first part of its tools' names.
    pub key: Option<String>,
    /// Name of the app, for people.
    pub name: Option<String>,
    /// Address of the app's logo.
    #[serde(default)]
    pub logo_uri: Option<String>,
    #[serde(default)]
    is_deactivated: Option<bool>,
    #[serde(default)]
    archived_at: Option<IgnoredAny>,
}

/// Something that can be done with an app.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// Its key, the second part of the tool's name.
    pub key: Option<String>,
    /// Name of the action, for people.
    pub name: Option<String>,
    /// Text on what the action does.
    #[serde(default)]
    pub description: Option<String>,
    /// Type of the action, such as `create-data-record`.
    #[serde(default)]
    pub r#type: Option<String>,
    /// JSON Schema of the action's input.
    #[serde(default)]
    pub input_schema: Option<Box<RawValue>>,
    /// JSON Schema of the action's output.
    #[serde(default)]
    pub output_schema: Option<Box<RawValue>>,
    /// Configuration of the action, which differs by type.
    #[serde(default)]
    pub config: Option<Box<RawValue>>,
    /// Marks that the owner of the workspace has set.
    #[serde(default)]
    pub meta: Option<Box<RawValue>>,
    /// App that the action belongs to.
    #[serde(default)]
    pub integration: Option<Integration>,
    #[serde(default)]
    integration_id: Option<String>,
    #[serde(default)]
    integration_key: Option<String>,
    #[serde(default)]
    is_deactivated: Option<bool>,
    #[serde(default)]
    archived_at: Option<IgnoredAny>,
}

impl Connection {
    /// Returns whether it is neither archived nor deactivated.
    #[must_use]
    pub fn is_live(&self) -> bool {
        is_live(self.is_deactivated, self.archived_at)
    }
}

impl Integration {
    /// Returns whether it is neither archived nor deactivated.
    #[must_use]
    pub fn is_live(&self) -> bool {
        is_live(self.is_deactivated, self.archived_at)
    }
}

impl Action {
    /// Returns whether it is neither archived nor deactivated.
    #[must_use]
    pub fn is_live(&self) -> bool {
        is_live(self.is_deactivated, self.archived_at)
    }

    /// Returns the bytes of the action's schemas, which are most of it where it is large.
    #[must_use]
    pub fn schema_bytes(&self) -> usize {
        [&self.input_schema, &self.output_schema].into_iter().flatten().map(|schema| schema.get().len()).sum()
    }

    /// Returns whether it belongs to an app: a universal action does not.
    #[must_use]
    pub fn has_integration(&self) -> bool {
        self.integration.is_some() || self.integration_id.is_some() || self.integration_key.is_some()
    }
}

fn is_live(is_deactivated: Option<bool>, archived_at: Option<IgnoredAny>) -> bool {
    is_deactivated != Some(true) && archived_at.is_none()
}
