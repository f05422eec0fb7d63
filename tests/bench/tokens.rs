//! Tokens for the sandbox of a benchmark: unlike those that it mints itself, they let its faults be seen.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

/// Key of the sandbox.
pub const SECRET: &str = "the key of the bench's sandbox";

/// Returns a token of a user that is good for hours.
pub fn token(user: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"id": user, "name": user, "iss": "sandbox", "exp": now + 36_000});
    integration_app_mcp_server::signing::install();
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}
