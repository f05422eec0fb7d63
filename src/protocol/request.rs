//! The requests and notifications of the session revisions, read into types.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{
    clean::clean,
    elicitation::Resume,
    json,
    jsonrpc::{Notification, Request, RequestId},
    lifecycle::InitializeParams,
};
use crate::{error::Error, ids::ToolName};

/// A request that this server knows.
#[derive(Debug)]
pub enum ClientRequest {
    /// Opens a session, and negotiates the revision.
    Initialize(InitializeParams),
    /// Asks whether the server is there.
    Ping,
    /// Lists the tools of the session.
    ListTools,
    /// Calls a tool of the session.
    CallTool(CallTool),
}

/// Parameters of `tools/call`, read once.
#[derive(Debug, Clone)]
pub struct CallTool {
    /// Name of the tool, as the client wrote it.
    pub name: ToolName,
    /// Its arguments, a JSON object exactly as sent.
    pub arguments: Box<RawValue>,
    /// The arguments were sent as a text of JSON, and read.
    pub came_as_text: bool,
    /// Under which the client wants to hear of progress: a text or an integer, like an id.
    pub progress_token: Option<RequestId>,
    /// State with which the call goes on where an earlier one was left; of the modern era alone.
    pub resume: Option<Resume>,
}

/// A notification that this server acts on; any other is taken and dropped.
#[derive(Debug)]
pub enum ClientNotification {
    /// The client no longer wants an answer.
    Cancelled(RequestId),
    /// Any notification that changes nothing here.
    Other,
}

impl ClientRequest {
    /// Reads the method and the parameters.
    ///
    /// # Errors
    /// [`Error::MethodNotFound`] and [`Error::InvalidParams`].
    pub fn read(request: &Request) -> Result<Self, Error> {
        let params = request.params.as_deref();
        match request.method.as_str() {
            "initialize" => Ok(Self::Initialize(required(params)?)),
            "ping" => Ok(Self::Ping),
            "tools/list" => no_cursor_in(params).map(|()| Self::ListTools),
            "tools/call" => CallTool::read(params).map(Self::CallTool),
            other => Err(Error::MethodNotFound(other.to_owned())),
        }
    }
}

impl ClientNotification {
    /// Reads the method and the parameters. What is malformed is ignored, as a notification must be
    /// (MCP 2025-11-25, basic/utilities/cancellation § Error Handling).
    #[must_use]
    pub fn read(notification: &Notification) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled {
            request_id: RequestId,
        }
        if notification.method != "notifications/cancelled" {
            return Self::Other;
        }
        required::<Cancelled>(notification.params.as_deref())
            .map_or(Self::Other, |params| Self::Cancelled(params.request_id))
    }
}

impl CallTool {
    fn read(params: Option<&RawValue>) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Params {
            name: String,
            #[serde(default)]
            arguments: Option<Box<RawValue>>,
            #[serde(default, rename = "_meta")]
            meta: Option<Box<RawValue>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Meta {
            progress_token: RequestId,
        }
        let Params { name, arguments, meta } = required(params)?;
        // A token that is none is no reason not to call the tool.
        let progress_token = meta.and_then(|meta| json::read::<Meta>(&meta).ok()).map(|meta| meta.progress_token);
        Self::new(&name, arguments, progress_token)
    }

    /// Returns a call that nothing went before.
    pub(super) fn new(
        name: &str,
        arguments: Option<Box<RawValue>>,
        progress_token: Option<RequestId>,
    ) -> Result<Self, Error> {
        let none = || json::to_raw(&serde_json::Map::new());
        let (arguments, came_as_text) = match arguments {
            None => (none(), false),
            Some(text) if text.get() == r#""""# => (none(), true),
            Some(text) if text.get().starts_with('"') => (object_in(&text)?, true),
            Some(arguments) => (arguments, false),
        };
        if !arguments.get().starts_with('{') {
            return Err(not_an_object());
        }
        Ok(Self { name: ToolName::new(name), arguments, came_as_text, progress_token, resume: None })
    }
}

/// Reads arguments that a client has written as a text of JSON, as models do that write them token by token.
fn object_in(text: &RawValue) -> Result<Box<RawValue>, Error> {
    let text: String = json::read(text).map_err(|_no_text| not_an_object())?;
    serde_json::from_str(&clean(text.as_bytes())).map_err(|_no_json| not_an_object())
}

fn not_an_object() -> Error {
    Error::InvalidParams("arguments must be an object".to_owned())
}

/// Place in a trace: the `traceparent`, and the `tracestate` where there is one.
pub type TracePlace = (String, Option<String>);

