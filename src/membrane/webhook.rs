//! Webhooks: what Membrane tells of its own accord, and how it shows that it is Membrane.

use serde::Deserialize;
use serde_json::Value;

use super::signature::WorkspaceSecret;
use crate::{
    config::Settings, error::Error, ids::UserKey, protocol::clean::clean, secret::Secret, token::TokenProblem,
};

/// Senders whose webhooks count: those that know the workspace's secret, or that of the settings.
pub struct Senders {
    workspace: Option<WorkspaceSecret>,
    secret: Option<Secret>,
}

/// Sender of a webhook, as its token shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The only workspace for which they can speak, where that is known.
    workspace: Option<String>,
    /// The user for whom their token was made.
    user: Option<String>,
}

/// Users whose connections have changed, by a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// In this workspace; in any where it is not known.
    pub workspace: Option<String>,
    /// Ids of the users: their own, or the upstream's.
    pub users: Vec<String>,
}

/// Where a webhook tells whose connection it is about; which of these there are differs between versions of the API.
const USERS: [&str; 4] =
    ["/connection/user/internalId", "/connection/user/id", "/connection/userId", "/connection/customerId"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    #[serde(default)]
    event_type: Option<String>,
    /// Older name of the same member.
    #[serde(default)]
    event: Option<String>,
    /// Data of the event, whose form depends on its type.
    #[serde(default)]
    data: Value,
}

impl Senders {
    /// Returns the senders that the settings let in; none where they name no secret.
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
            // A signature has to be right where there is one: a good bearer does not make up for a bad one.
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
    /// Returns whether a user is one of them. A user whose token did not tell the workspace may be of any.
    #[must_use]
    pub fn is_about(&self, user: &UserKey) -> bool {
        let is_there = |workspace: &String| user.workspace().is_empty() || user.workspace() == workspace;
        self.workspace.as_ref().is_none_or(is_there) && self.users.iter().any(|name| name == user.user())
    }
}

/// Why a body can't be read as a webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The body is not JSON, or not of the form.
    #[error("the body is no webhook: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The body does not say what has happened.
    #[error("the webhook names no event")]
    NoEvent,
}

impl Sender {
    /// Reads a webhook. Nothing where it is about something else than a user's connections.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn read(self, body: &[u8]) -> Result<Option<Changed>, WebhookError> {
        let webhook: Webhook = serde_json::from_str(&clean(body))?;
        let event = webhook.event_type.or(webhook.event).ok_or(WebhookError::NoEvent)?;
        if !event.starts_with("connection.") {
            return Ok(None);
        }
        let told = USERS.iter().filter_map(|place| match webhook.data.pointer(place)? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        });
        // The token may name the user where the body does not.
        let users: Vec<_> = told.chain(self.user).collect();
        Ok((!users.is_empty()).then_some(Changed { workspace: self.workspace, users }))
    }
}
