//! `GET /mcp/server-card`: what a client may know of this server before it connects (SEP-2127).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY},
    web::Data,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{base, oauth, worker::Worker};
use crate::protocol::{
    lifecycle::SERVER_INFO,
    revision::{MODERN, Revision},
};

/// Media type of cards (SEP-2127 § Hosted Server Card Location).
const CARD: &str = "application/mcp-server-card+json";

const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json";

/// Returns the card. It names no tools: those differ from user to user, and are listed by the protocol.
pub(super) async fn card(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    let base = base::of(&request, &worker);
    // Where clients can sign their user in, they need not be given a token.
    let needs_token = oauth::offered(&worker).is_none();
    let remote = |kind: &str, path: &str, revisions: &[&str]| {
        json!({
            "type": kind,
            "url": format!("{base}{path}"),
            "headers": [{
                "name": "Authorization",
                "description": "Bearer, and an access token of a user of the workspace",
                "isRequired": needs_token,
                "isSecret": true,
                "placeholder": "Bearer TOKEN",
            }],
            "supportedProtocolVersions": revisions,
        })
    };
    // HTTP+SSE is what 2024-11-05 has; the later revisions have Streamable HTTP.
    let streamable = Revision::ALL.iter().skip(1).map(|revision| revision.as_str()).chain([MODERN]);
    let card = json!({
        "$schema": SCHEMA,
        "name": "app.integration/mcp-server",
        "version": SERVER_INFO.version,
        "title": SERVER_INFO.title,
        "description": SERVER_INFO.description,
        "websiteUrl": format!("{base}/"),
        "icons": [{"src": format!("{base}/icon.svg"), "mimeType": "image/svg+xml", "sizes": ["any"]}],
        "remotes": [
            remote("streamable-http", "/mcp", &streamable.collect::<Vec<_>>()),
            remote("sse", "/sse", &[Revision::V2024_11_05.as_str()]),
        ],
    });
    let card = card.to_string();
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&card)));
    let mut response = if is_known(&request, &tag) {
        HttpResponse::NotModified().finish()
    } else {
        HttpResponse::Ok().insert_header((CONTENT_TYPE, CARD)).body(card)
    };
    let headers = response.headers_mut();
    // A tag in quotes is a sound header value.
    headers.insert(ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    // The addresses in it are those by which the server was asked.
    headers.insert(VARY, HeaderValue::from_static("host, x-forwarded-proto, forwarded"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// Returns whether the client has the card already (RFC 9110 § 13.1.2: the comparison is weak).
fn is_known(request: &HttpRequest, tag: &str) -> bool {
    let lines = request.headers().get_all(IF_NONE_MATCH).filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
