//! JSON-RPC 2.0 envelopes (MCP 2025-11-25, basic/index § Messages).

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, Unexpected, Visitor},
};
use serde_json::value::RawValue;

use super::{clean::clean, error_object::ErrorObject, json};
use crate::{chunks::Chunk, error::Error};

/// Messages in a batch at most: each may have an answer as long as a list of tools.
const MAX_BATCH: usize = 64;

/// The id of a request: text or an integer, never null. Echoed as it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the variants are the forms of an id")]
pub enum RequestId {
    Signed(i64),
    Unsigned(u64),
    Text(Box<str>),
}

/// Integers up to this are exact as floating-point numbers (RFC 8259 § 6).
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

impl RequestId {
    /// Reads an id, without the detour that is needed where it is a member of something larger.
    fn read(id: &RawValue) -> Option<Self> {
        let text = id.get();
        match text.parse() {
            Ok(number) => Some(Self::Signed(number)),
            Err(_) if text.starts_with('"') => json::read(id).ok().map(Self::Text),
            Err(_) => json::read(id).ok(),
        }
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = RequestId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an integer")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RequestId, E> {
                Ok(RequestId::Signed(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RequestId, E> {
                Ok(i64::try_from(number).map_or(RequestId::Unsigned(number), RequestId::Signed))
            }

            // Languages whose numbers are all floating-point write the integer 1 as `1.0`.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<RequestId, E> {
                let integer = (number.fract() == 0.0 && number.abs() <= MAX_EXACT).then(|| format!("{number:.0}"));
                let integer = integer.and_then(|integer| integer.parse().ok()).map(RequestId::Signed);
                integer.ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RequestId, E> {
                Ok(RequestId::Text(text.into()))
            }
        }
        deserializer.deserialize_any(Id)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json::to_string(self))
    }
}

/// Message that a client sends.
#[derive(Debug)]
pub enum Message {
    /// Message that has an id and wants an answer.
    Request(Request),
    /// Message without an id, which is never answered.
    Notification(Notification),
    /// Answers a request of ours. We never send one, so it is taken and dropped.
    Response,
}

/// A request whose method and parameters have not been looked at yet.
#[derive(Debug)]
pub struct Request {
    /// By which the client knows the answer.
    pub id: RequestId,
    /// Method, such as `tools/call`.
    pub method: String,
    /// Parameters, unread and byte for byte as they came.
    pub params: Option<Box<RawValue>>,
}

impl Request {
    /// Returns the id, and gives back the rest: once they are read, large parameters must not last as long as the call.
    #[must_use]
    pub fn into_id(self) -> RequestId {
        self.id
    }
}

/// A notification whose method and parameters have not been looked at yet.
#[derive(Debug)]
pub struct Notification {
    /// Method, such as `notifications/initialized`.
    pub method: String,
    /// Parameters, unread and byte for byte as they came.
    pub params: Option<Box<RawValue>>,
}

/// A message that can't be used, with its id where that much could be read.
#[derive(Debug)]
pub struct Unusable {
    /// Id to answer under, as far as it could be read.
    pub id: Option<RequestId>,
    /// Reason why the message can't be used.
    pub error: Error,
}