/// Returns the place in a trace that the `_meta` of a request names (MCP 2026-07-28, basic/index § `_meta`; clients of other
/// revisions do the same).
#[must_use]
pub fn trace_of(params: Option<&RawValue>) -> Option<TracePlace> {
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "_meta")]
        meta: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        traceparent: String,
        #[serde(default)]
        tracestate: Option<String>,
    }
    // Most messages are told by a glance.
    let params = params.filter(|params| params.get().contains("\"traceparent\""))?;
    json::read(params).ok().map(|Params { meta }| (meta.traceparent, meta.tracestate))
}

/// Refuses a cursor: the list comes as one page, so every cursor is an invalid one (MCP 2025-11-25, server/utilities/pagination).
/// An empty one is none.
pub(super) fn no_cursor(cursor: Option<&RawValue>) -> Result<(), Error> {
    let Some(cursor) = cursor else { return Ok(()) };
    match json::read::<String>(cursor).map_err(|error| Error::InvalidParams(format!("cursor: {error}")))? {
        cursor if cursor.is_empty() => Ok(()),
        _ => Err(Error::InvalidParams("unknown cursor".to_owned())),
    }
}

fn no_cursor_in(params: Option<&RawValue>) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Params {
        #[serde(default)]
        cursor: Option<Box<RawValue>>,
    }
    let Some(params) = params else { return Ok(()) };
    no_cursor(required::<Params>(Some(params))?.cursor.as_deref())
}

fn required<T: DeserializeOwned>(params: Option<&RawValue>) -> Result<T, Error> {
    let params = params.ok_or_else(|| Error::InvalidParams("params are missing".to_owned()))?;
    json::read(params).map_err(|error| Error::InvalidParams(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn read(method: &str, params: Option<&str>) -> Result<ClientRequest, ErrorKind> {
        let request = Request {
            id: RequestId::Signed(1),
            method: method.to_owned(),
            params: params.map(|p| RawValue::from_string(p.to_owned()).unwrap()),
        };
        ClientRequest::read(&request).map_err(|e| e.kind())
    }

    #[test]
    fn parameters_are_checked_at_the_edge() {
        let cases = [
            ("ping", None, None),
            ("tools/list", None, None),
            ("tools/list", Some("{}"), None),
            ("tools/list", Some(r#"{"cursor":"x"}"#), Some(ErrorKind::InvalidParams)),
            ("tools/list", Some(r#"{"cursor":7}"#), Some(ErrorKind::InvalidParams)),
            ("tools/list", Some(r#"{"cursor":""}"#), None),
            ("tools/list", Some(r#"{"cursor":null}"#), None),
            ("tools/call", Some(r#"{"name":"t"}"#), None),
            ("tools/call", Some(r#"{"name":"t","arguments":null}"#), None),
            ("tools/call", Some(r#"{"name":"t","arguments":{"a":1},"task":{}}"#), None),
            ("tools/call", Some(r#"{"name":"t","arguments":[]}"#), Some(ErrorKind::InvalidParams)),
            ("tools/call", Some(r#"{"name":"t","arguments":""}"#), None),
            ("tools/call", Some(r#"{"name":"t","arguments":" {\"a\":1} "}"#), None),
            ("tools/call", Some(r#"{"name":"t","arguments":"[1]"}"#), Some(ErrorKind::InvalidParams)),
            ("tools/call", Some(r#"{"name":"t","arguments":"{\"a\":"}"#), Some(ErrorKind::InvalidParams)),
            ("tools/call", Some(r#"{"arguments":{}}"#), Some(ErrorKind::InvalidParams)),
            ("tools/call", None, Some(ErrorKind::InvalidParams)),
            ("initialize", Some(r#"{"protocolVersion":"2025-06-18"}"#), None),
            ("initialize", Some("{}"), Some(ErrorKind::InvalidParams)),
            ("initialize", None, Some(ErrorKind::InvalidParams)),
            ("resources/list", None, Some(ErrorKind::MethodNotFound)),
            ("logging/setLevel", None, Some(ErrorKind::MethodNotFound)),
            ("server/discover", None, Some(ErrorKind::MethodNotFound)),
        ];
        for (method, params, error) in cases {
            assert_eq!(read(method, params).err(), error, "{method} {params:?}");
        }
    }

    #[test]
    fn arguments_stay_as_they_were_sent() {
        let params = r#"{"name":"t","arguments":{ "n" : 1.50, "big": 123456789012345678901234567890 }}"#;
        let Ok(ClientRequest::CallTool(call)) = read("tools/call", Some(params)) else {
            panic!("a call");
        };
        assert_eq!(call.arguments.get(), r#"{ "n" : 1.50, "big": 123456789012345678901234567890 }"#);
        assert!(!call.came_as_text);
        let params = r#"{"name":"t","arguments":"{ \"n\" : 1.50, \"s\": \"\\ud83d\" }"}"#;
        let Ok(ClientRequest::CallTool(call)) = read("tools/call", Some(params)) else {
            panic!("a call");
        };
        assert_eq!(call.arguments.get(), r#"{ "n" : 1.50, "s": "\ufffd" }"#);
        assert!(call.came_as_text);
    }
}
