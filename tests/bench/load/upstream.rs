//! A fast imitation of Membrane. Who asks says what there is: the user `t200-a4-7` has 200 tools in 4 apps.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header::{AUTHORIZATION, ContentType},
    web::{self, Bytes, Data, Query},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::process::announce;

/// Bytes of a tool's definition, about.
const TOOL_BYTES: usize = 1_600;
/// Bytes of what an action gives.
const OUTPUT_BYTES: usize = 1_000;

struct Upstream {
    latency: Duration,
    walks: AtomicU64,
    /// Bodies are written once for each size.
    actions: Mutex<HashMap<String, Bytes>>,
    output: Bytes,
}

/// Serves until the parent ends. The argument is the time it takes for each answer, in milliseconds.
pub fn run(arguments: &[String]) {
    let ms = arguments.first().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let output = json!({"output": {"text": "y".repeat(OUTPUT_BYTES)}}).to_string().into();
    let upstream = Data::new(Upstream {
        latency: Duration::from_millis(ms),
        walks: AtomicU64::new(0),
        actions: Mutex::default(),
        output,
    });
    let serve = async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(upstream.clone())
                .app_data(web::PayloadConfig::new(1 << 20))
                .route("/walks", web::get().to(walks))
                .route("/self", web::get().to(customer))
                .route("/connections", web::get().to(connections))
                .route("/actions", web::get().to(actions))
                .route("/action-instance/run", web::post().to(run_action))
        })
        .workers(1)
        .keep_alive(Duration::from_secs(75))
        .tcp_nodelay(true)
        .backlog(4096)
        .bind("127.0.0.1:0")
        .expect("a port");
        announce(server.addrs()[0]);
        server.run().await.expect("the upstream runs");
    };
    actix_web::rt::System::new().block_on(serve);
}

/// The user, its tools and its apps.
fn user(request: &HttpRequest) -> Option<(String, usize, usize)> {
    let token = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let id = serde_json::from_slice::<Value>(&claims).ok()?.get("id")?.as_str()?.to_owned();
    let mut parts = id.split('-');
    let tools = parts.next()?.strip_prefix('t')?.parse().ok()?;
    let apps = parts.next()?.strip_prefix('a')?.parse().ok()?;
    Some((id, tools, apps))
}

impl Upstream {
    async fn wait(&self) {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
    }
}

fn json_body(body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(body.into())
}

async fn walks(upstream: Data<Upstream>) -> HttpResponse {
    json_body(upstream.walks.load(Ordering::Relaxed).to_string())
}

async fn customer(request: HttpRequest, upstream: Data<Upstream>) -> HttpResponse {
    upstream.wait().await;
    let Some((id, ..)) = user(&request) else { return HttpResponse::Unauthorized().finish() };
    json_body(json!({"id": format!("customer-{id}"), "internalId": id, "workspaceKey": "bench"}).to_string())
}

fn integration(tools: usize, apps: usize, app: usize) -> Value {
    json!({"id": format!("{tools}:{apps}:{app}"), "key": format!("app{app:03}"), "name": format!("App {app}")})
}

async fn connections(request: HttpRequest, upstream: Data<Upstream>) -> HttpResponse {
    upstream.walks.fetch_add(1, Ordering::Relaxed);
    upstream.wait().await;
    let Some((_, tools, apps)) = user(&request) else { return HttpResponse::Unauthorized().finish() };
    let items: Vec<_> = (0..apps)
        .map(|app| json!({"id": format!("connection-{app}"), "integration": integration(tools, apps, app)}))
        .collect();
    json_body(json!({"items": items}).to_string())
}

async fn actions(query: Query<HashMap<String, String>>, upstream: Data<Upstream>) -> HttpResponse {
    upstream.wait().await;
    let id = query.get("integrationId").cloned().unwrap_or_default();
    let mut actions = upstream.actions.lock().unwrap_or_else(PoisonError::into_inner);
    let body = actions.entry(id.clone()).or_insert_with(|| write_actions(&id)).clone();
    json_body(body)
}

fn write_actions(id: &str) -> Bytes {
    let mut numbers = id.split(':').map(|number| number.parse::<usize>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let (tools, apps, app) = (next(), next().max(1), next());
    let count = tools / apps;
    let items: Vec<_> = (0..count)
        .map(|i| {
            let mut action = json!({
                "id": format!("action-{app}-{i}"),
                "key": format!("do-{i:03}"),
                "name": format!("Do thing {i}"),
                "description": "Does a thing in the app, as its API has it, and tells what has become of it.",
                "type": "connector-operation",
                "integration": integration(tools, apps, app),
                "inputSchema": schema(),
            });
            let padding = TOOL_BYTES.saturating_sub(action.to_string().len());
            action["inputSchema"]["description"] = Value::String(prose(padding, app * 1_000 + i));
            action
        })
        .collect();
    json!({"items": items}).to_string().into()
}

/// Text of so many bytes, of words in no order, so that it compresses no better than what people write.
fn prose(bytes: usize, seed: usize) -> String {
    const WORDS: [&str; 64] = [
        "message",
        "record",
        "the",
        "contact",
        "a",
        "of",
        "folder",
        "attachment",
        "and",
        "to",
        "is",
        "sent",
        "thread",
        "calendar",
        "by",
        "which",
        "optional",
        "returns",
        "list",
        "owner",
        "date",
        "updated",
        "when",
        "for",
        "each",
        "account",
        "field",
        "value",
        "must",
        "be",
        "present",
        "label",
        "invoice",
        "channel",
        "in",
        "this",
        "workspace",
        "deal",
        "stage",
        "create",
        "task",
        "assigned",
        "user",
        "with",
        "email",
        "address",
        "or",
        "identifier",
        "page",
        "comment",
        "status",
        "open",
        "closed",
        "archived",
        "from",
        "until",
        "limit",
        "search",
        "query",
        "matching",
        "only",
        "if",
        "not",
        "default",
    ];
    let mut state = seed as u64;
    let mut text = String::new();
    while text.len() < bytes {
        // Knuth's generator, of which the upper bits are the better ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = usize::try_from(state >> 58).unwrap_or_default();
        text.extend([WORDS.get(number).copied().unwrap_or_default(), " "]);
    }
    text.truncate(bytes);
    text
}

fn schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description, "maxLength": 10_000});
    json!({
        "type": "object",
        "properties": {
            "to": text("Whom it is for"),
            "subject": text("What it is about"),
            "body": text("The text itself, which may be long"),
            "priority": {"type": "string", "enum": ["low", "normal", "high"], "description": "How urgent it is"},
            "count": {"type": "integer", "minimum": 1, "maximum": 100},
            "labels": {"type": "array", "items": {"type": "string"}, "maxItems": 20},
            "options": {"type": "object", "properties": {"notify": {"type": "boolean"}, "at": {"type": "string"}}}
        },
        "required": ["to", "subject"]
    })
}

async fn run_action(_input: Bytes, upstream: Data<Upstream>) -> HttpResponse {
    upstream.wait().await;
    json_body(upstream.output.clone())
}
