//! Which web pages may ask, and under which names this server is asked: protection against DNS rebinding, and CORS
//! (MCP 2025-11-25, basic/transports § Security Warning).

use std::{net::IpAddr, sync::Arc};

use actix_cors::Cors;
use actix_web::{
    Error as ActixError,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, Uri,
        header::{HOST, HeaderMap, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    web::Data,
};

use super::{Worker, headers, reply};
use crate::{
    config::{self, Settings},
    error::Error,
};

/// Refuses what comes from a foreign page or by a foreign name, before anything else is looked at.
///
/// # Errors
/// Those of the service around which it stands.
pub async fn refuse_foreign<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, ActixError> {
    let worker = request.app_data::<Data<Worker>>();
    let refusal = worker.and_then(|worker| refusal(request.path(), request.headers(), &worker.settings.server));
    match refusal {
        None => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Some(error) => {
            let response = reply::error(None, &error, headers::era(request.request()));
            Ok(request.into_response(response).map_into_right_body())
        }
    }
}

fn refusal(path: &str, headers: &HeaderMap, settings: &config::Server) -> Option<Error> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    if let Some(origin) = text(ORIGIN)
        && !allows_origin(&origin, settings)
    {
        return Some(Error::OriginRefused(format!("the origin {origin:?}")));
    }
    // Who looks after the process asks for this by whatever address it has, and learns nothing but how it does.
    if matches!(path, "/healthz" | "/readyz") {
        return None;
    }
    if let Some(host) = text(HOST)
        && !allows_host(&host, settings)
    {
        return Some(Error::OriginRefused(format!("the host {host:?}")));
    }
    None
}

fn allows_origin(origin: &str, settings: &config::Server) -> bool {
    let listed = settings.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
    listed || origin.parse::<Uri>().ok().and_then(|uri| uri.host().map(is_this_machine)).unwrap_or(false)
}

fn allows_host(host: &str, settings: &config::Server) -> bool {
    let Ok(uri) = host.parse::<Uri>() else { return false };
    let Some(name) = uri.host() else { return false };
    let is_listed = |allowed: &String| allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(host);
    is_this_machine(name)
        || settings.allowed_hosts.iter().any(is_listed)
        || (settings.allowed_hosts.is_empty() && !is_this_machine(&settings.host))
}

/// Lets the pages that may ask read the answers, headers that MCP uses included (Fetch § CORS protocol).
pub fn cors(settings: &Arc<Settings>) -> Cors {
    let settings = Arc::clone(settings);
    Cors::default()
        .allowed_origin_fn(move |origin, _| origin.to_str().is_ok_and(|origin| allows_origin(origin, &settings.server)))
        .allowed_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_any_header()
        .expose_headers([headers::SESSION_ID, WWW_AUTHENTICATE, RETRY_AFTER])
        .max_age(3600)
}

/// Whether a name is one of the loopback's.
fn is_this_machine(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn foreign_pages_and_names_are_refused() {
        let local: &[(&str, &str)] = &[];
        let open: &[(&str, &str)] = &[("HOST", "0.0.0.0")];
        let listed: &[(&str, &str)] = &[
            ("HOST", "0.0.0.0"),
            ("MCP__SERVER__ALLOWED_HOSTS", "mcp.example.com"),
            ("MCP__SERVER__ALLOWED_ORIGINS", "https://app.example.com, https://other.example.com"),
        ];
        let any: &[(&str, &str)] = &[("MCP__SERVER__ALLOWED_ORIGINS", "*")];
        let cases = [
            (local, "localhost:3000", None, true),
            (local, "127.0.0.1:3000", Some("http://localhost:5173"), true),
            (local, "[::1]:3000", Some("http://[::1]"), true),
            (local, "evil.example.com", None, false),
            (local, "localhost.evil.example.com", None, false),
            (local, "localhost", Some("https://evil.example.com"), false),
            (local, "localhost", Some("null"), false),
            (open, "mcp.example.com", None, true),
            (open, "mcp.example.com", Some("https://mcp.example.com"), false),
            (listed, "mcp.example.com:443", Some("https://app.example.com"), true),
            (listed, "mcp.example.com", Some("https://evil.example.com"), false),
            (listed, "evil.example.com", None, false),
            (listed, "localhost", None, true),
            (any, "localhost", Some("https://evil.example.com"), true),
            (any, "localhost", Some("null"), true),
        ];
        for (env, host, origin, allowed) in cases {
            let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let settings = load(&Sources { env, ..Sources::default() }).unwrap().server;
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            if origin.is_none() {
                assert!(refusal("/healthz", &headers, &settings).is_none(), "{host}");
            }
            assert_eq!(refusal("/mcp", &headers, &settings).is_none(), allowed, "{host} {origin:?}");
        }
    }
}
