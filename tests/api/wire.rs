//! The schemas of the specification, against which every message of the server is checked.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{modern_support::MODERN, support::Reply};

/// Type of a result that asks for something first.
const INPUT_REQUIRED: &str = "input_required";

/// What the messages that answer a request are checked against.
#[derive(Clone)]
pub struct Wire {
    revision: String,
    /// The requests sent, by id.
    asked: Vec<(Value, String)>,
}

impl Wire {
    /// For the answers to a body. One that claims a revision is of the modern era, whatever the session speaks.
    pub fn new(revision: &str, sent: &str) -> Self {
        let sent: Value = serde_json::from_str(sent).unwrap_or_default();
        let messages = sent.as_array().cloned().unwrap_or_else(|| vec![sent]);
        let claim = |message: &Value| !message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_null();
        let revision = if messages.iter().any(claim) { MODERN } else { revision };
        let mut wire = Self { revision: revision.to_owned(), asked: Vec::new() };
        for message in &messages {
            wire.expect(message);
        }
        wire
    }

    /// Notes a request whose answer will come.
    pub fn expect(&mut self, request: &Value) {
        if let Some(method) = request["method"].as_str() {
            self.asked.push((request["id"].clone(), method.to_owned()));
        }
    }

    /// The revision that the following messages are written in.
    pub fn speak(&mut self, revision: &str) {
        revision.clone_into(&mut self.revision);
    }

    /// Checks all messages of a reply, and gives the revision that one of them negotiates.
    pub fn check_reply(&self, reply: &Reply) -> Option<String> {
        let messages = match reply.header("content-type") {
            Some("text/event-stream") => reply.events(),
            Some("application/json") => match reply.json() {
                Value::Array(messages) => messages,
                message => vec![unread(reply, message)],
            },
            // A session that is lost.
            Some("text/plain; charset=utf-8") if reply.status == 404 && reply.text.starts_with('{') => {
                vec![unread(reply, reply.json())]
            }
            _ => Vec::new(),
        };
        for message in &messages {
            self.check(message);
        }
        let mut negotiated = messages.iter().filter_map(|message| message["result"]["protocolVersion"].as_str());
        negotiated.next().map(str::to_owned)
    }

    /// Checks a message.
    pub fn check(&self, message: &Value) {
        // The result of `initialize` is written in the revision that it names.
        let revision = message["result"]["protocolVersion"].as_str().unwrap_or(&self.revision);
        let method = self.asked.iter().find(|(id, _)| *id == message["id"]).map(|(_, method)| method.as_str());
        let faults = faults(revision, method, message);
        assert!(faults.is_empty(), "{method:?} in {revision}: {}\n{message}", faults.join("\n"));
    }
}

/// An error without the id null, which a request has that was refused before its body was read (JSON-RPC 2.0 § 5): MCP has no
/// schema for that.
fn unread(reply: &Reply, mut error: Value) -> Value {
    if !matches!(reply.status.as_u16(), 200 | 400) && error["id"].is_null() {
        error.as_object_mut().unwrap().remove("id");
    }
    error
}

