//! What a collector is told, by a collector that only listens.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as Any},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use serde_json::json;

use super::{OTHER, PARENT, RUN, call};
use crate::{
    leaks,
    support::{Server, binary, finish},
    upstream::Upstream,
};

struct Collector {
    url: String,
    told: Arc<Mutex<Vec<web::Bytes>>>,
}

impl Collector {
    fn start() -> Self {
        let told = Arc::<Mutex<Vec<web::Bytes>>>::default();
        let (tell, address) = mpsc::channel::<SocketAddr>();
        let data = web::Data::from(Arc::clone(&told));
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(data.clone()).route("/v1/traces", web::post().to(take));
                let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
                tell.send(server.addrs()[0]).unwrap();
                server.run().await
            })
        });
        Self { url: format!("http://{}", address.recv().unwrap()), told }
    }

    /// The spans by name, with the attributes of their resource; nothing that was told shows a token.
    fn spans(&self) -> (BTreeMap<String, Vec<Span>>, BTreeMap<String, Any>) {
        let (mut spans, mut resource) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
        for body in self.told.lock().unwrap().iter() {
            leaks::assert_none(body, "what the collector is told");
            let told = ExportTraceServiceRequest::decode(&body[..]).unwrap();
            for told in told.resource_spans {
                resource.extend(attributes(&told.resource.unwrap().attributes));
                for span in told.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    spans.entry(span.name.clone()).or_default().push(span);
                }
            }
        }
        (spans, resource)
    }
}

