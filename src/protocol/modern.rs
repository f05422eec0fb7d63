//! Results and notifications of revision 2026-07-28 (MCP 2026-07-28, basic/index § `_meta`).

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::ServerResult,
    json,
    jsonrpc::RequestId,
    lifecycle::{CAPABILITIES, SERVER_INFO},
    modern_request::Filter,
    revision::Revision,
};
use crate::chunks::Chunk;

/// Milliseconds for which what never changes may be kept.
pub const LASTING_TTL_MS: u64 = 3_600_000;

/// The subscription that a notification belongs to.
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Type of a result that answers its request.
const COMPLETE: &str = "complete";

/// Type of a result that asks for something first (basic/patterns/mrtr).
const INPUT_REQUIRED: &str = "input_required";

/// Member of `_meta` that names the server.
const SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// Returns `{"resultType":"complete","_meta":{…},`, with which every result begins.
fn opening() -> Bytes {
    static OPENING: LazyLock<Bytes> = LazyLock::new(|| opening_with(COMPLETE, &json!({SERVER: SERVER_INFO})));
    OPENING.clone()
}

fn opening_with(result_type: &str, meta: &Value) -> Bytes {
    format!("{{\"resultType\":\"{result_type}\",\"_meta\":{},", json::to_string(meta)).into()
}

/// Returns the JSON of a result, in pieces. A list may be kept for `ttl_ms`, by the user who asked and nobody else.
#[must_use]
pub fn result(mut answer: ServerResult, ttl_ms: u64) -> Vec<Chunk> {
    let is_list = matches!(answer, ServerResult::Tools(_));
    // There is one `_meta`, and it begins the result.
    let opening = match &mut answer {
        ServerResult::Call(result) => result.take_meta().map_or_else(opening, |meta| {
            let mut all = json!({SERVER: SERVER_INFO});
            if let (Value::Object(all), Value::Object(own)) = (&mut all, json!(meta)) {
                all.extend(own);
            }
            opening_with(COMPLETE, &all)
        }),
        ServerResult::InputRequired(_) => opening_with(INPUT_REQUIRED, &json!({SERVER: SERVER_INFO})),
        _ => opening(),
    };
    let mut chunks = answer.into_chunks();
    if let Some(Chunk::Plain(first)) = chunks.first_mut() {
        // Every result is an object; its brace opens ours.
        *first = first.slice(1..);
    }
    let caching = if is_list { format!("\"ttlMs\":{ttl_ms},\"cacheScope\":\"private\",") } else { String::new() };
    let mut result = vec![opening.into(), caching.into()];
    result.append(&mut chunks);
    result
}

/// Returns the result of `server/discover`. Instructions about the user may be kept for `personal_ttl_ms`; without that, the
/// result is the same for everybody.
#[must_use]
pub fn discover(instructions: &str, personal_ttl_ms: Option<u64>) -> Vec<Chunk> {
    let rest = json!({
        "supportedVersions": Revision::supported(),
        "capabilities": CAPABILITIES,
        "instructions": instructions,
        "ttlMs": personal_ttl_ms.unwrap_or(LASTING_TTL_MS),
        "cacheScope": if personal_ttl_ms.is_some() { "private" } else { "public" },
    });
    vec![opening().into(), Bytes::from(json::to_string(&rest)).slice(1..).into()]
}

/// Returns a notification on the stream of the subscription `id`.
fn notification(id: &RequestId, method: &str, mut params: Value) -> Bytes {
    if let Some(params) = params.as_object_mut() {
        params.insert("_meta".to_owned(), json!({SUBSCRIPTION_ID: id}));
    }
    json::to_string(&json!({"jsonrpc": "2.0", "method": method, "params": params})).into()
}

/// Returns the first message of a subscription: what will be told.
#[must_use]
pub fn acknowledged(id: &RequestId, filter: Filter) -> Bytes {
    notification(id, "notifications/subscriptions/acknowledged", json!({"notifications": filter}))
}

/// Tells a subscriber that the list of tools changed.
#[must_use]
pub fn tools_changed(id: &RequestId) -> Bytes {
    notification(id, "notifications/tools/list_changed", json!({}))
}

/// Returns the result of a subscription that the server ends.
#[must_use]
pub fn subscription_ended(id: &RequestId) -> Bytes {
    let meta = json!({SUBSCRIPTION_ID: id, SERVER: SERVER_INFO});
    json::to_string(&json!({"jsonrpc": "2.0", "id": id, "result": {"resultType": "complete", "_meta": meta}})).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chunks::into_bytes,
        protocol::{answer::ToolList, revision::MODERN, tools::CallToolResult},
    };

    #[test]
    fn a_result_is_one_object() {
        let mut list = ToolList::default();
        list.push(Bytes::from_static(b"{}"));
        let call = CallToolResult::text("t");
        let mended = call.clone().and_mended(vec!["/a: left out".to_owned()]);
        for answer in [
            ServerResult::Tools(list),
            ServerResult::Tools(ToolList::default()),
            ServerResult::Call(call),
            ServerResult::Call(mended),
        ] {
            let is_mended = format!("{answer:?}").contains("left out");
            let text = into_bytes(result(answer.clone(), 5)).concat();
            assert_eq!(String::from_utf8_lossy(&text).matches("_meta").count(), 1);
            let json: Value = serde_json::from_slice(&into_bytes(result(answer, 5)).concat()).unwrap();
            assert_eq!(json["resultType"], "complete");
            assert!(json["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string());
            assert_eq!(json["ttlMs"].is_u64(), json["tools"].is_array());
            assert_eq!(json["_meta"]["mended"][0] == "/a: left out", is_mended);
        }
        let json: Value = serde_json::from_slice(&into_bytes(discover("use them", None)).concat()).unwrap();
        assert_eq!(json["supportedVersions"][0], MODERN);
    }
}
