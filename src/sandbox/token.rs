//! The sandbox's tokens: JWTs of the form that Membrane's customers sign, HS256.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{secret::Secret, signing};

/// The key of the sandbox's only workspace.
pub const WORKSPACE: &str = "sandbox";

/// Beginning of OAuth tokens.
const OAUTH: &str = "oauth-";

/// How long a token is good.
pub const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Key of the app that users of minted tokens have yet to connect, so that they can try how that goes.
pub const UNCONNECTED: &str = "notion";

/// How long the token of a webhook is good, which is sent at once.
const WEBHOOK_LIFE: Duration = Duration::from_secs(60);

/// Life of the key that signs a sandbox's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLife {
    /// The settings name the key, or it is in a file: tokens outlive the sandbox.
    ForGood,
    /// The key was drawn, and no file could take it.
    WhileItRuns,
}

/// Claims of a sandbox token, in the names of either generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Id of the user within the workspace.
    #[serde(alias = "tenantKey")]
    pub id: String,
    /// Name of the user, for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Key of the workspace, always `sandbox`.
    #[serde(alias = "workspaceKey")]
    pub iss: String,
    /// When it ends, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// Further members that the application says of its user.
    #[serde(default)]
    pub fields: Fields,
}

/// The fields that the sandbox reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Fields {
    /// The keys of the integrations that the user has connected at first, each as often as the user has accounts there; all
    /// but the extra ones where this is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<String>>,
    /// The keys of integrations that the user has not connected at first, where `connections` is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconnected: Vec<String>,
}

impl Fields {
    /// Returns how many accounts of an integration the user has connected at first.
    #[must_use]
    pub fn accounts(&self, key: &str, is_extra: bool) -> usize {
        match &self.connections {
            Some(keys) => keys.iter().filter(|known| *known == key).count(),
            None => usize::from(!is_extra && !self.unconnected.iter().any(|known| known == key)),
        }
    }
}

/// Key of the app whose actions fail on purpose. It is for tests, so minted tokens leave it out until it is connected.
const FAULTS: &str = "sandbox-faults";

/// File that keeps the key of a sandbox, in the folder of the server's state.
const SECRET_FILE: &str = "sandbox-secret";

/// Characters of a key at least; a file with less is none that was written here.
const MIN_SECRET: usize = 16;

/// Returns the key that a sandbox has kept in a folder, if one has.
#[must_use]
pub fn kept_secret(folder: &Path) -> Option<Secret> {
    let text = fs::read_to_string(folder.join(SECRET_FILE)).ok()?;
    Some(text.trim()).filter(|secret| secret.len() >= MIN_SECRET).map(Secret::new)
}

/// Returns the key that a folder keeps. Without one, a key is drawn and kept there, if the folder is named and can be written.
#[must_use]
pub fn draw_and_keep(folder: &Path) -> (Secret, KeyLife) {
    if folder.as_os_str().is_empty() {
        return (draw_secret(), KeyLife::WhileItRuns);
    }
    if let Some(secret) = kept_secret(folder) {
        return (secret, KeyLife::ForGood);
    }
    let secret = draw_secret();
    let keep = || {
        fs::create_dir_all(folder)?;
        // For the server's own user alone: whoever has the key can be any user of the sandbox.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(SECRET_FILE))?;
        file.write_all(secret.reveal().as_bytes())
    };
    match keep() {
        Ok(()) => (secret, KeyLife::ForGood),
        Err(error) => {
            log::warn!("the sandbox's key can't be kept in {}: {error}", folder.display());
            (secret, KeyLife::WhileItRuns)
        }
    }
}

/// Draws a new key for signing tokens.
#[must_use]
pub fn draw_secret() -> Secret {
    Secret::new(&format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))
}

/// Mints a token for a user.
///
/// # Errors
/// Where the claims can't be signed.
pub fn mint(user: &str, secret: &Secret) -> jsonwebtoken::errors::Result<String> {
    let claims = Claims {
        id: user.to_owned(),
        name: Some(user.to_owned()),
        iss: WORKSPACE.to_owned(),
        exp: end(LIFE),
        fields: Fields { connections: None, unconnected: [UNCONNECTED, FAULTS].map(str::to_owned).to_vec() },
    };
    sign(&claims, secret)
}

/// Mints the token by which a webhook on a user shows that it comes from the workspace.
///
/// # Errors
/// Where the claims can't be signed.
pub fn mint_webhook(user: &str, secret: &Secret) -> jsonwebtoken::errors::Result<String> {
    sign(&json!({"iss": WORKSPACE, "sub": user, "exp": end(WEBHOOK_LIFE), "fields": {}}), secret)
}

fn end(life: Duration) -> Option<u64> {
    let end = SystemTime::now() + life;
    end.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn sign(claims: &impl Serialize, secret: &Secret) -> jsonwebtoken::errors::Result<String> {
    signing::install();
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.reveal().as_bytes()))
}

/// Makes an OAuth token of a JWT, which says nothing to whoever reads it.
#[must_use]
pub fn opaque(token: &str) -> String {
    [OAUTH, &token.replace('.', "~")].concat()
}

/// Verifies a token, an OAuth token, or a personal access token, which is one behind `pat-`.
///
/// # Errors
/// What is wrong, in the words that the API would use.
pub fn verify(token: &str, secret: &Secret) -> Result<Claims, &'static str> {
    signing::install();
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    validation.required_spec_claims.clear();
    let token = match token.strip_prefix(OAUTH) {
        Some(opaque) => &opaque.replace('~', "."),
        None => token.strip_prefix("pat-").unwrap_or(token),
    };
    let key = DecodingKey::from_secret(secret.reveal().as_bytes());
    match decode::<Claims>(token, &key, &validation) {
        Ok(token) if token.claims.iss == WORKSPACE => Ok(token.claims),
        Err(error) if *error.kind() == ErrorKind::ExpiredSignature => Err("Access token is expired."),
        _ => Err("Access token is invalid."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_with_the_key_is_good() {
        let secret = draw_secret();
        let token = mint("ann", &secret).unwrap();
        assert_eq!(verify(&token, &secret).unwrap().id, "ann");
        assert_eq!(verify(&format!("pat-{token}"), &secret).unwrap().id, "ann");
        assert!(verify(&token, &draw_secret()).is_err());
        assert!(verify("a.b.c", &secret).is_err());
    }

    #[test]
    fn both_generations_of_claims_are_read() {
        signing::install();
        let secret = draw_secret();
        let key = EncodingKey::from_secret(secret.reveal().as_bytes());
        let cases = [
            (json!({"id": "ann", "iss": WORKSPACE}), Some("ann")),
            (json!({"tenantKey": "ann", "workspaceKey": WORKSPACE}), Some("ann")),
            (json!({"id": "ann", "iss": "elsewhere"}), None),
            (json!({"tenantKey": "ann", "workspaceKey": "elsewhere"}), None),
            (json!({"tenantKey": "ann"}), None),
        ];
        for (claims, user) in cases {
            let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
            let verified = verify(&token, &secret).ok().map(|claims| claims.id);
            assert_eq!(verified.as_deref(), user, "{claims}");
        }
    }
}