/// What is wrong with a message of the server; `method` is that of the request it answers.
pub fn faults(revision: &str, method: Option<&str>, message: &Value) -> Vec<String> {
    let is_older = revision < "2025-11-25";
    let mut faults = Vec::new();
    let mut check = |revision: &str, definition: &str, value: &Value| {
        let validator = validator(revision, definition);
        let errors = validator.iter_errors(value);
        faults.extend(errors.map(|error| format!("{definition} {}: {error}", error.instance_path())));
    };
    if let Some(notification) = message["method"].as_str() {
        check(revision, "JSONRPCNotification", message);
        match notification {
            "notifications/tools/list_changed" => check(revision, "ToolListChangedNotification", message),
            "notifications/progress" => check(revision, "ProgressNotification", message),
            "notifications/subscriptions/acknowledged" => {
                check(revision, "SubscriptionsAcknowledgedNotification", message);
            }
            other => faults.push(format!("{other} was never declared")),
        }
        if !message["id"].is_null() {
            faults.push("the server asks nothing of clients".to_owned());
        }
    } else if message.get("error").is_some() {
        match (is_older, message.get("id")) {
            (true, Some(_)) => check(revision, "JSONRPCError", message),
            // The older schemas want an id, but their transports "a JSON-RPC error response that has no id".
            (true, None) => check("2025-11-25", "JSONRPCErrorResponse", message),
            (false, _) => check(revision, "JSONRPCErrorResponse", message),
        }
        if revision == "2025-11-25" && message["error"]["code"] == -32042 {
            check(revision, "URLElicitationRequiredError", message);
        }
        if revision == MODERN {
            match message["error"]["code"].as_i64() {
                Some(-32042) => faults.push("-32042 is gone".to_owned()),
                Some(-32020) => check(revision, "HeaderMismatchError", message),
                Some(-32022) => check(revision, "UnsupportedProtocolVersionError", message),
                Some(code @ -32019..=-32000) => faults.push(format!("{code} is not for new implementations")),
                _ => {}
            }
        }
    } else {
        check(revision, if is_older { "JSONRPCResponse" } else { "JSONRPCResultResponse" }, message);
        let definition = match method {
            Some("initialize") => "InitializeResult",
            Some("ping") => "EmptyResult",
            Some("tools/list") => "ListToolsResult",
            // Of this method alone of those that are here (basic/patterns/mrtr § Supported Requests).
            Some("tools/call") if message["result"]["resultType"] == INPUT_REQUIRED && revision == MODERN => {
                "InputRequiredResult"
            }
            Some("tools/call") => "CallToolResult",
            Some("server/discover") => "DiscoverResult",
            Some("subscriptions/listen") => "SubscriptionsListenResult",
            other => panic!("{other:?} has no result here: {message}"),
        };
        let result = &message["result"];
        check(revision, definition, result);
        faults.extend(era_faults(revision, result));
    }
    faults
}

/// What no schema says: which members make a result one of its era.
fn era_faults(revision: &str, result: &Value) -> Vec<String> {
    if revision == MODERN {
        let named = result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string();
        let asks = ["inputRequests", "requestState"].iter().any(|member| result.get(member).is_some());
        let kind = if asks { INPUT_REQUIRED } else { "complete" };
        let whole = [(result["resultType"] == kind, "resultType"), (named, "serverInfo")];
        whole.into_iter().filter(|(there, _)| !there).map(|(_, what)| format!("{what} is missing")).collect()
    } else {
        let modern = ["resultType", "ttlMs", "cacheScope", "inputRequests", "requestState"]
            .into_iter()
            .filter(|member| result.get(member).is_some());
        modern.map(|member| format!("{member} belongs to {MODERN}")).collect()
    }
}

/// The validator of a definition, compiled once for all tests.
fn validator(revision: &str, definition: &str) -> Arc<Validator> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let key = format!("{revision} {definition}");
    if let Some(validator) = COMPILED.lock().unwrap().get(&key) {
        return Arc::clone(validator);
    }
    let mut schema = schema(revision);
    let definitions = if schema.get("$defs").is_some() { "$defs" } else { "definitions" };
    assert!(schema[definitions].get(definition).is_some(), "{revision} has no {definition}");
    schema["$ref"] = json!(format!("#/{definitions}/{definition}"));
    let validator = Arc::new(jsonschema::validator_for(&schema).unwrap());
    COMPILED.lock().unwrap().insert(key, Arc::clone(&validator));
    validator
}

fn schema(revision: &str) -> Value {
    let text = match revision {
        "2024-11-05" => include_str!("../schema/2024-11-05.json"),
        "2025-03-26" => include_str!("../schema/2025-03-26.json"),
        "2025-06-18" => include_str!("../schema/2025-06-18.json"),
        "2025-11-25" => include_str!("../schema/2025-11-25.json"),
        MODERN => include_str!("../schema/2026-07-28.json"),
        other => panic!("{other} has no schema"),
    };
    serde_json::from_str(text).unwrap()
}
