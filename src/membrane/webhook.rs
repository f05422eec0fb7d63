//! Webhooks: what Membrane tells of its own accord, and how it shows that it is Membrane.

use serde::Deserialize;

use super::signature::WorkspaceSecret;
use crate::{config::Settings, error::Error, ids::UserKey, secret::Secret, token::TokenProblem};

/// Who may send webhooks: whoever knows the workspace's secret, or that of the settings.
pub struct Senders {
    workspace: Option<WorkspaceSecret>,
    secret: Option<Secret>,
}

/// Who sent a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The only workspace for which they can speak, where that is known.
    workspace: Option<String>,
    /// The user for whom their token was made.
    user: Option<String>,
}

/// Users whose connections have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// In this workspace; in any where it is not known.
    pub workspace: Option<String>,
    /// By any of their ids.
    pub users: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    #[serde(alias = "eventType")]
    event: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    connection: Connection,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    #[serde(default)]
    user: Option<User>,
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    customer_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    internal_id: Option<String>,
}

impl Senders {
    /// Those whom the settings let in; nobody where they name no secret.
    #[must_use]
    pub fn of(settings: &Settings) -> Option<Self> {
        let secret = &settings.webhooks.secret;
        let senders = Self {
            workspace: WorkspaceSecret::of(&settings.auth),
            secret: (!secret.is_empty()).then(|| secret.clone()),
        };
        (senders.workspace.is_some() || senders.secret.is_some()).then_some(senders)
    }

    /// Finds out who sent a webhook with this `signed` token or this `bearer`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub fn find(&self, signed: Option<&str>, bearer: Option<&str>) -> Result<Sender, Error> {
        let refused = |why: &str| Err(TokenProblem::Refused(why.to_owned()).into());
        match (signed, &self.workspace, bearer, &self.secret) {
            (Some(token), Some(workspace), _, _) => match workspace.webhook_user(token) {
                Some(user) => Ok(Sender { workspace: Some(workspace.key().to_owned()), user: Some(user) }),
                None => refused("it is not signed by the workspace for a webhook, or it has expired"),
            },
            (_, _, Some(bearer), Some(secret)) if secret.is(bearer) => Ok(Sender::default()),
            (None, _, None, _) => Err(TokenProblem::Missing.into()),
            _ => refused("it is not the webhooks' secret"),
        }
    }
}

impl Changed {
    /// Whether a user is one of them. A user whose token did not tell the workspace may be of any.
    #[must_use]
    pub fn is_about(&self, user: &UserKey) -> bool {
        let is_there = |workspace: &String| user.workspace().is_empty() || user.workspace() == workspace;
        self.workspace.as_ref().is_none_or(is_there) && self.users.iter().any(|name| name == user.user())
    }
}

impl Sender {
    /// Reads a webhook. Nothing where it is about something else than a user's connections.
    ///
    /// # Errors
    /// [`Error::BadRequest`].
    pub fn read(self, body: &[u8]) -> Result<Option<Changed>, Error> {
        let webhook: Webhook = serde_json::from_slice(body)
            .map_err(|error| Error::BadRequest(format!("the body is no webhook: {error}")))?;
        if !webhook.event.starts_with("connection.") {
            return Ok(None);
        }
        let Connection { user, user_id, customer_id } = webhook.data.connection;
        let (id, internal_id) = user.map_or((None, None), |user| (user.id, user.internal_id));
        let users: Vec<_> = [internal_id, self.user, customer_id, user_id, id].into_iter().flatten().collect();
        Ok((!users.is_empty()).then_some(Changed { workspace: self.workspace, users }))
    }
}
