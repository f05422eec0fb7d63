//! Schemas, arguments and outputs that are made to cost more than they are worth. The server has little memory, and answers
//! others meanwhile.

use std::{
    fmt::Write,
    future::Future,
    sync::{Arc, Mutex},
};

use actix_web::HttpRequest;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{
    loading::metric,
    support::{Client, PATIENCE, Reply, Server},
    upstream::Upstream,
};

/// Address space of the server, in KiB, of which allocators reserve most without using it.
const MEMORY: &str = "-v 4194304";

/// What a message may cost beside three times its bytes.
const SLACK: usize = 16 << 20;

fn action(key: &str, input: &Value, output: Option<&Value>) -> Value {
    json!({"key": key, "name": key, "integrationId": "i", "inputSchema": input, "outputSchema": output})
}

fn page(actions: &[Value]) -> String {
    json!({"items": actions}).to_string()
}

/// An upstream with these actions, whose runs have the output that is set at the time.
fn upstream(actions: &[Value], output: &Arc<Mutex<String>>) -> Upstream {
    let (page, output) = (page(actions), Arc::clone(output));
    Upstream::answering(move |request: &HttpRequest| match request.path() {
        "/actions" => Some(page.clone()),
        "/action-instance/run" => Some(format!(r#"{{"output":{}}}"#, output.lock().unwrap())),
        _ => None,
    })
}

fn output(json: &str) -> Arc<Mutex<String>> {
    Arc::new(Mutex::new(json.to_owned()))
}

fn server(upstream: &Upstream) -> Server {
    Server::before(&upstream.url).limit(MEMORY).env("MCP__LOG__FILTER", "info").start()
}

/// Runs something that may be slow, and sees to it that others are answered before it has ended and after.
async fn beside_others<T>(other: &Client<'_>, slow: impl Future<Output = T>) -> T {
    let server = other.server;
    let answered = async {
        for _ in 0..5 {
            assert_eq!(result(&other.ask("ping", json!({})).await), json!({}));
            // What it answers on a busy machine is a matter of time; that it does is not.
            server.http.get(format!("{}/healthz", server.url)).send().await.unwrap();
        }
    };
    let both = async { tokio::join!(slow, answered).0 };
    timeout(2 * PATIENCE, both).await.expect("it ends, and others are answered")
}

/// Calls a tool with arguments as they are written, however large.
async fn call(client: &Client<'_>, tool: &str, arguments: &str) -> Reply {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"TOOL","arguments":ARGUMENTS}}"#;
    let body = body.replace("TOOL", tool).replace("ARGUMENTS", arguments);
    let request = client.request(Method::POST).header("accept", "application/json, text/event-stream");
    Reply::read(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
}

/// The result, whether it came at once or as an event.
fn result(reply: &Reply) -> Value {
    let last = if reply.text.starts_with('{') { Some(reply.json()) } else { reply.events().pop() };
    last.unwrap_or_default()["result"].take()
}

/// A list of so many bytes whose elements are all alike.
fn list(element: &str, bytes: usize) -> String {
    let mut list = format!("[{element}");
    while list.len() < bytes {
        write!(list, ",{element}").unwrap();
    }
    list + "]"
}

fn object(property: &str, schema: &Value) -> Value {
    json!({"type": "object", "properties": {property: schema}})
}

/// `$defs` of which each has the next twice.
fn doubling(keyword: &str) -> Value {
    let mut schema = object("a", &json!({"$ref": "#/$defs/a0"}));
    let mut defs = Map::new();
    for i in 0..26 {
        let next = json!({"$ref": format!("#/$defs/a{}", i + 1)});
        defs.insert(format!("a{i}"), json!({keyword: [next, next], "unevaluatedProperties": {"type": "string"}}));
    }
    defs.insert("a26".to_owned(), json!({"type": "string"}));
    schema["$defs"] = defs.into();
    schema
}

/// Schemas that cost more than a worker has.
fn hostile() -> Vec<(&'static str, Value)> {
    let names: Vec<String> = (0..200_000).map(|i| format!("name-{i}")).collect();
    let properties: Map<String, Value> = names.iter().take(9_000).map(|name| (name.clone(), json!({}))).collect();
    let lookahead = json!({"type": "string", "pattern": "^(?=(a+)+b)(?=.*a)(a|aa)+$"});
    let repeated = json!({"type": "string", "pattern": "((a{0,90}){0,90}){0,90}b"});
    let nested = json!({"anyOf": [{"type": "string"}, {"items": {"$ref": "#/properties/a"}}, {"items": {"$ref": "#/properties/a"}}]});
    let circle = json!({"$ref": "#/properties/a"});
    let deep = (0..60).fold(json!({"type": "string"}), |schema, _| json!({"items": schema}));
    vec![
        ("any-of", doubling("anyOf")),
        ("all-of", doubling("allOf")),
        ("one-of", doubling("oneOf")),
        ("nested", object("a", &nested)),
        ("circle", object("a", &circle)),
        ("deep", object("a", &deep)),
        ("required", json!({"type": "object", "properties": properties, "required": names})),
        ("lookahead", object("a", &json!({"items": {"anyOf": [lookahead, {"items": lookahead}]}}))),
        ("not-lookahead", object("a", &json!({"items": {"not": lookahead}}))),
        ("repeated", object("a", &json!({"items": repeated}))),
        ("long-names", object(&"k".repeat(100_000), &json!({"properties": properties}))),
    ]
}

/// Arguments on which they multiply.
fn arguments() -> Vec<String> {
    let text = "a".repeat(2_000);
    let nested = |depth: usize, leaf: &str| format!("{}{leaf}{}", "[".repeat(depth), "]".repeat(depth));
    let texts = list(&format!(r#""{text}""#), 200_000);
    vec![
        r#"{"a":1}"#.to_owned(),
        r#"{"a":{"b":{}}}"#.to_owned(),
        format!(r#"{{"a":{}}}"#, nested(26, "1")),
        format!(r#"{{"a":{}}}"#, nested(60, r#""s""#)),
        format!(r#"{{"a":{texts}}}"#),
    ]
}

#[tokio::test]
async fn schemas_that_multiply_hold_up_nobody() {
    let hostile = hostile();
    let good = object("to", &json!({"type": "string"}));
    let mut actions = vec![action("good", &good, None)];
    for (key, schema) in &hostile {
        actions.push(action(&format!("in-{key}"), schema, None));
        actions.push(action(&format!("out-{key}"), &json!({"type": "object"}), Some(schema)));
    }
    let output = output("null");
    let upstream = upstream(&actions, &output);
    let server = server(&upstream);
    let (client, other) = (server.client("ann").open().await, server.client("bob").open().await);
    let tools = result(&beside_others(&other, client.ask("tools/list", json!({}))).await);
    assert_eq!(tools["tools"].as_array().unwrap().len(), actions.len(), "a tool is missing");
    for value in arguments() {
        output.lock().unwrap().clone_from(&value);
        for (key, _) in &hostile {
            for (tool, arguments) in [(format!("app_in-{key}"), value.as_str()), (format!("app_out-{key}"), "{}")] {
                let reply = beside_others(&other, call(&client, &tool, arguments)).await;
                let told = result(&reply);
                assert!(told["content"][0]["text"].is_string(), "{tool}: {reply:.300?}");
                assert!(told.to_string().len() < 3 * value.len() + 9_000, "{tool}: {:.300}", told.to_string());
            }
        }
    }
    let refused = result(&call(&client, "app_good", r#"{"to":1}"#).await).to_string();
    assert!(refused.contains("/to: 1 is not of type"), "others are checked: {refused}");
    assert!(metric(&server, "mcp_unchecked_values_total", r#"reason="schema""#) > 0);
    let log = server.log();
    for key in ["in-any-of", "in-all-of", "in-one-of", "in-circle", "in-required", "in-not-lookahead", "in-long-names"]
    {
        let warned =
            log.lines().filter(|line| line.contains(&format!("app_{key}")) && line.contains("does not compile"));
        assert_eq!(warned.count(), 1, "{key}");
    }
}

#[tokio::test]
async fn large_arguments_cost_no_more_than_three_times_their_bytes() {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let either =
        json!({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}, {"enum": [2, 3]}]}});
    let schema = json!({"type": "object", "properties": {"cc": strings, "bcc": either, "text": {"type": "string"}}});
    let upstream = upstream(&[action("send", &schema, None)], &output(r#""sent""#));
    let server = server(&upstream);
    let (client, other) = (server.client("ann").open().await, server.client("bob").open().await);
    let refused = result(&call(&client, "app_send", r#"{"cc":["a",1],"bcc":[1]}"#).await).to_string();
    assert!(refused.contains("/cc/1: ") && refused.contains("/bcc/0: "), "{refused}");

    let bytes = 9 << 20;
    for arguments in [
        format!(r#"{{"cc":{}}}"#, list("1", bytes)),
        format!(r#"{{"bcc":{}}}"#, list("1", bytes)),
        format!(r#"{{"cc":{}}}"#, list("[[1]]", bytes)),
        format!(r#"{{"bcc":{}}}"#, list(r#"{"a":1}"#, bytes)),
        format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)),
    ] {
        let before = server.peak_memory();
        let reply = beside_others(&other, call(&client, "app_send", &arguments)).await;
        assert_eq!(result(&reply)["content"][0]["text"], r#""sent""#, "the upstream checks it: {reply:.300?}");
        let grown = server.peak_memory() - before;
        assert!(grown <= 3 * arguments.len() + SLACK, "{:.20}: {} MB", arguments, grown >> 20);
    }
    let sent = upstream.body_bytes("/action-instance/run");
    assert!(sent.len() == 5 && sent.iter().all(|sent| *sent > bytes), "{sent:?}");
    assert!(metric(&server, "mcp_unchecked_values_total", r#"reason="size""#) >= 4);

    // Checked beside the workers: too large for one, but no tree that is too large.
    let checked =
        format!(r#"{{"cc":{}}}"#, list(&format!(r#""{}""#, "x".repeat(1_000)), 1 << 20)).replace("]}", ",1]}");
    let refused = result(&beside_others(&other, call(&client, "app_send", &checked)).await).to_string();
    assert!(refused.contains("Invalid arguments") && refused.contains("/cc/"), "{refused:.300}");
}

#[tokio::test]
async fn a_large_output_costs_no_more_than_three_times_its_bytes() {
    let numbers = json!({"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}});
    let schema = json!({"type": "object", "properties": {"rows": numbers, "strings": {"type": "string"}}});
    let rows = format!(r#"{{"rows":{}}}"#, list("1", 12 << 20));
    let upstream = upstream(&[action("list", &json!({"type": "object"}), Some(&schema))], &output(&rows));
    let server = server(&upstream);
    let (client, other) = (server.client("ann").open().await, server.client("bob").open().await);
    let before = server.peak_memory();
    let reply = beside_others(&other, call(&client, "app_list", "{}")).await;
    let grown = server.peak_memory() - before;
    let bound = 3 * (rows.len() + reply.text.len()) + SLACK;
    assert!(grown <= bound, "{} MB of {} MB", grown >> 20, bound >> 20);
    let told = result(&reply);
    assert_eq!(told["isError"], Value::Null, "a good run is no error");
    assert_eq!(told["structuredContent"]["rows"][0], 1);
}

#[tokio::test]
async fn an_output_that_is_too_deep_or_has_odd_numbers_is_told_as_text() {
    let schema = object("rows", &json!({"type": "array"}));
    let deep = format!(r#"{{"rows":[{}1{},2]}}"#, "[".repeat(200), "]".repeat(200));
    let numbers = r#"{"rows":[2,1e400,-1e999],"more":1e400}"#.to_owned();
    for rows in [deep, numbers] {
        let upstream = upstream(&[action("list", &json!({"type": "object"}), Some(&schema))], &output(&rows));
        let server = server(&upstream);
        let client = server.client("ann").open().await;
        let told = result(&call(&client, "app_list", "{}").await);
        assert_eq!(told["isError"], Value::Null, "{told}");
        assert_eq!(told["content"][0]["text"], rows, "{told}");
        let structured = told["structuredContent"]["rows"].as_array().unwrap();
        assert!(structured.contains(&json!(2)), "the rest is there: {told}");
    }
}

#[tokio::test]
async fn a_large_page_of_actions_holds_up_nobody() {
    let properties: Map<String, Value> = (0..300).map(|i| (format!("field-{i}"), json!({"type": "string"}))).collect();
    let schema = json!({"type": "object", "properties": properties});
    let actions: Vec<Value> = (0..900).map(|i| action(&format!("do-{i}"), &schema, None)).collect();
    let upstream = upstream(&actions, &output("1"));
    let server = server(&upstream);
    let (client, other) = (server.client("ann").open().await, server.client("bob").open().await);
    let reply = beside_others(&other, client.call("app_do-1", json!({"field-1": 1}))).await;
    assert!(reply.text.contains("/field-1: "), "{reply:.300?}");
    assert!(page(&actions).len() > 4 << 20, "it is large");
}
