//! The sandbox's authorization server: it lets everybody in, as one user, after the motions of OAuth 2.1 with PKCE.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Form, Query},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Shared, failure::Failure, token};

/// The user as whom everybody is let in.
const USER: &str = "oauth-user";

/// How long a code is good: the longest that OAuth recommends (RFC 6749 § 4.1.2).
const CODE_LIFE: Duration = Duration::from_secs(600);

/// Codes that may wait to be redeemed. Anybody may ask for one, so those beyond are refused until some have ended.
const MAX_CODES: usize = 10_000;

/// The challenges of the codes that have been given out, and when.
#[derive(Debug, Default)]
pub struct Codes(Mutex<HashMap<String, (String, Instant)>>);

impl Codes {
    /// Draws a code, unless too many are waiting.
    fn give_out(&self, challenge: String, now: Instant) -> Option<String> {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= MAX_CODES {
            codes.retain(|_, (_, since)| is_good(*since, now));
        }
        if codes.len() >= MAX_CODES {
            return None;
        }
        let code = Uuid::new_v4().to_string();
        codes.insert(code.clone(), (challenge, now));
        Some(code)
    }

    /// Takes a code, which is good once and not for long.
    fn redeem(&self, code: &str, verifier: &str, now: Instant) -> bool {
        let given_out = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(code);
        given_out.is_some_and(|(challenge, since)| {
            is_good(since, now) && challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
        })
    }
}

fn is_good(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < CODE_LIFE
}

fn refuse(error: &str) -> Failure {
    Failure::new(400, json!({"error": error}))
}

/// `GET /.well-known/oauth-authorization-server`: where each step is done, as Membrane tells it. Scopes are not named there.
pub(super) async fn metadata(request: HttpRequest) -> HttpResponse {
    let base = format!("http://{}", request.connection_info().host());
    HttpResponse::Ok().json(json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        "token_endpoint": format!("{base}/oauth/token"),
        "registration_endpoint": format!("{base}/oauth/register"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "client_id_metadata_document_supported": true,
    }))
}

/// `POST /oauth/register`: any client may (RFC 7591).
pub(super) async fn register(client: actix_web::web::Json<Value>) -> HttpResponse {
    let mut client = client.into_inner();
    if let Some(client) = client.as_object_mut() {
        client.insert("client_id".to_owned(), json!(Uuid::new_v4()));
    }
    HttpResponse::Created().json(client)
}

#[derive(Deserialize)]
pub(super) struct Authorize {
    response_type: String,
    redirect_uri: String,
    code_challenge: String,
    code_challenge_method: String,
    scope: String,
    #[serde(default)]
    state: Option<String>,
}

/// `GET /oauth/authorize`: the user says yes.
pub(super) async fn authorize(shared: Data<Shared>, query: Query<Authorize>) -> Result<HttpResponse, Failure> {
    let query = query.into_inner();
    if query.response_type != "code" || query.code_challenge_method != "S256" {
        return Err(refuse("unsupported_response_type"));
    }
    if !["tenant", "platform-user"].contains(&query.scope.as_str()) {
        return Err(refuse("invalid_scope"));
    }
    let code = shared.codes.give_out(query.code_challenge, Instant::now());
    let code = code.ok_or_else(|| refuse("temporarily_unavailable"))?;
    let mut answer = vec![("code", code)];
    answer.extend(query.state.map(|state| ("state", state)));
    // Pairs of texts always encode.
    let answer = serde_urlencoded::to_string(answer).unwrap_or_default();
    let separator = if query.redirect_uri.contains('?') { '&' } else { '?' };
    Ok(HttpResponse::Found().insert_header((LOCATION, format!("{}{separator}{answer}", query.redirect_uri))).finish())
}

#[derive(Deserialize)]
pub(super) struct Redeem {
    grant_type: String,
    code: String,
    code_verifier: String,
}

/// `POST /oauth/token`: a code for a token.
pub(super) async fn redeem(shared: Data<Shared>, form: Form<Redeem>) -> Result<HttpResponse, Failure> {
    if form.grant_type != "authorization_code" {
        return Err(refuse("unsupported_grant_type"));
    }
    if !shared.codes.redeem(&form.code, &form.code_verifier, Instant::now()) {
        return Err(refuse("invalid_grant"));
    }
    let token = token::mint(USER, &shared.secret).map_err(|_unsigned| refuse("server_error"))?;
    Ok(HttpResponse::Ok().json(json!({
        "access_token": token::opaque(&token),
        "token_type": "Bearer",
        "expires_in": token::LIFE.as_secs(),
        "scope": "tenant",
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_for_ten_minutes() {
        let (codes, start) = (Codes::default(), Instant::now());
        let challenge = || URL_SAFE_NO_PAD.encode(Sha256::digest("verifier"));
        let give_out = || codes.give_out(challenge(), start).unwrap();
        let code = give_out();
        assert!(!codes.redeem("another", "verifier", start));
        assert!(codes.redeem(&code, "verifier", start + Duration::from_secs(599)));
        assert!(!codes.redeem(&code, "verifier", start), "once");
        assert!(!codes.redeem(&give_out(), "verifier", start + CODE_LIFE), "its time is over");
        let code = give_out();
        assert!(!codes.redeem(&code, "wrong", start) && !codes.redeem(&code, "verifier", start), "one guess");
    }

    #[test]
    fn codes_that_nobody_redeems_do_not_pile_up() {
        let (codes, start) = (Codes::default(), Instant::now());
        for _ in 0..MAX_CODES {
            assert!(codes.give_out(String::new(), start).is_some());
        }
        assert!(codes.give_out(String::new(), start).is_none());
        assert!(codes.give_out(String::new(), start + CODE_LIFE).is_some());
        assert_eq!(codes.0.lock().unwrap().len(), 1);
    }
}
