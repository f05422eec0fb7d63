//! Revision 2026-07-28: requests that stand alone, with all that a session would know in their `_meta`
//! (MCP 2026-07-28, basic/index § `_meta`).

use std::sync::LazyLock;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};

use super::{
    answer::Answer,
    elicitation::ClientCapabilities,
    json,
    jsonrpc::{Request, RequestId},
    lifecycle::{CAPABILITIES, SERVER_INFO},
    request::{CallTool, no_cursor, required},
    revision::{Era, MODERN, Revision},
};
use crate::{error::Error, pieces::Piece};

/// Milliseconds for which what never changes may be kept.
pub const LASTING_TTL_MS: u64 = 3_600_000;

/// The subscription that a notification belongs to.
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// A request of the modern era that this server knows.
#[derive(Debug)]
pub enum ModernRequest {
    /// Asks what the server speaks and offers.
    Discover,
    /// Lists the tools of the user.
    ListTools,
    /// Calls a tool of the user.
    CallTool(CallTool),
    /// Asks to be told of changes.
    Listen(Filter),
}

/// Notifications that a subscriber asks for; types that are not offered here are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Changes of the list of tools.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tools_list_changed: bool,
}

/// Members of `_meta` by which every request says what it speaks.
#[derive(Debug)]
pub struct Envelope {
    /// The revision it is written in.
    pub version: String,
    /// Capabilities of the client.
    pub capabilities: ClientCapabilities,
}

/// Returns whether parameters claim to be of the modern era, by naming their revision.
#[must_use]
pub fn is_claimed(params: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Params {
        #[serde(default, rename = "_meta")]
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default, rename = "io.modelcontextprotocol/protocolVersion")]
        version: Option<IgnoredAny>,
    }
    // Most messages are told by a glance.
    let params = params.filter(|params| params.get().contains("\"_meta\""));
    let meta = params.and_then(|params| json::read::<Params>(params).ok()?.meta);
    meta.is_some_and(|meta| meta.version.is_some())
}

impl Envelope {
    /// Reads the `_meta` of a request.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] where a required member is missing or one is malformed.
    pub fn read(params: Option<&RawValue>) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Params {
            #[serde(default, rename = "_meta")]
            meta: Option<Meta>,
        }
        #[derive(Deserialize)]
        struct Meta {
            #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
            version: String,
            #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
            capabilities: ClientCapabilities,
            #[serde(default, rename = "io.modelcontextprotocol/clientInfo")]
            _client: Option<ClientInfo>,
            #[serde(default, rename = "io.modelcontextprotocol/logLevel")]
            _log_level: Option<LogLevel>,
        }
        #[derive(Deserialize)]
        struct ClientInfo {
            #[serde(rename = "name")]
            _name: String,
            #[serde(rename = "version")]
            _version: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum LogLevel {
            Debug,
            Info,
            Notice,
            Warning,
            Error,
            Critical,
            Alert,
            Emergency,
        }
        let read = params.map(json::read::<Params>).transpose();
        let params = read.map_err(|error| Error::InvalidParams(format!("_meta: {error}")))?;
        let meta = params.and_then(|params| params.meta);
        let meta = meta.ok_or_else(|| Error::InvalidParams("_meta is missing".to_owned()))?;
        Ok(Self { version: meta.version, capabilities: meta.capabilities })
    }

    /// Sees to it that the revision is the one that is spoken without sessions.
    ///
    /// # Errors
    /// [`Error::RevisionUnsupported`].
    pub fn require_modern(&self) -> Result<(), Error> {
        if self.version == MODERN {
            return Ok(());
        }
        Err(Error::RevisionUnsupported { requested: self.version.clone(), supported: Revision::supported() })
    }
}