/// Content of a POST's body.
#[derive(Debug)]
pub enum Body {
    /// One message, as every revision has it.
    Single(Message),
    /// An array of messages, each good or bad by itself.
    Batch(Vec<Result<Message, Unusable>>),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from a missing member, which `Option` alone would not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// Reads the body of a POST. What is no Unicode in it is replaced: a model that cuts a text in two must not fail for that.
///
/// # Errors
/// [`Error::Parse`] where it is no JSON, [`Error::InvalidRequest`] where it is no JSON-RPC message.
pub fn parse(body: &[u8]) -> Result<Body, Unusable> {
    let body = clean(body);
    if !body.trim_ascii_start().starts_with('[') {
        return parse_message(&body).map(Body::Single);
    }
    let items: Vec<&RawValue> = serde_json::from_str(&body).map_err(|e| not_json(&e))?;
    if items.is_empty() {
        return Err(invalid(None, "a batch must not be empty"));
    }
    if items.len() > MAX_BATCH {
        return Err(invalid(None, &format!("a batch has at most {MAX_BATCH} messages")));
    }
    let messages = items.iter().map(|item| parse_message(item.get()));
    Ok(Body::Batch(messages.collect()))
}

fn parse_message(text: &str) -> Result<Message, Unusable> {
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| {
        // A data error is reported before the rest was read, which may be no JSON at all.
        match serde_json::from_str::<IgnoredAny>(text) {
            Err(error) => not_json(&error),
            Ok(_) if error.is_data() => invalid(None, "not a JSON-RPC message"),
            Ok(_) => not_json(&error),
        }
    })?;
    let id = match envelope.id.map(RequestId::read) {
        None => None,
        Some(Some(id)) => Some(id),
        Some(None) => return Err(invalid(None, "id must be a string or an integer")),
    };
    if envelope.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        return Err(invalid(id, "jsonrpc must be \"2.0\""));
    }
    let Some(method) = envelope.method else {
        return match (id, envelope.result.is_some() != envelope.error.is_some()) {
            (_, true) => Ok(Message::Response),
            (id, false) => Err(invalid(id, "method is missing")),
        };
    };
    let Ok(method) = json::read::<String>(method) else {
        return Err(invalid(id, "method must be a string"));
    };
    // Clients whose language has no other word for "none" send null, or an empty list.
    let params = envelope.params.filter(|params| !json::is_none(params));
    if let Some(params) = params
        && !params.get().starts_with('{')
    {
        return Err(invalid(id, "params must be an object"));
    }
    let params = params.map(ToOwned::to_owned);
    Ok(match id {
        Some(id) => Message::Request(Request { id, method, params }),
        None => Message::Notification(Notification { method, params }),
    })
}

fn not_json(error: &serde_json::Error) -> Unusable {
    Unusable { id: None, error: Error::Parse(error.to_string()) }
}

fn invalid(id: Option<RequestId>, what: &str) -> Unusable {
    Unusable { id, error: Error::InvalidRequest(what.to_owned()) }
}

/// Returns an error response. Without an id the member is left out: `null` is no id (MCP 2025-11-25, schema
/// `JSONRPCErrorResponse`).
#[must_use]
pub fn error_response(id: Option<&RequestId>, error: &ErrorObject) -> Bytes {
    error_with(id.map(ErrorId::Of), error)
}

/// Returns an error response to a request whose id was not read: `null` (JSON-RPC 2.0 § 5).
#[must_use]
pub fn refusal(error: &ErrorObject) -> Bytes {
    error_with(Some(ErrorId::Unread), error)
}

/// Id member of an error response.
#[derive(Serialize)]
#[serde(untagged)]
enum ErrorId<'a> {
    /// Id of the request that is answered.
    Of(&'a RequestId),
    /// Id of a request whose body was not read: `null` on the wire.
    Unread,
}

fn error_with(id: Option<ErrorId<'_>>, error: &ErrorObject) -> Bytes {
    #[derive(Serialize)]
    struct Response<'a> {
        jsonrpc: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<ErrorId<'a>>,
        error: &'a ErrorObject,
    }
    json::to_string(&Response { jsonrpc: "2.0", id, error }).into()
}

/// Returns the pieces of a result response around the pieces of its `result`, none of them copied.
#[must_use]
pub fn result_response(id: &RequestId, result: Vec<Chunk>) -> Vec<Chunk> {
    let mut chunks = Vec::with_capacity(result.len() + 2);
    chunks.push(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":").into());
    chunks.extend(result);
    chunks.push(Bytes::from_static(b"}").into());
    chunks
}

/// Tells for how many seconds a call has been running (MCP 2025-11-25, basic/utilities/progress).
#[must_use]
pub fn progress(token: &RequestId, seconds: f64) -> Bytes {
    let message = format!("running for {seconds:.1} s");
    let params = serde_json::json!({"progressToken": token, "progress": seconds, "message": message});
    json::to_string(&serde_json::json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})).into()
}

