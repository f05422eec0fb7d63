//! Membrane's wire format, as far as it matters here. Every member may be missing or odd: schemas differ between the API's
//! versions and between what workspaces have set up. Only what is needed can cost an app or a tool.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::lenient::{flag, object, presence, text};

/// A page of a list. No cursor: the last one.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The items, read one by one so that a strange one costs itself alone.
    pub items: Vec<Box<RawValue>>,
    /// Cursor to ask the next page with.
    #[serde(default, deserialize_with = "text")]
    pub cursor: Option<String>,
}

/// The customer that a token speaks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// Id of the customer, unique in all workspaces.
    #[serde(default, deserialize_with = "text")]
    pub id: Option<String>,
    /// The token's `id` or `tenantKey`: unique in the workspace.
    #[serde(default, deserialize_with = "text")]
    pub internal_id: Option<String>,
    /// The workspace, where the API tells it.
    #[serde(default, deserialize_with = "text")]
    pub workspace_key: Option<String>,
}

/// An account that a user has connected.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Id of the connection, by which runs name it.
    #[serde(default, deserialize_with = "text")]
    pub id: Option<String>,
    /// Key of the connection, which its creator chose.
    #[serde(default, deserialize_with = "text")]
    pub key: Option<String>,
    /// Name of the connection, for people.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Step that the user has to take, where it waits for one.
    #[serde(default, deserialize_with = "object")]
    pub client_action: Option<ClientAction>,
    /// The app. Missing where the connection hangs on a bare connector.
    #[serde(default, deserialize_with = "object")]
    pub integration: Option<Integration>,
    #[serde(default, deserialize_with = "flag")]
    disconnected: Option<bool>,
    /// Newer name of the opposite.
    #[serde(default, deserialize_with = "flag")]
    connected: Option<bool>,
    /// State of the connection, such as `READY`.
    #[serde(default, deserialize_with = "text")]
    pub state: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    is_deactivated: Option<bool>,
    #[serde(default, deserialize_with = "presence")]
    archived_at: bool,
}

/// Step that a connection waits for its user to take.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientAction {
    /// Text on what is to be done.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// Address of the page on which the user does it.
    // Such a page may let whoever opens it in, so it is kept nowhere.
    #[serde(default, deserialize_with = "text", skip_serializing)]
    pub ui_url: Option<String>,
}

/// App, as connections and actions name it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Integration {
    /// Id of the integration, by which its actions are listed.
    #[serde(default, deserialize_with = "text")]
    pub id: Option<String>,
    /// Its key, the first part of its tools' names.
    #[serde(default, deserialize_with = "text")]
    pub key: Option<String>,
    /// Name of the app, for people.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Address of the app's logo.
    #[serde(default, deserialize_with = "text")]
    pub logo_uri: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    is_deactivated: Option<bool>,
    #[serde(default, deserialize_with = "presence")]
    archived_at: bool,
}

/// Something that can be done with an app.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// Its key, the second part of the tool's name.
    #[serde(default, deserialize_with = "text")]
    pub key: Option<String>,
    /// Name of the action, for people.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Text on what the action does.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// Type of the action, such as `create-data-record`.
    #[serde(default, deserialize_with = "text")]
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
    #[serde(default, deserialize_with = "object")]
    pub integration: Option<Integration>,
    #[serde(default, deserialize_with = "text")]
    integration_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    integration_key: Option<String>,
    // Members that only actions of one user's connection have.
    #[serde(default)]
    connection_id: Option<Box<RawValue>>,
    #[serde(default)]
    instance_key: Option<Box<RawValue>>,
    #[serde(default)]
    user_id: Option<Box<RawValue>>,
    #[serde(default)]
    tenant_id: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "text")]
    layer: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    is_deactivated: Option<bool>,
    #[serde(default, deserialize_with = "presence")]
    archived_at: bool,
}

/// State of a connection that waits for its user.
const NEEDS_USER: &str = "CLIENT_ACTION_REQUIRED";

impl Connection {
    /// Returns whether the account's credentials are lost, so that the user has to connect it again.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        // Versions of the API say it in different members.
        self.disconnected == Some(true) || self.connected == Some(false) || self.state.as_deref() == Some(NEEDS_USER)
    }

    /// Returns the page on which the user does what the connection waits for, where the upstream names one.
    #[must_use]
    pub fn page(&self) -> Option<&str> {
        let action = self.client_action.as_ref().filter(|_| self.state.as_deref() == Some(NEEDS_USER));
        action?.ui_url.as_deref()
    }

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

    /// Returns whether it belongs to one user, as actions of a connection do, and not to the whole workspace.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        // Whatever they hold: a list is left to each user in doubt.
        let members = [&self.connection_id, &self.instance_key, &self.user_id, &self.tenant_id];
        members.iter().any(|member| member.is_some()) || self.layer.as_deref() == Some("connection")
    }

    /// Returns whether it belongs to an app: a universal action does not.
    #[must_use]
    pub fn has_integration(&self) -> bool {
        self.integration.is_some() || self.integration_id.is_some() || self.integration_key.is_some()
    }
}

fn is_live(is_deactivated: Option<bool>, is_archived: bool) -> bool {
    is_deactivated != Some(true) && !is_archived
}
