//! The sandbox's authorization server: it lets everybody in, as one user, after the motions of OAuth 2.1 with PKCE.

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Form, Query},
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{failure::Failure, shared::Shared, token};

/// The user as whom everybody is let in.
const USER: &str = "oauth-user";

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
