//! Access tokens: what they look like and whom they claim to speak for.
//!
//! Reading a token proves nothing: a claim counts only once the upstream has accepted the very token.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    ids::UserKey,
    secret::{Fingerprint, Secret},
};

/// Beginning of personal access tokens, which are not decoded.
const PERSONAL: &str = "pat-";

/// A Membrane access token, as the caller sent it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken(Arc<Read>);

/// Token with what was read from it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    secret: Secret,
    fingerprint: Fingerprint,
    claim: Claim,
}

/// User that a token claims to speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A JWT that names its user.
    User {
        /// User that the token names.
        user: UserKey,
        /// When it ends, where it says so.
        expires_at: Option<SystemTime>,
    },
    /// A JWT that names its user, but not the workspace that the user is of. The upstream knows that.
    UserAlone {
        /// The user's id within the workspace.
        user: String,
        /// When it ends, where it says so.
        expires_at: Option<SystemTime>,
    },
    /// A personal access or OAuth token, which says nothing by itself.
    Opaque,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// The request carries no token at all.
    #[error("No token provided: send it as a header Authorization: Bearer TOKEN, or in the URL as ?token=TOKEN")]
    Missing,
    /// The `Authorization` header has another scheme, or none.
    #[error("the Authorization header must be Bearer TOKEN")]
    NotBearer,
    /// The text is neither a JWT nor an opaque token.
    #[error("Invalid token format")]
    Malformed,
    /// The token names no user: an admin token.
    #[error("The token names no user (an admin token can't be used here)")]
    WithoutUser,
    /// The token's `exp` has passed.
    #[error("The token has expired")]
    Expired,
    /// The upstream refused the token, with its message.
    #[error("The token was refused: {0}")]
    Refused(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    id: Option<Box<RawValue>>,
    tenant_key: Option<Box<RawValue>>,
    iss: Option<Box<RawValue>>,
    workspace_key: Option<Box<RawValue>>,
    exp: Option<Box<RawValue>>,
}

impl AccessToken {
    /// Reads a token at the time `now`.
    ///
    /// Three dot-separated parts are a JWT, whose user is `id` or `tenantKey` and whose workspace is `iss` or
    /// `workspaceKey`; any other text of the `b64token` form (RFC 6750 § 2.1) is opaque.
    ///
    /// # Errors
    /// [`TokenProblem`], where the text is no token, names nobody, or has expired.
    pub fn parse(text: &str, now: SystemTime) -> Result<Self, TokenProblem> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if text.is_empty() || !text.chars().all(allowed) {
            return Err(TokenProblem::Malformed);
        }
        let claim = match text.split('.').collect::<Vec<_>>().as_slice() {
            [_, payload, _] if !text.starts_with(PERSONAL) => read_claim(payload, now)?,
            _ => Claim::Opaque,
        };
        let secret = Secret::new(text);
        let fingerprint = secret.fingerprint();
        Ok(Self(Arc::new(Read { secret, fingerprint, claim })))
    }

    /// Returns the text of the token, as a secret.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// By what it can be remembered: that of its text.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Returns whether its time is over; an opaque token does not tell.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        match self.0.claim {
            Claim::User { expires_at, .. } | Claim::UserAlone { expires_at, .. } => {
                expires_at.is_some_and(|at| at <= now)
            }
            Claim::Opaque => false,
        }
    }

    /// Returns when it ends, where it says so.
    #[must_use]
    pub fn ends(&self) -> Option<SystemTime> {
        match self.0.claim {
            Claim::User { expires_at, .. } | Claim::UserAlone { expires_at, .. } => expires_at,
            Claim::Opaque => None,
        }
    }

    /// Returns whether its user has got it by signing in at the upstream. A JWT is made by an application for a user, who need have
    /// no login there, and a personal access token is copied.
    #[must_use]
    pub fn is_of_sign_in(&self) -> bool {
        self.0.claim == Claim::Opaque && !self.0.secret.reveal().starts_with(PERSONAL)
    }

    /// Returns the user that the token claims to speak for.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.0.claim
    }
}

fn read_claim(payload: &str, now: SystemTime) -> Result<Claim, TokenProblem> {
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).map_err(|_not_base64| TokenProblem::Malformed)?;
    let payload: Payload = serde_json::from_slice(&json).map_err(|_not_claims| TokenProblem::Malformed)?;
    let user = one_of(payload.id, payload.tenant_key)?.ok_or(TokenProblem::WithoutUser)?;
    let workspace = one_of(payload.iss, payload.workspace_key)?;
    let expires_at = match text_of(payload.exp)? {
        None => None,
        Some(exp) => {
            let seconds = exp.parse().ok().filter(|exp: &f64| !exp.is_nan()).ok_or(TokenProblem::Malformed)?;
            let exp = Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|_no_time| TokenProblem::Malformed)?;
            UNIX_EPOCH.checked_add(exp)
        }
    };
    if expires_at.is_some_and(|at| at <= now) {
        return Err(TokenProblem::Expired);
    }
    Ok(match workspace {
        Some(workspace) => Claim::User { user: UserKey::new(&workspace, &user), expires_at },
        None => Claim::UserAlone { user, expires_at },
    })
}

