//! OAuth discovery for clients that have no token yet: where to get one for this server.
//!
//! Membrane's authorization server issues the tokens. This server describes itself as a protected resource (RFC 9728) and
//! points to the endpoints that Membrane's own metadata names (RFC 8414); only the authorization request passes through here,
//! because Membrane takes one scope where clients may ask for several.

use std::sync::Arc;

use actix_web::{
    Error as ActixError, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HeaderValue, LOCATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    web::{Data, Path},
};
use serde_json::{Value, json};

use super::{
    base,
    reply::{self, no_such_path},
    worker::Worker,
};
use crate::{config::Discovery, membrane::AuthorizationServer, protocol::lifecycle::SERVER_INFO};

/// The scope of a user's own access: the one that is offered.
const SCOPE: &str = "tenant";

/// The scope by which clients ask for refresh tokens. They find it in the metadata of the authorization server; a resource needs
/// none (MCP 2026-07-28, basic/authorization § Refresh Tokens).
const OFFLINE_ACCESS: &str = "offline_access";

/// The scopes that Membrane knows, strongest first.
const SCOPES: [&str; 2] = ["platform-user", SCOPE];

/// Returns the authorization server that clients are led to, if they are.
pub(super) fn offered(worker: &Worker) -> Option<Arc<AuthorizationServer>> {
    let settings = &worker.settings;
    let found = || worker.runtime.upstream().authorization_server();
    match settings.oauth.enabled {
        Discovery::Off => None,
        Discovery::Auto => found(),
        Discovery::On => {
            Some(found().unwrap_or_else(|| Arc::new(AuthorizationServer::usual(&settings.membrane.base_url))))
        }
    }
}

/// Returns whether the scopes of a server are Membrane's, as they are where it names none.
fn has_usual_scopes(server: &AuthorizationServer) -> bool {
    server.scopes_supported.is_empty() || server.scopes_supported.iter().any(|scope| scope == SCOPE)
}

/// Returns the scopes that the authorization server gives out.
fn scopes(server: &AuthorizationServer) -> Vec<&str> {
    match has_usual_scopes(server) {
        true => vec![SCOPE],
        false => server.scopes_supported.iter().map(String::as_str).collect(),
    }
}

/// Returns the scopes that a token for this server is to have.
fn scopes_of_resource(server: &AuthorizationServer) -> Vec<&str> {
    scopes(server).into_iter().filter(|scope| *scope != OFFLINE_ACCESS).collect()
}

/// Returns the scopes that a token for this server is to have, as an authorization request names them.
pub(super) fn scope(server: &AuthorizationServer) -> String {
    scopes_of_resource(server).join(" ")
}

/// `GET /.well-known/oauth-protected-resource[/mcp|/sse]`: this server as a resource (RFC 9728 § 3).
pub(super) async fn resource(request: HttpRequest, worker: Data<Worker>, path: Option<Path<String>>) -> HttpResponse {
    let Some(server) = offered(&worker) else { return no_such_path(request).await };
    let base = base::of(&request, &worker);
    // A client that comes back with the name of who issued its code compares that with the name that it was given here (RFC 9207),
    // so it is given the issuer's own.
    let issuer = match server.authorization_response_iss_parameter_supported {
        true => &server.issuer,
        false => &base,
    };
    let endpoint = path.map_or_else(|| "mcp".to_owned(), Path::into_inner);
    document(&json!({
        "resource": format!("{base}/{endpoint}"),
        "authorization_servers": [issuer],
        "scopes_supported": scopes_of_resource(&server),
        "bearer_methods_supported": ["header"],
        "resource_name": SERVER_INFO.name,
    }))
}

/// `GET /.well-known/oauth-authorization-server`: who issues tokens (RFC 8414 § 3).
pub(super) async fn authorization_server(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    let Some(server) = offered(&worker) else { return no_such_path(request).await };
    document(&metadata(&base::of(&request, &worker), &server))
}

/// `GET /.well-known/openid-configuration`: the same, for clients that look for it by this name alone where this server is
/// below a path. They refuse it without the members that `OpenID` Connect Discovery 1.0 § 3 requires, though they ask for no
/// id token.
pub(super) async fn openid_configuration(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    let Some(server) = offered(&worker) else { return no_such_path(request).await };
    let base = base::of(&request, &worker);
    let mut metadata = metadata(&base, &server);
    if let Value::Object(members) = &mut metadata {
        let keys = format!("{base}/.well-known/jwks.json");
        members.insert("jwks_uri".to_owned(), keys.into());
        members.insert("subject_types_supported".to_owned(), json!(["public"]));
        members.insert("id_token_signing_alg_values_supported".to_owned(), json!(["RS256"]));
    }
    document(&metadata)
}

