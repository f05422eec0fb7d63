//! What this is, for those who come by.

use actix_web::{HttpRequest, HttpResponse, http::header::ACCEPT};

const TEXT: &str = concat!(
    "Integration App MCP Server ",
    env!("CARGO_PKG_VERSION"),
    " is running.\n",
    "Point an MCP client at /mcp (Streamable HTTP), with an access token as a Bearer header or ?token=.\n"
);

const HTML: &str = include_str!("welcome.html");

/// `GET /`: HTML for a browser, two lines of text for others.
pub async fn welcome(request: HttpRequest) -> HttpResponse {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header(("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"))
            .insert_header(("x-content-type-options", "nosniff"))
            .body(HTML)
    } else {
        HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(TEXT)
    }
}
