//! This server as an OAuth client of the upstream's authorization server, by which it learns who sits at a browser.
//!
//! The token that it gets is asked for its user once, and is not kept.

use awc::http::Method;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::MembraneClient;
use crate::{
    membrane::{AuthorizationServer, MembraneError},
    protocol::{json, lifecycle::SERVER_INFO},
    secret::Secret,
};

/// Answer to a registration (RFC 7591 § 3.2.1).
#[derive(Deserialize)]
struct Registered {
    client_id: String,
}

/// Answer to a code (RFC 6749 § 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

/// Sign-in of a user: the same facts begin it and end it.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// Id under which this server is registered.
    pub client: &'a str,
    /// Address of this server to which the user comes back.
    pub redirect: &'a str,
    /// Secret of this sign-in, without which its code is worth nothing (RFC 7636).
    pub verifier: &'a Secret,
}

impl SignIn<'_> {
    /// Returns the page on which the user signs in and says yes to `scope`.
    #[must_use]
    pub fn page(&self, server: &AuthorizationServer, scope: &str, state: &str) -> Option<String> {
        let mut page = Url::parse(&server.authorization_endpoint).ok()?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.reveal()));
        page.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", self.client),
            ("redirect_uri", self.redirect),
            ("scope", scope),
            ("state", state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        Some(page.into())
    }
}

impl MembraneClient {
    /// Registers this server as a client whose users come back to `redirect` (RFC 7591); gives its id.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn register(&self, server: &AuthorizationServer, redirect: &str) -> Result<String, MembraneError> {
        #[derive(Serialize)]
        struct Body<'a> {
            client_name: &'a str,
            redirect_uris: [&'a str; 1],
            grant_types: [&'a str; 1],
            response_types: [&'a str; 1],
            token_endpoint_auth_method: &'a str,
        }
        let body = json::to_string(&Body {
            // For the page on which users say yes.
            client_name: SERVER_INFO.name,
            redirect_uris: [redirect],
            grant_types: ["authorization_code"],
            response_types: ["code"],
            token_endpoint_auth_method: "none",
        });
        let path = self.upstream.registration_path(server).ok_or_else(elsewhere)?;
        let answer = self.ask_publicly(Method::POST, &path, Some(("application/json", body))).await?;
        let answer = answer.and_then(|answer| serde_json::from_str::<Registered>(&answer).ok());
        answer.map(|answer| answer.client_id).ok_or_else(|| MembraneError::Malformed("no client id".to_owned()))
    }

    /// Redeems the code of a sign-in (RFC 6749 § 4.1.3); gives the user's token, or nothing where the code is none.
    ///
    /// # Errors
    /// [`MembraneError`].
    pub async fn redeem(
        &self,
        server: &AuthorizationServer,
        sign_in: &SignIn<'_>,
        code: &str,
    ) -> Result<Option<Secret>, MembraneError> {
        let form = serde_urlencoded::to_string([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", sign_in.redirect),
            ("client_id", sign_in.client),
            ("code_verifier", sign_in.verifier.reveal()),
        ]);
        // Pairs of texts always encode.
        let form = form.unwrap_or_default();
        let path = self.upstream.own_path(&server.token_endpoint).ok_or_else(elsewhere)?;
        let form = Some(("application/x-www-form-urlencoded", form));
        let answer = self.ask_publicly(Method::POST, &path, form).await?;
        // Dropped with the answer, which is neither logged nor kept.
        let answer = answer.and_then(|answer| serde_json::from_str::<Granted>(&answer).ok());
        Ok(answer.map(|answer| Secret::new(&answer.access_token)))
    }
}

fn elsewhere() -> MembraneError {
    MembraneError::Malformed("an authorization server on another host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_asked_as_the_authorization_server_takes_it() {
        let mut server = AuthorizationServer::usual("https://api.example.com");
        server.authorization_endpoint.push_str("?tenant=a");
        // RFC 7636, appendix B.
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let sign_in = SignIn { client: "c&1", redirect: "https://mcp.example/connect/signed-in", verifier: &verifier };
        let page = sign_in.page(&server, "tenant", "sealed").unwrap();
        assert_eq!(
            page,
            "https://api.example.com/oauth/authorize?tenant=a&response_type=code&client_id=c%261\
             &redirect_uri=https%3A%2F%2Fmcp.example%2Fconnect%2Fsigned-in&scope=tenant&state=sealed\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        );
    }
}
