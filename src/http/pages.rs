//! Pages for people in a browser: how to connect a client, the apps of a user, and what an endpoint is.
//!
//! Each page is one document that asks for nothing else but its icon, from this server. Its style and its script stand in it, and
//! its policy names both by their hashes, so that nothing that got into a page could run.

mod template;

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, VARY, X_CONTENT_TYPE_OPTIONS},
    },
    web::Data,
};

use super::{
    base,
    document::{confined, source_of},
    health, oauth, origin,
    worker::Worker,
};
use template::{Value, fill};

const TEXT: &str = concat!(
    "Integration App MCP Server ",
    env!("CARGO_PKG_VERSION"),
    " is running.\n",
    "Point an MCP client at /mcp (Streamable HTTP), with an access token as a Bearer header or ?token=.\n"
);

const FRAME: &str = include_str!("pages/frame.html");
const STYLE: &str = include_str!("pages/page.css");
const ICON: &str = include_str!("pages/icon.svg");

/// Document with its own script, and the headers that confine it.
struct Page {
    title: &'static str,
    body: &'static str,
    script: &'static str,
    policy: String,
}

impl Page {
    /// Returns a page whose script may connect to `connects`.
    fn new(title: &'static str, body: &'static str, script: &'static str, connects: &str) -> Self {
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; img-src 'self'; connect-src {connects}; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source_of(STYLE),
            source_of(script)
        );
        Self { title, body, script, policy }
    }

    fn respond(&self, values: &[(&str, Value<'_>)]) -> HttpResponse {
        let body = fill(self.body, values);
        let frame = [
            ("title", Value::Text(self.title)),
            ("style", Value::Markup(STYLE)),
            ("script", Value::Markup(self.script)),
            ("body", Value::Markup(&body)),
        ];
        let values = [&frame, values].concat();
        confined(StatusCode::OK, &self.policy).insert_header((VARY, "accept")).body(fill(FRAME, &values))
    }
}

/// `GET /`: how to connect a client, for a browser; two lines of text for others.
pub async fn front(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    static PAGE: LazyLock<Page> = LazyLock::new(|| {
        let (body, script) = (include_str!("pages/front.html"), include_str!("pages/front.js"));
        Page::new("Integration App MCP Server", body, script, "'none'")
    });
    if !is_browser(&request) {
        return HttpResponse::Ok().content_type("text/plain; charset=utf-8").insert_header((VARY, "accept")).body(TEXT);
    }
    let readiness = health::readiness(&worker.runtime).await;
    let health_class = match readiness.status() {
        StatusCode::OK if readiness.is_whole() => "good",
        StatusCode::OK => "warn",
        _ => "bad",
    };
    let health = readiness.summary();
    let shown = Shown::of(&request, &worker);
    // Where clients can sign their user in, an address needs no token.
    let key = match (shown.token.as_str(), shown.signs_in) {
        ("", true) => String::new(),
        ("", false) => "?token=TOKEN".to_owned(),
        (token, _) => format!("?token={token}"),
    };
    let url = format!("{}/mcp", shown.base);
    let values = [
        ("health", Value::Text(&health)),
        ("health_class", Value::Text(health_class)),
        ("url", Value::Text(&url)),
        ("key", Value::Text(&key)),
        ("shown", Value::Text(if shown.token.is_empty() { "TOKEN" } else { &shown.token })),
    ];
    PAGE.respond(&[&values, shown.values().as_slice()].concat())
}

/// `GET /me`: the apps and tools of whoever types a token. The page asks `/mcp` itself.
pub async fn me(request: HttpRequest, worker: Data<Worker>) -> HttpResponse {
    static PAGE: LazyLock<Page> = LazyLock::new(|| {
        Page::new(
            "Your apps: Integration App MCP Server",
            include_str!("pages/me.html"),
            include_str!("pages/me.js"),
            "'self'",
        )
    });
    PAGE.respond(&Shown::of(&request, &worker).values())
}

/// Returns the page for a browser at an address that is meant for MCP clients.
#[must_use]
pub fn endpoint(request: &HttpRequest, worker: &Worker) -> HttpResponse {
    static PAGE: LazyLock<Page> = LazyLock::new(|| {
        Page::new("For MCP clients: Integration App MCP Server", include_str!("pages/endpoint.html"), "", "'none'")
    });
    PAGE.respond(&Shown::of(request, worker).values())
}

/// `GET /icon.svg`: the server's icon, for its pages and its card.
pub async fn icon() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header((CONTENT_SECURITY_POLICY, "default-src 'none'"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, "public, max-age=86400"))
        .body(ICON)
}

/// Returns whether a person looks at the answer: no MCP client asks for a page, and no browser for events.
pub fn is_browser(request: &HttpRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") && !accept.contains("text/event-stream")
}

/// Facts of the server that every page shows.
struct Shown {
    base: String,
    path: String,
    /// Token of the sandbox, for a browser of this machine; else empty.
    token: String,
    signs_in: bool,
    classes: String,
}

impl Shown {
    fn of(request: &HttpRequest, worker: &Worker) -> Self {
        let base = base::of(request, worker);
        // A page that is reached by a name of this machine alone holds the sandbox's token: a sandbox that is open to others
        // hands it to nobody who merely looks.
        let guest = worker.guest.as_ref().filter(|_| origin::is_asked_as_this_machine(request));
        let signs_in = oauth::offered(worker).is_some();
        let classes =
            [if worker.guest.is_some() { "sandbox" } else { "membrane" }, if signs_in { "oauth" } else { "tokens" }];
        Self {
            path: base::path(&base),
            token: guest.map(|token| token.reveal().to_owned()).unwrap_or_default(),
            signs_in,
            classes: classes.join(" "),
            base,
        }
    }

    fn values(&self) -> [(&'static str, Value<'_>); 4] {
        [
            ("path", Value::Text(&self.path)),
            ("classes", Value::Text(&self.classes)),
            ("token", Value::Text(&self.token)),
            ("version", Value::Text(env!("CARGO_PKG_VERSION"))),
        ]
    }
}
