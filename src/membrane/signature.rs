//! Tokens whose signature can be checked here, because the workspace's secret is known.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    config::Auth,
    signing,
    token::{AccessToken, Claim},
};

/// The secret of one workspace, which vouches for that workspace's users and no others.
pub struct WorkspaceSecret {
    workspace: String,
    key: DecodingKey,
    validation: Validation,
}

impl WorkspaceSecret {
    /// Returns the secret of the settings, where they have one.
    #[must_use]
    pub fn of(settings: &Auth) -> Option<Self> {
        if settings.workspace_secret.is_empty() {
            return None;
        }
        signing::install();
        let mut validation = Validation::new(Algorithm::HS256);
        // HMAC alone: a token must not choose another kind of check for a secret that is shared.
        validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        validation.leeway = 0;
        validation.validate_nbf = true;
        // Membrane's tokens name nobody they are for, and need not end.
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Some(Self {
            workspace: settings.workspace_key.clone(),
            key: DecodingKey::from_secret(settings.workspace_secret.reveal().as_bytes()),
            validation,
        })
    }

    /// Returns the key of the workspace.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.workspace
    }

    /// Returns the user of a token that Membrane signed for a webhook. Such a token names its user `sub`, as no user's own
    /// token does.
    #[must_use]
    pub fn webhook_user(&self, token: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Claims {
            iss: String,
            sub: String,
        }
        let claims = decode::<Claims>(token, &self.key, &self.validation).ok()?.claims;
        (claims.iss == self.workspace && !claims.sub.is_empty()).then_some(claims.sub)
    }

    /// Returns whether the token names a user of this workspace and was signed with its secret, and is good now.
    #[must_use]
    pub fn vouches_for(&self, token: &AccessToken) -> bool {
        matches!(token.claim(), Claim::User { user, .. } if user.workspace() == self.workspace)
            && decode::<IgnoredAny>(token.secret().reveal(), &self.key, &self.validation).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn only_the_workspaces_own_good_tokens_are_vouched_for() {
        let env = [("MCP__AUTH__WORKSPACE_KEY", "w"), ("MCP__AUTH__WORKSPACE_SECRET", "s")];
        let env = env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let settings = load(&Sources { env, ..Sources::default() }).unwrap();
        let secret = WorkspaceSecret::of(&settings.auth).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let sign = |claims: &Value, key: &str, algorithm| {
            let key = EncodingKey::from_secret(key.as_bytes());
            let token = encode(&Header::new(algorithm), claims, &key).unwrap();
            AccessToken::parse(&token, UNIX_EPOCH).unwrap()
        };
        let good = json!({"id": "ann", "iss": "w", "exp": now + 1000});
        let cases = [
            (good.clone(), "s", Algorithm::HS256, true),
            (good.clone(), "s", Algorithm::HS384, true),
            (good.clone(), "s", Algorithm::HS512, true),
            (good, "other", Algorithm::HS256, false),
            (json!({"id": "ann", "iss": "w"}), "s", Algorithm::HS512, true),
            (json!({"tenantKey": "ann", "workspaceKey": "w"}), "s", Algorithm::HS512, true),
            (json!({"id": "ann", "iss": "v", "exp": now + 1000}), "s", Algorithm::HS256, false),
            (json!({"id": "ann", "iss": "w", "exp": now - 1}), "s", Algorithm::HS256, false),
            (json!({"id": "ann", "iss": "w", "nbf": now + 1000}), "s", Algorithm::HS256, false),
        ];
        for (claims, key, algorithm, vouched) in cases {
            let token = sign(&claims, key, algorithm);
            assert_eq!(secret.vouches_for(&token), vouched, "{claims} {key} {algorithm:?}");
        }
        let unsigned = "eyJhbGciOiJub25lIn0.eyJpZCI6ImFubiIsImlzcyI6IncifQ.";
        assert!(!secret.vouches_for(&AccessToken::parse(unsigned, UNIX_EPOCH).unwrap()));
    }
}