/// Returns a claim that has an older and a newer name. A token in which the two differ could mean one thing here and
/// another upstream.
fn one_of(older: Option<Box<RawValue>>, newer: Option<Box<RawValue>>) -> Result<Option<String>, TokenProblem> {
    let named = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (named(text_of(older)?), named(text_of(newer)?)) {
        (Some(older), Some(newer)) if older != newer => Err(TokenProblem::Malformed),
        (older, newer) => Ok(older.or(newer)),
    }
}

/// Reads a claim that is a text, or a number, which back ends with numeric ids sign as such.
fn text_of(claim: Option<Box<RawValue>>) -> Result<Option<String>, TokenProblem> {
    let Some(claim) = claim else { return Ok(None) };
    match claim.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(claim.get()).map(Some).map_err(|_no_text| TokenProblem::Malformed),
        Some(b'-' | b'0'..=b'9') => Ok(Some(claim.get().to_owned())),
        _ => Err(TokenProblem::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_token_says_whom_it_speaks_for_or_why_it_cannot() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let ann = |exp: Option<u64>| {
            Ok(Claim::User {
                user: UserKey::new("w", "ann"),
                expires_at: exp.map(|s| UNIX_EPOCH + Duration::from_secs(s)),
            })
        };
        let cases = [
            (jwt(r#"{"id":"ann","iss":"w","exp":2000}"#), ann(Some(2000))),
            (jwt(r#"{"tenantKey":"ann","workspaceKey":"w"}"#), ann(None)),
            (jwt(r#"{"id":"ann","workspaceKey":"w"}"#), ann(None)),
            (jwt(r#"{"id":"ann","iss":"w","exp":999}"#), Err(TokenProblem::Expired)),
            (jwt(r#"{"id":"ann","iss":"w","exp":1e300}"#), Err(TokenProblem::Malformed)),
            (jwt(r#"{"id":"ann","tenantKey":"ann","iss":"w","workspaceKey":"w"}"#), ann(None)),
            (jwt(r#"{"id":"ann","tenantKey":"bob","iss":"w"}"#), Err(TokenProblem::Malformed)),
            (jwt(r#"{"id":"ann","iss":"w","workspaceKey":"v"}"#), Err(TokenProblem::Malformed)),
            (jwt(r#"{"isAdmin":true,"iss":"w"}"#), Err(TokenProblem::WithoutUser)),
            (jwt(r#"{"id":"","iss":"w"}"#), Err(TokenProblem::WithoutUser)),
            (jwt(r#"{"id":"ann"}"#), Ok(Claim::UserAlone { user: "ann".to_owned(), expires_at: None })),
            (jwt(r#"{"tenantKey":"ann","exp":999}"#), Err(TokenProblem::Expired)),
            (
                jwt(r#"{"id":12345678901234567890123,"iss":7,"exp":"2000"}"#),
                Ok(Claim::User {
                    user: UserKey::new("7", "12345678901234567890123"),
                    expires_at: Some(UNIX_EPOCH + Duration::from_secs(2000)),
                }),
            ),
            (jwt(r#"{"id":"7","tenantKey":7,"iss":"w","exp":null,"name":{"a":[]}}"#), {
                Ok(Claim::User { user: UserKey::new("w", "7"), expires_at: None })
            }),
            (jwt(r#"{"id":true,"iss":"w"}"#), Err(TokenProblem::Malformed)),
            (jwt(r#"{"id":["ann"],"tenantKey":"bob","iss":"w"}"#), Err(TokenProblem::Malformed)),
            (jwt(r#"{"id":"ann","iss":"w","exp":"soon"}"#), Err(TokenProblem::Malformed)),
            (jwt(r#"{"id":"ann","iss":"w","exp":"NaN"}"#), Err(TokenProblem::Malformed)),
            (jwt("no json"), Err(TokenProblem::Malformed)),
            ("a.!.c".into(), Err(TokenProblem::Malformed)),
            ("two words".into(), Err(TokenProblem::Malformed)),
            (String::new(), Err(TokenProblem::Malformed)),
            ("pat-user-a".into(), Ok(Claim::Opaque)),
            ("not-a-jwt".into(), Ok(Claim::Opaque)),
        ];
        for (text, expected) in cases {
            let claim = AccessToken::parse(&text, now).map(|token| token.claim().clone());
            assert_eq!(claim, expected, "token {text:?}");
        }
    }
}