/// `GET /.well-known/jwks.json`: the keys of id tokens, of which there are none.
pub(super) async fn keys(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    match offered(&worker) {
        Some(_) => document(&json!({"keys": []})),
        None => no_such_path(request).await,
    }
}

/// Returns the metadata of an authorization server as clients of this one get it (RFC 8414 § 2). It is issued by this server,
/// through which the authorization request goes.
fn metadata(base: &str, server: &AuthorizationServer) -> Value {
    let or = |texts: &[String], usual: &[&str]| match texts {
        [] => json!(usual),
        texts => json!(texts),
    };
    let mut metadata = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        "token_endpoint": server.token_endpoint,
        "response_types_supported": ["code"],
        // The defaults of RFC 8414, where the server does not say.
        "grant_types_supported": or(&server.grant_types_supported, &["authorization_code"]),
        "code_challenge_methods_supported": server.code_challenge_methods_supported,
        "token_endpoint_auth_methods_supported": or(&server.token_endpoint_auth_methods_supported, &["client_secret_basic"]),
        "scopes_supported": scopes(server),
    });
    if let Value::Object(members) = &mut metadata {
        let endpoints = [
            ("registration_endpoint", &server.registration_endpoint),
            ("revocation_endpoint", &server.revocation_endpoint),
        ];
        for (name, endpoint) in endpoints {
            members.extend(endpoint.as_ref().map(|endpoint| (name.to_owned(), json!(endpoint))));
        }
        if server.client_id_metadata_document_supported {
            members.insert("client_id_metadata_document_supported".to_owned(), json!(true));
        }
    }
    metadata
}

/// Returns a document that depends on how it was asked for, so that no cache may keep it.
fn document(content: &Value) -> HttpResponse {
    let mut response = reply::json_value(content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /oauth/authorize`: goes on to Membrane's, with one scope.
pub(super) async fn authorize(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    let Some(server) = offered(&worker) else { return no_such_path(request).await };
    let query = match has_usual_scopes(&server) {
        true => with_one_scope(request.query_string()),
        false => request.query_string().to_owned(),
    };
    let endpoint = &server.authorization_endpoint;
    let separator = if endpoint.contains('?') { '&' } else { '?' };
    HttpResponse::Found().insert_header((LOCATION, format!("{endpoint}{separator}{query}"))).finish()
}

/// Returns the same query, asking for the strongest of the scopes that Membrane knows.
fn with_one_scope(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let asked = |scope: &&&str| {
        let mut values = pairs.iter().filter(|(name, _)| name == "scope").flat_map(|(_, value)| value.split(' '));
        values.any(|value| value == **scope)
    };
    let scope = (*SCOPES.iter().find(asked).unwrap_or(&SCOPE)).to_owned();
    pairs.retain(|(name, _)| name != "scope");
    pairs.push(("scope".to_owned(), scope));
    // Pairs of texts always encode.
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

/// Tells who is not let in where to read how to be (RFC 9728 § 5.1). It surrounds the routes unless that is turned off.
///
/// # Errors
/// Those of the service around which it stands.
pub async fn point_to_metadata<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, ActixError> {
    let mut response = next.call(request).await?;
    if response.status() == StatusCode::UNAUTHORIZED
        && let Some(pointer) = pointer(response.request())
        && let Some(challenge) = response.headers_mut().get_mut(WWW_AUTHENTICATE)
        && let Ok(text) = challenge.to_str()
        && let Ok(value) = HeaderValue::from_str(&format!("{text}, {pointer}"))
    {
        *challenge = value;
    }
    Ok(response)
}

fn pointer(request: &HttpRequest) -> Option<String> {
    let worker = request.app_data::<Data<Worker>>()?;
    let server = offered(worker)?;
    let endpoint = if request.path().starts_with("/sse") { "sse" } else { "mcp" };
    let (base, scopes) = (base::of(request, worker), scope(&server));
    Some(format!("resource_metadata=\"{base}/.well-known/oauth-protected-resource/{endpoint}\", scope=\"{scopes}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_scope_is_asked_for_whatever_the_client_wants() {
        let cases = [
            ("", "scope=tenant"),
            ("state=a%26b&scope=tenant", "state=a%26b&scope=tenant"),
            ("scope=tenant+platform-user&x=1", "x=1&scope=platform-user"),
            ("scope=openid%20tenant", "scope=tenant"),
            ("scope=openid", "scope=tenant"),
            ("scope=tenant&scope=platform-user", "scope=platform-user"),
        ];
        for (query, expected) in cases {
            assert_eq!(with_one_scope(query), expected, "{query}");
        }
    }
}
