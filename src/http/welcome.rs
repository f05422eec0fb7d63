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

/// `GET /healthz`: the server turns.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;
    use actix_web::{
        App,
        test::{TestRequest, call_and_read_body, init_service},
    };

    #[actix_web::test]
    async fn those_who_come_by_are_told_what_this_is() {
        let service = init_service(App::new().configure(routes)).await;
        for (accept, expected) in [("text/html,*/*;q=0.8", HTML), ("*/*", TEXT)] {
            for uri in ["/", "/?utm=x"] {
                let request = TestRequest::with_uri(uri).insert_header((ACCEPT, accept)).to_request();
                let body = call_and_read_body(&service, request).await;
                assert_eq!(body, expected, "{uri} for {accept}");
            }
        }
    }
}
