//! Definitions of tools with notes on the user's own accounts: which there are to choose among, and that the app has to be
//! connected again.
//!
//! Tools are shared by all users who have the same; accounts are each user's own. So they are written into the definitions when
//! these are listed, and only for users who have several accounts of an app, or have lost it. All others share the same definitions.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::{Value, json, value::RawValue};

use super::{
    AccountState, Accounts,
    app_tools::{AppTools, Content, join},
    tool::Tool,
};
use crate::{
    chunks::PrecompressedJson,
    ids::IntegrationKey,
    protocol::{clean::beginning, json, members::Members, revision::Era},
};

/// Name of the argument that chooses an account; `_` is added as long as the tool has an argument of that name.
const ARGUMENT: &str = "account";

/// Bytes of an account's name in a definition.
const MAX_NAME: usize = 60;

/// How an app's tools are listed to a user whose accounts have to be told. Written when first listed, and kept for the next lists.
#[derive(Debug)]
pub struct NotedListing {
    integration: IntegrationKey,
    content: Content,
    accounts: Accounts,
    /// Listings may take as much once more, compressed or not.
    bytes: usize,
    legacy: OnceLock<Arc<PrecompressedJson>>,
    modern: OnceLock<Arc<PrecompressedJson>>,
}

impl NotedListing {
    /// Returns how these tools are listed with these accounts.
    pub(super) fn new(tools: &AppTools, accounts: &Accounts) -> Self {
        Self {
            integration: tools.integration().clone(),
            content: *tools.content(),
            accounts: accounts.clone(),
            bytes: 2 * tools.listing(Era::Legacy).json().len(),
            legacy: OnceLock::new(),
            modern: OnceLock::new(),
        }
    }

    /// Returns whether this is how the tools are listed with these accounts.
    pub(super) fn is_of(&self, tools: &AppTools, accounts: &Accounts) -> bool {
        self.content == *tools.content() && self.accounts.are_told_as(accounts)
    }

    /// Returns whether both tell the same of an app's accounts.
    pub(super) fn tells_the_same(&self, other: &Self) -> bool {
        self.integration == other.integration && self.accounts.are_told_as(&other.accounts)
    }

    /// Returns the key of the app.
    pub(super) fn integration(&self) -> &IntegrationKey {
        &self.integration
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the definitions of the app's tools for clients of an era, joined by commas.
    pub(super) fn listing(&self, tools: &AppTools, era: Era) -> &Arc<PrecompressedJson> {
        let kept = match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        };
        kept.get_or_init(|| {
            let definitions: Vec<_> =
                tools.tools().iter().map(|tool| self.definition(tool, tools.name(), era)).collect();
            Arc::new(PrecompressedJson::new(join(definitions.iter())))
        })
    }

    /// Returns the definition of a tool of the app.
    pub(super) fn definition(&self, tool: &Tool, app: &str, era: Era) -> Bytes {
        let plain = tool.definition(era);
        noted(plain, app, &self.accounts).map_or_else(|| plain.clone(), Bytes::from)
    }
}

/// Returns the name of the argument by which a tool's calls choose an account.
#[must_use]
pub fn account_argument(tool: &Tool) -> String {
    let schema = tool.input_schema().and_then(Members::read);
    let properties = schema.as_ref().and_then(|schema| Members::read(schema.get("properties")?));
    free_name(&properties.unwrap_or_default())
}

fn free_name(properties: &Members<'_>) -> String {
    let mut name = ARGUMENT.to_owned();
    // The action may have an argument of that name, which must reach it.
    while properties.get(&name).is_some() {
        name.push('_');
    }
    name
}