/// Returns a notification without parameters, as JSON.
#[must_use]
pub fn notification(method: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::revision::Era;

    fn outline(body: &str) -> String {
        let message = |message: &Message| match message {
            Message::Request(r) => format!("request {} {}", r.id, r.method),
            Message::Notification(n) => format!("notification {}", n.method),
            Message::Response => "response".to_owned(),
        };
        let unusable = |u: &Unusable| {
            let id = u.id.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{:?} {id}", u.error.kind()).trim_end().to_owned()
        };
        match parse(body.as_bytes()) {
            Ok(Body::Single(m)) => message(&m),
            Ok(Body::Batch(items)) => {
                items.iter().map(|item| item.as_ref().map_or_else(unusable, message)).collect::<Vec<_>>().join(", ")
            }
            Err(u) => unusable(&u),
        }
    }

    #[test]
    fn a_body_is_told_apart() {
        let cases = [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1 ping"),
            (r#"{"jsonrpc":"2.0","id":"a\"b","method":"ping"}"#, r#"request "a\"b" ping"#),
            (r#"{"jsonrpc":"2.0","id":-7,"method":"m","params":{"a":1}}"#, "request -7 m"),
            (r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"m"}"#, "request 18446744073709551615 m"),
            (r#"{"jsonrpc":"2.0","method":"notifications/x"}"#, "notification notifications/x"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "response"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#, "response"),
            (r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#, "request 1 ping"),
            (r#"{"jsonrpc":"2.0","id":-2e1,"method":"ping"}"#, "request -20 ping"),
            (r#"{"jsonrpc":"2.0","id":1e300,"method":"ping"}"#, "InvalidRequest"),
            ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", "request 1 ping"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "InvalidRequest"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, "InvalidRequest"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, "InvalidRequest"),
            (r#"{"jsonrpc":"1.0","id":4,"method":"ping"}"#, "InvalidRequest 4"),
            (r#"{"id":4,"method":"ping"}"#, "InvalidRequest 4"),
            (r#"{"jsonrpc":"2.0","id":4}"#, "InvalidRequest 4"),
            (r#"{"jsonrpc":"2.0","id":4,"method":5}"#, "InvalidRequest 4"),
            (r#"{"jsonrpc":"2.0","id":4,"method":"m","params":[1]}"#, "InvalidRequest 4"),
            (r#"{"jsonrpc":"2.0","id":4,"method":"m","params":7}"#, "InvalidRequest 4"),
            (r#"{"jsonrpc":"2.0","id":4,"method":"m","params":null}"#, "request 4 m"),
            (r#"{"jsonrpc":"2.0","id":4,"method":"m","params":[ ]}"#, "request 4 m"),
            (r#"{"jsonrpc":"2.0","method":"notifications/x","params":[]}"#, "notification notifications/x"),
            ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", "request 1 ping"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, "InvalidRequest"),
            (r#"{"hello":1}"#, "InvalidRequest"),
            ("17", "InvalidRequest"),
            ("{", "Parse"),
            ("", "Parse"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":oops"#, "Parse"),
            ("[", "Parse"),
            ("[]", "InvalidRequest"),
            (
                r#" [{"jsonrpc":"2.0","id":1,"method":"ping"},1,{"jsonrpc":"2.0","method":"n"}]"#,
                "request 1 ping, InvalidRequest, notification n",
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(outline(body), expected, "body {body}");
        }
    }

    #[test]
    fn what_is_no_unicode_is_replaced() {
        let body = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"a\":\"\xff\",\"b\":\"\\ud83d\"}}";
        let Ok(Body::Single(Message::Request(request))) = parse(body) else { panic!("it is a request") };
        assert_eq!(request.params.unwrap().get(), "{\"a\":\"\u{fffd}\",\"b\":\"\\ufffd\"}");
        assert!(parse(b"\xff{}").is_err_and(|u| matches!(u.error, Error::Parse(_))), "it is no white space");
    }

    #[test]
    fn deep_nesting_is_no_trouble() {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":{}}}}}"#,
            "[".repeat(100_000) + &"]".repeat(100_000)
        );
        assert_eq!(outline(&body), "request 1 m");
    }

    #[test]
    fn an_error_without_an_id_has_no_id_member() {
        let body = error_response(None, &ErrorObject::of(&Error::EventUnknown, Era::Legacy));
        assert!(!String::from_utf8_lossy(&body).contains("\"id\""));
        let body = error_response(Some(&RequestId::Signed(3)), &ErrorObject::of(&Error::Internal, Era::Legacy));
        assert_eq!(&body[..], br#"{"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"Internal server error"}}"#);
        assert!(
            refusal(&ErrorObject::of(&Error::Internal, Era::Legacy))
                .starts_with(br#"{"jsonrpc":"2.0","id":null,"error":"#)
        );
    }
}
