//! The authorization server that the upstream names, as its metadata tells it.

use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;
use url::Url;

/// The method of PKCE that MCP clients insist on (MCP 2025-11-25, basic/authorization § Authorization Code Protection).
const S256: &str = "S256";

/// Authorization server that issues the upstream's tokens (RFC 8414 § 2): the members that clients of this server need.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AuthorizationServer {
    /// Name by which it calls itself, a URL.
    pub issuer: String,
    /// Page where users say yes.
    pub authorization_endpoint: String,
    /// Address that gives a token for a code.
    pub token_endpoint: String,
    /// Address where clients register themselves (RFC 7591).
    #[serde(default)]
    pub registration_endpoint: Option<String>,
    /// Address that ends a token (RFC 7009).
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// Scopes that it names; many servers name none.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// Grants that it takes.
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    /// Methods of PKCE that it takes.
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    /// Ways in which clients authenticate where they redeem a code.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Whether the URL of a client's metadata will do as its id (CIMD).
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
    /// Whether it repeats its name to clients that come back with a code (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl AuthorizationServer {
    /// Returns Membrane's authorization server at its usual paths below the API's URL.
    #[must_use]
    pub fn usual(base_url: &str) -> Self {
        let base = base_url.trim_end_matches('/');
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            issuer: base.to_owned(),
            authorization_endpoint: format!("{base}/oauth/authorize"),
            token_endpoint: format!("{base}/oauth/token"),
            registration_endpoint: Some(format!("{base}/oauth/register")),
            revocation_endpoint: Some(format!("{base}/oauth/revoke")),
            scopes_supported: Vec::new(),
            grant_types_supported: texts(&["authorization_code", "refresh_token"]),
            code_challenge_methods_supported: texts(&[S256]),
            token_endpoint_auth_methods_supported: texts(&["none"]),
            client_id_metadata_document_supported: false,
            authorization_response_iss_parameter_supported: false,
        }
    }

    /// Returns why no MCP client could use it, if that is so.
    fn fault(&self) -> Option<String> {
        let is_url = |text: &String| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        // Clients open these addresses. A scheme such as `javascript:` must not get that far.
        let needed = [&self.issuer, &self.authorization_endpoint, &self.token_endpoint];
        let optional = [&self.registration_endpoint, &self.revocation_endpoint];
        if let Some(text) = needed.into_iter().chain(optional.into_iter().flatten()).find(|text| !is_url(text)) {
            return Some(format!("{text:?} is no URL of the web"));
        }
        let has_pkce = self.code_challenge_methods_supported.iter().any(|method| method == S256);
        (!has_pkce)
            .then(|| "it does not name S256 among its methods of PKCE, without which clients refuse it".to_owned())
    }
}

/// Authorization server that was found last, for all workers.
#[derive(Debug, Default)]
pub(super) struct Discovered(RwLock<Option<Arc<AuthorizationServer>>>);

impl Discovered {
    pub(super) fn get(&self) -> Option<Arc<AuthorizationServer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what was found before, and returns whether that is another.
    pub(super) fn set(&self, found: Option<AuthorizationServer>) -> bool {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = known.as_deref() != found.as_ref();
        // Metadata is read again and again, and only a change is worth a line in the log.
        if is_other {
            *known = found.map(Arc::new);
        }
        is_other
    }
}

pub(super) fn read_metadata(text: &str) -> Option<AuthorizationServer> {
    let server: AuthorizationServer = serde_json::from_str(text)
        .inspect_err(|error| log::debug!("what is at the place of the upstream's OAuth metadata is none: {error}"))
        .ok()?;
    match server.fault() {
        None => Some(server),
        Some(fault) => {
            log::warn!("the upstream's OAuth metadata can't be used: {fault}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn metadata() -> Value {
        json!({
            "issuer": "https://api.example.com",
            "authorization_endpoint": "https://login.example.com/authorize",
            "token_endpoint": "https://api.example.com/token",
            "code_challenge_methods_supported": ["plain", "S256"],
            "scopes_supported": ["tenant"],
            "client_id_metadata_document_supported": true,
            "something_else": {"a": 1},
        })
    }

    #[test]
    fn metadata_that_a_client_can_use_is_taken() {
        let server = read_metadata(&metadata().to_string()).unwrap();
        assert_eq!(server.token_endpoint, "https://api.example.com/token");
        assert!(server.client_id_metadata_document_supported && server.registration_endpoint.is_none());
    }

    #[test]
    fn metadata_that_no_client_could_use_is_none() {
        let changes: [(&str, Value); 7] = [
            ("issuer", json!(5)),
            ("issuer", json!("example.com")),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("token_endpoint", json!("/token")),
            ("registration_endpoint", json!("ftp://example.com")),
            ("code_challenge_methods_supported", json!(["plain"])),
            ("code_challenge_methods_supported", json!([])),
        ];
        for (member, value) in changes {
            let mut changed = metadata();
            changed[member] = value;
            assert_eq!(read_metadata(&changed.to_string()), None, "{changed}");
        }
        for text in ["", "<html>", "[]", "null"] {
            assert_eq!(read_metadata(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_a_change_is_one() {
        let (discovered, found) = (Discovered::default(), read_metadata(&metadata().to_string()));
        assert!(!discovered.set(None));
        assert!(discovered.set(found.clone()));
        assert!(!discovered.set(found.clone()));
        assert_eq!(discovered.get().as_deref(), found.as_ref());
        assert!(discovered.set(None) && discovered.get().is_none());
    }
}