impl ModernRequest {
    /// Reads the method and the parameters. What belonged to sessions, `ping` included, is unknown here.
    ///
    /// # Errors
    /// [`Error::MethodNotFound`] and [`Error::InvalidParams`].
    pub fn read(request: &Request) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Listen {
            notifications: Filter,
        }
        let params = request.params.as_deref();
        match request.method.as_str() {
            "server/discover" => Ok(Self::Discover),
            "tools/list" => no_cursor(params).map(|()| Self::ListTools),
            "tools/call" => CallTool::read(params, Era::Modern).map(Self::CallTool),
            "subscriptions/listen" => required(params).map(|listen: Listen| Self::Listen(listen.notifications)),
            other => Err(Error::MethodNotFound(other.to_owned())),
        }
    }
}

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
pub fn result(mut answer: Answer, ttl_ms: u64) -> Vec<Piece> {
    let is_list = matches!(answer, Answer::Tools(_));
    // There is one `_meta`, and it begins the result.
    let opening = match &mut answer {
        Answer::Call(result) => result.take_meta().map_or_else(opening, |meta| {
            let mut all = json!({SERVER: SERVER_INFO});
            if let (Value::Object(all), Value::Object(own)) = (&mut all, json!(meta)) {
                all.extend(own);
            }
            opening_with(COMPLETE, &all)
        }),
        Answer::InputRequired(_) => opening_with(INPUT_REQUIRED, &json!({SERVER: SERVER_INFO})),
        _ => opening(),
    };
    let mut pieces = answer.into_pieces();
    if let Some(Piece::Plain(first)) = pieces.first_mut() {
        // Every result is an object; its brace opens ours.
        *first = first.slice(1..);
    }
    let caching = if is_list { format!("\"ttlMs\":{ttl_ms},\"cacheScope\":\"private\",") } else { String::new() };
    let mut result = vec![opening.into(), caching.into()];
    result.append(&mut pieces);
    result
}

/// Returns the result of `server/discover`. Instructions about the user may be kept for `personal_ttl_ms`; without that, the
/// result is the same for everybody.
#[must_use]
pub fn discover(instructions: &str, personal_ttl_ms: Option<u64>) -> Vec<Piece> {
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
        error::ErrorKind,
        pieces::plain,
        protocol::{answer::ToolList, tools::CallToolResult},
    };

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn an_envelope_must_be_whole() {
        let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
        let capabilities = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
        let info = |info: &str| format!(r#","io.modelcontextprotocol/clientInfo":{info}"#);
        let level = |level: &str| format!(r#","io.modelcontextprotocol/logLevel":"{level}""#);
        let cases = [
            (format!("{version},{capabilities}"), true),
            (format!("{version},{capabilities}{}", info(r#"{"name":"n","version":"1"}"#)), true),
            (format!("{version},{capabilities}{}", info(r#"{"name":"n"}"#)), false),
            (format!("{version},{capabilities}{}", level("info")), true),
            (format!("{version},{capabilities}{}", level("loud")), false),
            (version.to_owned(), false),
            (capabilities.to_owned(), false),
            (format!("{version},{}", capabilities.replace("{}", "[]")), false),
        ];
        for (meta, sound) in cases {
            let params = raw(&format!(r#"{{"_meta":{{{meta}}}}}"#));
            let error = Envelope::read(Some(&params)).err().map(|error| error.kind());
            assert_eq!(error, (!sound).then_some(ErrorKind::InvalidParams), "{meta}");
        }
        assert!(Envelope::read(None).is_err());
    }

    #[test]
    fn only_a_named_revision_claims_the_modern_era() {
        for (params, claimed) in [
            (r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":1}}"#, true),
            (r#"{"_meta":{"progressToken":1}}"#, false),
            (r#"{"arguments":{"_meta":{"io.modelcontextprotocol/protocolVersion":"x"}}}"#, false),
            (r#"{"_meta":7}"#, false),
            ("{}", false),
        ] {
            assert_eq!(is_claimed(Some(&raw(params))), claimed, "{params}");
        }
    }

    #[test]
    fn a_result_is_one_object() {
        let mut list = ToolList::default();
        list.push(Bytes::from_static(b"{}"));
        let call = CallToolResult::text("t");
        let mended = call.clone().and_mended(vec!["/a: left out".to_owned()]);
        for answer in
            [Answer::Tools(list), Answer::Tools(ToolList::default()), Answer::Call(call), Answer::Call(mended)]
        {
            let is_mended = format!("{answer:?}").contains("left out");
            let text = plain(result(answer.clone(), 5)).concat();
            assert_eq!(String::from_utf8_lossy(&text).matches("_meta").count(), 1);
            let json: Value = serde_json::from_slice(&plain(result(answer, 5)).concat()).unwrap();
            assert_eq!(json["resultType"], "complete");
            assert!(json["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string());
            assert_eq!(json["ttlMs"].is_u64(), json["tools"].is_array());
            assert_eq!(json["_meta"]["mended"][0] == "/a: left out", is_mended);
        }
        let json: Value = serde_json::from_slice(&plain(discover("use them", None)).concat()).unwrap();
        assert_eq!(json["supportedVersions"][0], MODERN);
    }
}
