//! Connection requests: pages of the upstream on which users connect accounts of apps.
//!
//! The vendor's published description of the API does not name them, so an upstream may have none: a first refusal turns them
//! off for a while.

use awc::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{MembraneClient, exchange::OutgoingRequest, lists::Reader};
use crate::{
    ids::{IntegrationKey, UserKey},
    membrane::{
        Caller, MembraneError, error::Refusal, lenient::text, model::Connection, reading, switch::PATH, turns::Party,
    },
    protocol::json,
};

/// Bytes of the connections of one app that are read at most.
const MAX_BYTES: usize = 8 << 20;

/// Characters of a request's id at most.
const MAX_ID: usize = 200;

/// Account that is to be connected.
#[derive(Debug, Clone, Copy)]
pub enum Connect<'a> {
    /// Any account of an app.
    App(&'a IntegrationKey),
    /// The account of a connection that is there, and is lost.
    Again(&'a str),
}

/// Request for a connection, as the upstream has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRequest {
    /// Id by which its progress is asked for.
    pub id: String,
    /// Page on which the user connects the account.
    pub url: String,
    /// How far it has come.
    pub progress: Progress,
}

/// Progress of a request for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The user has not finished.
    Pending,
    /// The account is connected.
    Connected,
    /// The user has said no on the upstream's page.
    Cancelled,
    /// The account can't be connected, for a reason in the upstream's words.
    Failed(String),
}

/// Why there is no request for a connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The upstream has no connection requests.
    #[error("the Membrane API that this server asks has no connection requests")]
    Off,
    /// The workspace has no app of that key.
    #[error("there is no such app")]
    NoSuchApp,
    /// The upstream did not answer as it should.
    #[error(transparent)]
    Failed(#[from] MembraneError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedRequest {
    #[serde(default, deserialize_with = "text")]
    request_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    url: Option<String>,
    #[serde(default, deserialize_with = "text")]
    status: Option<String>,
    #[serde(default)]
    result_error: Option<Box<RawValue>>,
}

impl CreatedRequest {
    fn progress(&self) -> Progress {
        match self.status.as_deref() {
            Some("success") => Progress::Connected,
            Some("cancelled") => Progress::Cancelled,
            Some("error") => {
                let words = self.result_error.as_ref().map(|error| Refusal::read(400, error.get().as_bytes()));
                let words = words.filter(|words| words.has_words).map(|words| words.in_full());
                Progress::Failed(words.unwrap_or_default())
            }
            _ => Progress::Pending,
        }
    }
}

impl MembraneClient {
    /// `POST /connection-requests`: asks for a page on which the user connects an account.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn request_connection(
        &self,
        caller: &Caller,
        connect: Connect<'_>,
    ) -> Result<ConnectionRequest, ConnectError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            integration_key: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            connection_id: Option<&'a str>,
        }
        if self.upstream.connecting.is_off() {
            return Err(ConnectError::Off);
        }
        let body = match connect {
            Connect::App(key) => Body { integration_key: Some(key.as_str()), connection_id: None },
            Connect::Again(id) => Body { integration_key: None, connection_id: Some(id) },
        };
        let CreatedRequest { request_id, url, .. } = match self.post(caller, json::to_string(&body)).await {
            Ok(answer) => answer,
            Err(MembraneError::Refused(refusal)) => {
                return Err(match refusal.status {
                    // Only the API's own error says that it is the app which is not there.
                    404 if refusal.key.as_deref() == Some("not_found") => ConnectError::NoSuchApp,
                    // Servers and gateways say in these ways that they have no such path.
                    404 | 405 | 501 => {
                        self.upstream.connecting.turn_off();
                        ConnectError::Off
                    }
                    _ => MembraneError::Refused(refusal).into(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        // The id becomes part of a path, in which it must not lead elsewhere.
        match (request_id.filter(|id| is_id(id)), url) {
            (Some(id), Some(url)) => Ok(ConnectionRequest { id, url, progress: Progress::Pending }),
            _ => Err(MembraneError::Malformed("a connection request without id or url".to_owned()).into()),
        }
    }

    /// `GET /connection-requests/{id}`: how far a request has come.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn connection_progress(&self, caller: &Caller, id: &str) -> Result<Progress, MembraneError> {
        let path = format!("{PATH}/{id}");
        let party = Party::User(caller.user().clone());
        self.get_at::<CreatedRequest>(PATH, caller.token(), &party, &path, &[]).await.map(|answer| answer.progress())
    }

    /// `GET /connections` of one app.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn connections_of(
        &self,
        caller: &Caller,
        app: &IntegrationKey,
    ) -> Result<Vec<Connection>, MembraneError> {
        let user: UserKey = caller.user().clone();
        let reader = Reader::new(caller.token().clone(), user, true, MAX_BYTES);
        self.connections(&reader, Some(app), || ()).await
    }

    /// Sends a request for a connection, once: a second one would be another request.
    async fn post(&self, caller: &Caller, body: String) -> Result<CreatedRequest, MembraneError> {
        let timeout = self.tuning.read_timeout;
        let _turn = self.turn(&Party::User(caller.user().clone())).await?;
        let request = OutgoingRequest { http: self.reads(), method: Method::POST, path: PATH, body: body.into() };
        let exchange = self.exchange(request, caller.token(), timeout);
        let answer = Box::pin(async { reading::read(&self.upstream.pool, exchange.await?).await });
        let outcome = self.observe(PATH.trim_start_matches('/'), answer).await;
        self.note(&outcome, true);
        outcome
    }
}

/// Returns whether an id can stand in a path as it is.
fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_whatever_the_upstream_tells() {
        for (answer, expected) in [
            (r#"{"requestId":"r","status":"pending"}"#, Progress::Pending),
            (r#"{"status":"success","resultConnectionId":"c"}"#, Progress::Connected),
            (r#"{"status":"cancelled"}"#, Progress::Cancelled),
            (
                r#"{"status":"error","resultError":{"message":"no such workspace"}}"#,
                Progress::Failed("no such workspace".to_owned()),
            ),
            (r#"{"status":"error"}"#, Progress::Failed(String::new())),
            (r#"{"status":"later"}"#, Progress::Pending),
            (r#"{"status":7}"#, Progress::Pending),
            ("{}", Progress::Pending),
        ] {
            let read: CreatedRequest = serde_json::from_str(answer).unwrap();
            assert_eq!(read.progress(), expected, "{answer}");
        }
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        for (id, fine) in
            [("cr_0-9aZ", true), ("", false), ("../self", false), ("a?b", false), ("a/b", false), ("ä", false)]
        {
            assert_eq!(is_id(id), fine, "{id}");
        }
        assert!(!is_id(&"x".repeat(MAX_ID + 1)));
    }
}