async fn take(request: HttpRequest, body: web::Bytes, told: web::Data<Mutex<Vec<web::Bytes>>>) -> HttpResponse {
    let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    assert_eq!(kind, Some("application/x-protobuf"));
    told.lock().unwrap().push(body);
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, Any> {
    attributes.iter().map(|kv| (kv.key.clone(), kv.value.clone().unwrap().value.unwrap())).collect()
}

fn text(text: &str) -> Any {
    Any::StringValue(text.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Where a span is, as `traceparent` has it.
fn place(span: &Span) -> String {
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
}

fn parent(span: &Span) -> String {
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.parent_span_id))
}

#[tokio::test]
async fn a_collector_is_told_of_request_session_and_upstream() {
    let (upstream, collector) = (Upstream::start(), Collector::start());
    let server = Server::before(&upstream.url).env("MCP__TELEMETRY__OTLP_ENDPOINT", &collector.url).start();
    let ann = server.client("ann").open().await;
    call(&ann.clone().header("traceparent", PARENT).header("x-request-id", "of-the-call"), json!({})).await;
    let session = ann.session.clone().unwrap();
    let token = ann.token.clone();
    // At the end all is told that was not yet.
    assert!(server.stop().success());

    let (spans, resource) = collector.spans();
    assert_eq!(resource["service.name"], text(env!("CARGO_PKG_NAME")));
    assert_eq!(resource["service.version"], text(env!("CARGO_PKG_VERSION")));
    let [called] = &spans["tools/call"][..] else { panic!("one call: {spans:?}") };
    let request = spans["POST /mcp"].iter().find(|span| place(span) == parent(called)).expect("the request");
    let [run] = &spans[&format!("POST {RUN}")][..] else { panic!("one run: {spans:?}") };
    assert_eq!(parent(request), PARENT);
    assert_eq!(parent(run), place(called));
    assert_eq!(upstream.headers(RUN, "traceparent"), [place(run)]);
    let kinds = [request, called, run].map(Span::kind);
    assert_eq!(kinds, [SpanKind::Server, SpanKind::Internal, SpanKind::Client]);
    for span in [request, called, run] {
        assert!(span.start_time_unix_nano < span.end_time_unix_nano, "{span:?}");
        assert!(!format!("{span:?}").contains(&token), "{span:?}");
    }
    let (of_request, of_call, of_run) =
        (attributes(&request.attributes), attributes(&called.attributes), attributes(&run.attributes));
    assert_eq!(of_request["http.route"], text("/mcp"));
    assert_eq!(of_request["http.response.status_code"], Any::IntValue(200));
    assert_eq!(of_request["http.response.header.x-request-id"], text("of-the-call"));
    assert_eq!(of_call["mcp.session.id"], text(&session));
    assert_eq!(of_call["gen_ai.tool.name"], text("app_do"));
    assert_eq!(of_run["http.response.status_code"], Any::IntValue(200));

    // What the session needed to open is part of that request's trace, which begins here.
    let [connections] = &spans["GET /connections"][..] else { panic!("one load: {spans:?}") };
    let opened = spans["POST /mcp"].iter().find(|span| place(span) == parent(connections)).expect("the request");
    assert!(opened.parent_span_id.is_empty(), "{opened:?}");
}

#[tokio::test]
async fn a_message_with_a_context_of_its_own_is_linked_to_its_request() {
    let (upstream, collector) = (Upstream::start(), Collector::start());
    let server = Server::before(&upstream.url).env("MCP__TELEMETRY__OTLP_ENDPOINT", &collector.url).start();
    let ann = server.client("ann").header("traceparent", OTHER);
    ann.modern_call("app_do", json!({})).meta("traceparent", json!(PARENT)).send().await.result();
    assert!(server.stop().success());
    let (spans, _) = collector.spans();
    let ([called], [request]) = (&spans["tools/call"][..], &spans["POST /mcp"][..]) else { panic!("{spans:?}") };
    assert_eq!((parent(called), parent(request)), (PARENT.to_owned(), OTHER.to_owned()));
    let [link] = &called.links[..] else { panic!("{called:?}") };
    assert_eq!((&link.trace_id, &link.span_id), (&request.trace_id, &request.span_id));
    assert_eq!(parent(&spans[&format!("POST {RUN}")][0]), place(called));
}

#[tokio::test]
async fn what_failed_is_told_without_the_words_of_others() {
    let collector = Collector::start();
    let server = Server::builder().env("MCP__TELEMETRY__OTLP_ENDPOINT", &collector.url).start();
    let ann = server.client("ann").open().await;
    ann.call("sandbox-faults_fail-401", json!({})).await;
    ann.call("no_such-tool", json!({})).await;
    assert!(server.stop().success());
    let (spans, _) = collector.spans();
    let error = |span: &Span| {
        let status = span.status.clone().unwrap_or_default();
        (status.code() == StatusCode::Error).then(|| attributes(&span.attributes)["error.type"].clone())
    };
    let mut failed: Vec<_> = spans["tools/call"].iter().map(|span| format!("{:?}", error(span))).collect();
    failed.sort();
    assert_eq!(failed, [Some(text("UnknownTool")), Some(text("tool_error"))].map(|error| format!("{error:?}")));
    assert_eq!(error(&spans[&format!("POST {RUN}")][0]), Some(text("401")));
}

#[tokio::test]
async fn a_client_that_is_not_traced_costs_the_collector_nothing() {
    let collector = Collector::start();
    let server = Server::builder().env("MCP__TELEMETRY__OTLP_ENDPOINT", &collector.url).start();
    let ann = server.client("ann").header("traceparent", &PARENT.replace("-01", "-00"));
    ann.open().await.output("slack_list-channels", json!({})).await;
    assert!(server.stop().success());
    assert!(collector.spans().0.is_empty(), "{:?}", collector.spans());
}

#[tokio::test]
async fn a_collector_that_is_away_stops_nobody() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::builder()
        .env("MCP__TELEMETRY__OTLP_ENDPOINT", &format!("http://{nobody}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", "1")
        .start();
    server.client("ann").open().await.output("slack_list-channels", json!({})).await;
    server.wait_for_log("did not reach the collector");
    assert!(server.stop().success());
}

#[test]
fn an_endpoint_is_an_http_url() {
    let refused = finish(binary().env("MCP__TELEMETRY__OTLP_ENDPOINT", "localhost:4318").arg("check-config"));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("telemetry.otlp_endpoint"), "{said}");
}
