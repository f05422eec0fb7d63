//! The small parts that every request passes through.
//!
//! ```text
//! cargo bench --bench micro
//! ```

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "what goes wrong ends the run")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use integration_app_mcp_server::{
    chunks::{self, PrecompressedJson},
    ids::{IntegrationKey, ToolName},
    membrane::{Catalog, Tool, app_tools::AppTools, catalog::AppCatalog, model::Action, tool::App},
    protocol::{
        answer::{ServerResult, ToolList},
        jsonrpc::{self, Body, Message, RequestId},
        modern_request::{self, ModernRequest},
        request::ClientRequest,
        revision::Era,
        validation::{Validator, Verdict},
    },
    session::event_log::{EventId, EventLog, Limits, Logged},
};
use serde_json::{Value, json, value::to_raw_value};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [20, 200, 1_000];

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    })
}

fn call(meta: Option<Value>) -> String {
    let arguments = json!({"to": "someone@example.com", "subject": "Hello", "body": "z".repeat(200), "count": 3});
    let mut params = json!({"name": "app000_do-000", "arguments": arguments});
    if let Some(meta) = meta {
        params["_meta"] = meta;
    }
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
}

/// A call of a session, from its bytes to its type.
fn list(catalog: &Catalog) -> ToolList {
    let mut list = ToolList::default();
    catalog.list_into(&mut list, Era::Legacy);
    list
}

#[divan::bench]
fn envelope_of_a_call(bencher: Bencher) {
    let body = call(None);
    bencher.bench(|| {
        let Ok(Body::Single(Message::Request(request))) = jsonrpc::parse(black_box(body.as_bytes())) else { panic!() };
        ClientRequest::read(&request)
    });
}

/// The same in the revision without sessions, with its `_meta`.
#[divan::bench]
fn envelope_of_a_modern_call(bencher: Bencher) {
    let body = call(Some(meta()));
    bencher.bench(|| {
        let Ok(Body::Single(Message::Request(request))) = jsonrpc::parse(black_box(body.as_bytes())) else { panic!() };
        let params = request.params.as_deref();
        (modern_request::is_claimed(params), ModernRequest::parse(&request).is_ok_and(|(_, request)| request.is_ok()))
    });
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "to": {"type": "string", "maxLength": 10_000},
            "subject": {"type": "string"},
            "body": {"type": "string"},
            "priority": {"type": "string", "enum": ["low", "normal", "high"]},
            "count": {"type": "integer", "minimum": 1, "maximum": 100},
        },
        "required": ["to", "subject"]
    })
}

/// Apps of 50 tools each, with all their tools.
fn apps(count: usize) -> Vec<(App, Vec<Tool>)> {
    let app = |first: usize| {
        let key = format!("app_{:03}", first / 50);
        let app = App { key: IntegrationKey::new(&key), name: "App".to_owned(), logo: None };
        let tools = (first..count.min(first + 50)).map(|i| {
            let action =
                json!({"key": format!("do_{i}"), "name": "Do it", "integrationKey": key, "inputSchema": schema()});
            let action: Action = serde_json::from_value(action).unwrap();
            Tool::of(&app, &action).unwrap()
        });
        let tools = tools.collect();
        (app, tools)
    };
    (0..count).step_by(50).map(app).collect()
}

fn make_catalog(apps: Vec<(App, Vec<Tool>)>) -> Catalog {
    let since = Instant::now();
    let part =
        |(app, tools): (App, Vec<Tool>)| AppCatalog { tools: AppTools::new(&app, tools).into(), since, place: None };
    Catalog::new(apps.into_iter().map(part).collect(), None, Vec::new())
}

/// What the upstream sent made into tools and a list, once for a user.
#[divan::bench(args = SIZES)]
fn catalog(bencher: Bencher, count: usize) {
    bencher.with_inputs(|| apps(count)).bench_values(make_catalog);
}

/// The pieces of an answer to `tools/list`.
#[divan::bench(args = SIZES)]
fn tools_list(bencher: Bencher, count: usize) {
    let catalog = make_catalog(apps(count));
    bencher
        .bench(|| jsonrpc::result_response(&RequestId::Signed(1), ServerResult::Tools(list(&catalog)).into_chunks()));
}

/// The same compressed, put together of what has been compressed before.
#[divan::bench(args = SIZES)]
fn tools_list_by_gzip(bencher: Bencher, count: usize) {
    let catalog = make_catalog(apps(count));
    catalog.parts().for_each(|part| part.listing(Era::Legacy).deflate());
    bencher.bench(|| {
        let list = ServerResult::Tools(list(&catalog)).into_chunks();
        chunks::gzip(&jsonrpc::result_response(&RequestId::Signed(1), list)).unwrap()
    });
}

/// The compressing, once for the tools of an app.
#[divan::bench]
fn listing_compressed(bencher: Bencher) {
    let catalog = make_catalog(apps(50));
    let listing = catalog.parts().next().unwrap().listing(Era::Legacy).json().clone();
    bencher.with_inputs(|| PrecompressedJson::new(listing.clone())).bench_refs(|listing| listing.deflate());
}

/// A name as it is listed.
#[divan::bench(args = SIZES)]
fn name_as_listed(bencher: Bencher, count: usize) {
    let catalog = make_catalog(apps(count));
    let name = ToolName::new(&format!("app_{:03}_do_{}", (count - 1) / 50, count - 1));
    assert!(catalog.find(&name).is_some());
    bencher.bench(|| catalog.find(black_box(&name)).is_some());
}

/// A name in another spelling.
#[divan::bench(args = SIZES)]
fn name_in_another_spelling(bencher: Bencher, count: usize) {
    let catalog = make_catalog(apps(count));
    let name = ToolName::new(&format!("app-{:03}-do-{}", (count - 1) / 50, count - 1));
    assert!(catalog.find(&name).is_some());
    bencher.bench(|| catalog.find(black_box(&name)).is_some());
}

/// The compiling of a schema, once for each tool that is called.
#[divan::bench]
fn schema_compiled(bencher: Bencher) {
    let schema = to_raw_value(&schema()).unwrap();
    bencher.bench(|| Validator::compile(black_box(&schema)).is_ok());
}

/// Arguments against a schema, with each call.
#[divan::bench]
fn arguments_checked(bencher: Bencher) {
    let validator = Validator::compile(&to_raw_value(&schema()).unwrap()).unwrap();
    let arguments = json!({"to": "someone@example.com", "subject": "Hello", "body": "z".repeat(200), "count": 3});
    bencher.bench(|| validator.check(black_box(&arguments)) == Verdict::Valid);
}

/// An event of 1 KB into a log that is full, so that another goes.
#[divan::bench]
fn event_logged(bencher: Bencher) {
    let mut log = EventLog::new(Limits { events: 256, bytes: 1 << 20, ttl: Duration::from_secs(300) });
    let message = vec![Bytes::from(vec![b'x'; 1_000])];
    let mut place = 0;
    bencher.bench_local(|| {
        place += 1;
        log.append(Logged { id: EventId { stream: 1, place }, request: None, message: message.clone() })
    });
}

/// What a client gets who comes back to a full log for its latter half.
#[divan::bench]
fn events_resumed(bencher: Bencher) {
    let mut log = EventLog::new(Limits { events: 256, bytes: 1 << 20, ttl: Duration::from_secs(300) });
    for place in 1..=256 {
        log.append(Logged {
            id: EventId { stream: place % 4, place },
            request: None,
            message: vec![Bytes::from_static(b"{}")],
        });
    }
    bencher.bench_local(|| log.after(EventId { stream: 1, place: 128 }).count());
}
