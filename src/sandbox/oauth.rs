//! The sandbox's authorization server: it lets everybody in, as one user, after the motions of OAuth 2.1 with PKCE.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use actix_web::{
    HttpResponse,
    http::header::LOCATION,
    web::{Data, Form, Query},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Shared, api::Failure, token};

/// The user as whom everybody is let in.
const USER: &str = "oauth-user";

/// The challenges of the codes that have been given out.
#[derive(Debug, Default)]
pub struct Codes(Mutex<HashMap<String, String>>);

impl Codes {
    fn give_out(&self, challenge: String) -> String {
        let code = Uuid::new_v4().to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(code.clone(), challenge);
        code
    }

    /// A code is good once.
    fn redeem(&self, code: &str, verifier: &str) -> bool {
        let challenge = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(code);
        challenge.is_some_and(|challenge| challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)))
    }
}

fn refuse(error: &str) -> Failure {
    Failure::new(400, json!({"error": error}))
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
    let code = shared.codes.give_out(query.code_challenge);
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
    if !shared.codes.redeem(&form.code, &form.code_verifier) {
        return Err(refuse("invalid_grant"));
    }
    let token = token::mint(USER, &shared.secret).map_err(|_unsigned| refuse("server_error"))?;
    Ok(HttpResponse::Ok().json(json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": token::LIFE.as_secs(),
        "scope": "tenant",
    })))
}