/// Writes accounts into a definition; nothing where it can't be read.
fn noted(definition: &[u8], app: &str, accounts: &Accounts) -> Option<String> {
    let mut members: Members<'_> = serde_json::from_slice(definition).ok()?;
    // Models read descriptions before they call, so they can tell their users at once.
    let description = accounts.lost().and_then(|_| {
        let own: String = json::read(members.get("description")?).ok()?;
        Some(json::to_raw(&format!("{own}\n{app} is disconnected: the user has to connect it again.")))
    });
    if let Some(description) = &description {
        members.set("description", description);
    }
    let schema = accounts.are_several().then(|| with_argument(members.get("inputSchema")?, app, accounts)).flatten();
    if let Some(schema) = &schema {
        members.set("inputSchema", schema);
    }
    Some(members.to_json())
}

/// Adds the argument that chooses an account to a schema.
fn with_argument(schema: &RawValue, app: &str, accounts: &Accounts) -> Option<Box<RawValue>> {
    let mut schema = Members::read(schema)?;
    let mut properties = schema.get("properties").and_then(Members::read).unwrap_or_default();
    let (name, argument) = (free_name(&properties), json::to_raw(&argument(app, accounts)));
    properties.set(&name, &argument);
    let properties = properties.to_raw();
    schema.set("properties", &properties);
    Some(schema.to_raw())
}

fn argument(app: &str, accounts: &Accounts) -> Value {
    let described = accounts.choices().map(|account| {
        let notes = [
            Some(beginning(account.name(), MAX_NAME)).filter(|name| !name.is_empty() && *name != account.handle()),
            match account.state() {
                AccountState::Connected => None,
                AccountState::Building => Some("being set up"),
                AccountState::Reconnect => Some("has to be connected again"),
                AccountState::Failed => Some("not set up"),
            },
        ];
        let notes: Vec<_> = notes.into_iter().flatten().collect();
        match notes.is_empty() {
            true => account.handle().to_owned(),
            false => format!("{} ({})", account.handle(), notes.join(", ")),
        }
    });
    let described = described.collect::<Vec<_>>().join(", ");
    json!({
        "type": "string",
        "enum": accounts.choices().map(super::Account::handle).collect::<Vec<_>>(),
        "description": format!("The user's {app} account: {described}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membrane::accounts::tests::accounts;

    fn noted(definition: &Value, connections: &Value) -> Value {
        let definition = json::to_string(definition);
        let noted = super::noted(definition.as_bytes(), "Gmail", &accounts(connections)).unwrap();
        serde_json::from_str(&noted).unwrap()
    }

    #[test]
    fn several_accounts_become_an_argument_that_no_other_has() {
        let two = json!([{"id": "a", "name": "Ann"}, {"id": "b", "key": "home", "disconnected": true}]);
        let definition = |properties: Value| json!({"name": "t", "description": "d", "inputSchema": {"type": "object", "properties": properties, "required": ["x"]}});
        for (own, name) in [
            (json!({}), "account"),
            (json!({"account": {}}), "account_"),
            (json!({"account": {}, "account_": {}, "x": {"type": "string"}}), "account__"),
        ] {
            let noted = noted(&definition(own.clone()), &two);
            let properties = noted["inputSchema"]["properties"].as_object().unwrap();
            assert_eq!(properties.len(), own.as_object().unwrap().len() + 1);
            assert_eq!(properties[name]["enum"], json!(["a", "home"]));
            assert_eq!(
                properties[name]["description"],
                "The user's Gmail account: a (Ann), home (has to be connected again)"
            );
            assert_eq!((&noted["description"], &noted["inputSchema"]["required"]), (&json!("d"), &json!(["x"])));
        }
        let bare = noted(&json!({"description": "d", "inputSchema": {"type": "object"}}), &two);
        assert!(bare["inputSchema"]["properties"]["account"].is_object());
    }

    #[test]
    fn a_lost_account_stands_in_the_description() {
        let definition =
            json!({"description": "Gmail: Send\nSends.", "inputSchema": {"type": "object", "properties": {}}});
        let noted = noted(&definition, &json!([{"id": "a", "connected": false}]));
        assert_eq!(
            noted["description"],
            "Gmail: Send\nSends.\nGmail is disconnected: the user has to connect it again."
        );
        assert_eq!(noted["inputSchema"], definition["inputSchema"]);
    }
}
