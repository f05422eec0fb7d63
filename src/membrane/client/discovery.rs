//! The upstream's own OAuth metadata: whether it issues tokens to MCP clients, and where.
//!
//! One task of the process reads it at the start and now and then, and holds it where every worker can see it. Requests never
//! wait for it.

use std::time::Duration;

use awc::http::{Method, header::ACCEPT};

use super::{MembraneClient, exchange::not_sent};
use crate::{
    membrane::{AuthorizationServer, MembraneError, authorization_server::read_metadata, wire},
    secret::Secret,
};

/// Place of the metadata, before the path of the issuer (RFC 8414 § 3).
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// Bytes of metadata at most. Real ones are a few kilobytes.
const MAX_BYTES: usize = 65_536;

/// Time for one request to the authorization server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Time after which metadata is read again. An operator of the upstream who turns OAuth on, or moves it, need not tell anybody.
const READ_AGAIN: Duration = Duration::from_secs(600);

/// Time after which the first failed reading is repeated; it doubles with each further one, up to [`READ_AGAIN`].
const RETRY: Duration = Duration::from_secs(1);

impl MembraneClient {
    /// Reads the upstream's OAuth metadata at once and then again and again, for as long as the future is polled. Metadata that
    /// can't be read now leaves the known one in force.
    pub async fn follow_authorization_server(&self) {
        let mut retry = RETRY;
        loop {
            let wait = match self.find_authorization_server().await {
                Ok(found) => {
                    let place = found.as_ref().map(|server| server.authorization_endpoint.clone());
                    if self.upstream.discovered.set(found) {
                        match place {
                            Some(place) => log::info!("clients without a token are led to {place}"),
                            None => log::info!("the upstream has no OAuth any more: clients need a token"),
                        }
                    }
                    retry = RETRY;
                    READ_AGAIN
                }
                Err(error) => {
                    log::debug!("the upstream's OAuth metadata can't be read: {error}");
                    let wait = retry;
                    retry = (retry * 2).min(READ_AGAIN);
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads the upstream's OAuth metadata. None where it has none, or none that a client could use.
    async fn find_authorization_server(&self) -> Result<Option<AuthorizationServer>, MembraneError> {
        // A place without a document leads on to the next. Trouble ends the search, or it would pass for an upstream
        // without OAuth.
        for path in self.upstream.metadata_paths(WELL_KNOWN) {
            if let Some(text) = self.ask_publicly(Method::GET, &path, None).await? {
                return Ok(read_metadata(&text));
            }
        }
        Ok(None)
    }

    /// Sends a request without any user's token to a path of the host. None where the answer is a refusal.
    pub(super) async fn ask_publicly(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, String)>,
    ) -> Result<Option<String>, MembraneError> {
        let sent = async {
            let request = self.anonymous(method, path).await?.insert_header((ACCEPT, "application/json"));
            let sent = match body {
                Some((kind, body)) => request.content_type(kind).send_body(body).await,
                None => request.send().await,
            };
            let mut response = sent.map_err(|error| not_sent(&error))?;
            let status = response.status();
            // Trouble says nothing of whether there is a document.
            if status.is_server_error() || status.as_u16() == 429 {
                return Err(MembraneError::Malformed(format!("status {status}")));
            }
            if !status.is_success() {
                return Ok(None);
            }
            let body = response.body().limit(MAX_BYTES).await;
            let body = body.map_err(|error| MembraneError::Malformed(error.to_string()))?;
            Ok(Some(String::from_utf8_lossy(&body).into_owned()))
        };
        // Connections carry one token each; these carry none.
        let sent = wire::Connector::with_token(Secret::new("").fingerprint(), Box::pin(sent));
        let sent = tokio::time::timeout(TIMEOUT, sent).await;
        sent.unwrap_or(Err(MembraneError::Timeout { after_ms: TIMEOUT.as_millis() }))
    }
}
