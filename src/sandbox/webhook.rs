//! Webhooks of the sandbox, which tell a server of changed connections, as Membrane does.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    state::Connection,
    token::{self, Claims},
};
use crate::secret::Secret;

/// How long the receiver may take. A webhook that fails is not sent again, as the real ones are.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where webhooks go: nowhere until `PUT /sandbox/webhook`.
#[derive(Debug, Default)]
pub struct Webhooks(Mutex<Option<Webhook>>);

/// Receiver of webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    url: String,
    /// Bearer of its requests. Without one they carry a token that the workspace has signed.
    #[serde(default)]
    secret: Option<Secret>,
}

/// Change of a connection that webhooks tell.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// An account was connected.
    Created,
    /// The app no longer takes its credentials.
    Disconnected,
    /// The user has signed in again.
    Reconnected,
    /// The connection is gone.
    Deleted,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "connection.created",
            Self::Disconnected => "connection.disconnected",
            Self::Reconnected => "connection.reconnected",
            Self::Deleted => "connection.deleted",
        }
    }
}

/// Returns the upstream's own id of a customer.
#[must_use]
pub fn customer_id(claims: &Claims) -> String {
    format!("customer-{}", claims.id)
}

impl Webhooks {
    /// Sets where webhooks go from now on.
    pub fn set(&self, webhook: Webhook) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(webhook);
    }

    /// Sends a webhook on a user's connection, in the background.
    pub fn tell(&self, event: Event, claims: &Claims, connection: &Connection, key: &Secret) {
        let Some(webhook) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return;
        };
        let request = awc::Client::default().post(&webhook.url).timeout(TIMEOUT);
        let request = match (&webhook.secret, token::mint_webhook(&claims.id, key)) {
            (Some(secret), _) => request.bearer_auth(secret.reveal()),
            (None, Ok(token)) => request.insert_header(("x-membrane-token", token)),
            (None, Err(_unsigned)) => return,
        };
        let request = request.send_json(&described(event, claims, connection));
        actix_web::rt::spawn(async move {
            if let Err(error) = request.await {
                log::warn!(url = webhook.url.as_str(); "a webhook of the sandbox can't be sent: {error}");
            }
        });
    }
}

fn described(event: Event, claims: &Claims, connection: &Connection) -> Value {
    let connection = json!({
        "id": connection.id,
        "integrationId": connection.integration_id,
        "integrationKey": connection.integration.key,
        "name": connection.name,
        "disconnected": connection.disconnected,
        "customerId": customer_id(claims),
        "user": {"id": customer_id(claims), "internalId": claims.id},
    });
    json!({"eventType": event.name(), "data": {"connection": connection}})
}
