//! Pages that tell people in a browser where they are.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{
        ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

const TEXT: &str = concat!(
    "Integration App MCP Server ",
    env!("CARGO_PKG_VERSION"),
    " is running.\n",
    "Point an MCP client at /mcp (Streamable HTTP), with an access token as a Bearer header or ?token=.\n"
);

/// The page has a style of its own, and no other page holds it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = concat!(include_str!("page_head.html"), include_str!("welcome.html"));

const ENDPOINT_HTML: &str = concat!(include_str!("page_head.html"), include_str!("endpoint.html"));

/// `GET /`: HTML for a browser, two lines of text for others.
pub async fn welcome(request: HttpRequest) -> HttpResponse {
    if is_browser(&request) {
        return html(HTML);
    }
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").insert_header((VARY, "accept")).body(TEXT)
}

/// Returns whether a person looks at the answer: no MCP client asks for a page, and no browser for events.
pub fn is_browser(request: &HttpRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") && !accept.contains("text/event-stream")
}

/// Returns the page for a browser at an address that is meant for MCP clients.
#[must_use]
pub fn endpoint() -> HttpResponse {
    html(ENDPOINT_HTML)
}

fn html(page: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        // The page may have been opened with a token in its URL.
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "accept"))
        .body(page)
}
