//! OAuth discovery for clients that have no token yet: where to get one for this server.
//!
//! Membrane's authorization server issues the tokens. This server describes itself as a protected resource (RFC 9728) and
//! points to Membrane's endpoints (RFC 8414); only the authorization request passes through here, because Membrane takes one
//! scope where clients may ask for several.

use std::sync::Once;

use actix_web::{
    Error as ActixError, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HOST, HeaderValue, LOCATION, WWW_AUTHENTICATE},
    },
    middleware::Next,
    web::{Data, Path},
};
use serde_json::{Value, json};

use super::{Worker, address, no_such_path, reply};

/// The scope of a user's own access: the one that is offered.
const SCOPE: &str = "tenant";

/// The scopes that Membrane knows, strongest first.
const SCOPES: [&str; 2] = ["platform-user", SCOPE];

/// `GET /.well-known/oauth-protected-resource[/mcp|/sse]`: this server as a resource (RFC 9728 § 3).
pub(super) async fn resource(request: HttpRequest, worker: Data<Worker>, path: Option<Path<String>>) -> HttpResponse {
    if !worker.settings.oauth.enabled {
        return no_such_path(request).await;
    }
    let base = base(&request, &worker);
    let endpoint = path.map_or_else(|| "mcp".to_owned(), Path::into_inner);
    document(&json!({
        "resource": format!("{base}/{endpoint}"),
        "authorization_servers": [base],
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"],
        "resource_name": "Integration App MCP Server",
    }))
}

/// `GET /.well-known/oauth-authorization-server`: who issues tokens (RFC 8414 § 3).
pub(super) async fn authorization_server(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    if !worker.settings.oauth.enabled {
        return no_such_path(request).await;
    }
    document(&issuer(&request, &worker))
}

/// `GET /.well-known/openid-configuration`: the same, for clients that look for it by this name alone where this server is
/// below a path. They refuse it without the members that `OpenID` Connect Discovery 1.0 § 3 requires, though they ask for no
/// id token.
pub(super) async fn openid_configuration(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    if !worker.settings.oauth.enabled {
        return no_such_path(request).await;
    }
    let mut issuer = issuer(&request, &worker);
    if let Value::Object(members) = &mut issuer {
        let keys = format!("{}/.well-known/jwks.json", base(&request, &worker));
        members.insert("jwks_uri".to_owned(), keys.into());
        members.insert("subject_types_supported".to_owned(), json!(["public"]));
        members.insert("id_token_signing_alg_values_supported".to_owned(), json!(["RS256"]));
    }
    document(&issuer)
}

/// `GET /.well-known/jwks.json`: the keys of id tokens, of which there are none.
pub(super) async fn keys(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    match worker.settings.oauth.enabled {
        true => document(&json!({"keys": []})),
        false => no_such_path(request).await,
    }
}

fn issuer(request: &HttpRequest, worker: &Worker) -> Value {
    let base = base(request, worker);
    let membrane = worker.settings.membrane.base_url.trim_end_matches('/');
    json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        "token_endpoint": format!("{membrane}/oauth/token"),
        "registration_endpoint": format!("{membrane}/oauth/register"),
        "revocation_endpoint": format!("{membrane}/oauth/revoke"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": [SCOPE],
    })
}

/// Returns a document that depends on how it was asked for, so that no cache may keep it.
fn document(content: &Value) -> HttpResponse {
    let mut response = reply::json_value(content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /oauth/authorize`: goes on to Membrane's, with one scope.
pub(super) async fn authorize(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    if !worker.settings.oauth.enabled {
        return no_such_path(request).await;
    }
    let membrane = worker.settings.membrane.base_url.trim_end_matches('/');
    let query = with_one_scope(request.query_string());
    HttpResponse::Found().insert_header((LOCATION, format!("{membrane}/oauth/authorize?{query}"))).finish()
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

/// Tells who is not let in where to read how to be (RFC 9728 § 5.1). It surrounds the routes only where OAuth is enabled.
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
    let endpoint = if request.path().starts_with("/sse") { "sse" } else { "mcp" };
    let base = base(request, worker);
    Some(format!("resource_metadata=\"{base}/.well-known/oauth-protected-resource/{endpoint}\", scope=\"{SCOPE}\""))
}

/// Returns where clients reach this server: as the settings say, else as this request did.
fn base(request: &HttpRequest, worker: &Worker) -> String {
    let settings = &worker.settings;
    match settings.oauth.public_url.trim_end_matches('/') {
        "" => {
            let proxies = settings.server.proxies.get();
            if address::is_https_unbelieved(request, proxies) {
                static WARNED: Once = Once::new();
                WARNED.call_once(|| {
                    log::warn!(
                        "a proxy says that clients ask by https, but server.proxies is 0, so that it is not believed: set \
                         server.proxies or oauth.public_url, else clients are sent to http://"
                    );
                });
            }
            // The host was checked as one that may be asked for; what proxies say of it was not.
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
            format!("{}://{host}{}", address::scheme(request, proxies), settings.server.public_path)
        }
        public_url => public_url.to_owned(),
    }
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
