//! Requests of revision 2026-07-28, which stand alone, with all that a session would know in their `_meta`
//! (MCP 2026-07-28, basic/index § `_meta`).

use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;

use super::{
    elicitation::{ClientCapabilities, Resume},
    json,
    jsonrpc::{Request, RequestId},
    request::{CallTool, TracePlace, no_cursor},
    revision::{MODERN, Revision},
};
use crate::error::Error;

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

/// Facts around a request: members of its `_meta`, by which it says what it speaks, and what headers repeat.
#[derive(Debug)]
pub struct Envelope {
    /// The revision it is written in.
    pub version: String,
    /// Capabilities of the client.
    pub capabilities: ClientCapabilities,
    /// Name or URI that the request is about, which `Mcp-Name` has to repeat.
    pub subject: Option<String>,
    /// Place in a trace that it names.
    pub trace: Option<TracePlace>,
}

/// Parameters split into their members, of which any method uses some. They are gone through once: arguments may be large, and all
/// that is read of a member is read from there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    notifications: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request_state: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_responses: Option<&'a RawValue>,
}

/// Members of `_meta` that mean something here. What a client may leave out is read where it is used, and may be malformed.
#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    version: String,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: ClientCapabilities,
    #[serde(default, rename = "io.modelcontextprotocol/clientInfo")]
    _client: Option<MetaClient>,
    #[serde(default, rename = "io.modelcontextprotocol/logLevel")]
    _log_level: Option<LogLevel>,
    #[serde(borrow, default, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, default)]
    traceparent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tracestate: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MetaClient {
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

impl Params<'_> {
    /// Returns the name or URI that a request of a method is about.
    fn subject(&self, method: &str) -> Option<String> {
        let subject = match method {
            "tools/call" | "prompts/get" => self.name,
            "resources/read" => self.uri,
            _ => None,
        };
        json::read(subject?).ok()
    }

    fn call(&self, progress_token: Option<RequestId>) -> Result<CallTool, Error> {
        let name: String = member("name", self.name)?;
        let call = CallTool::new(&name, self.arguments.map(ToOwned::to_owned), progress_token)?;
        let resume = Resume::read(self.request_state, self.input_responses)?;
        Ok(CallTool { resume, ..call })
    }
}

impl Meta<'_> {
    /// Returns the place in a trace that the request names, where it can be read (MCP 2026-07-28, basic/index § `_meta`).
    fn trace(&self) -> Option<TracePlace> {
        let parent = json::read(self.traceparent?).ok()?;
        let state = self.tracestate.map(json::read).transpose().ok()?;
        Some((parent, state))
    }
}

/// Reads a member of the parameters that has to be there.
fn member<T: DeserializeOwned>(name: &str, value: Option<&RawValue>) -> Result<T, Error> {
    let value = value.ok_or_else(|| Error::InvalidParams(format!("missing field `{name}`")))?;
    json::read(value).map_err(|error| Error::InvalidParams(format!("{name}: {error}")))
}

impl ModernRequest {
    /// Reads the envelope, the method and the parameters. What belonged to sessions, `ping` included, is unknown here. The envelope
    /// comes with the reason where only the request is none: headers are compared with it first.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] where a required member of `_meta` is missing or one is malformed. Within:
    /// [`Error::MethodNotFound`] and [`Error::InvalidParams`].
    pub fn parse(request: &Request) -> Result<(Envelope, Result<Self, Error>), Error> {
        let malformed = |error| Error::InvalidParams(format!("_meta: {error}"));
        let missing = || Error::InvalidParams("_meta is missing".to_owned());
        let params = request.params.as_deref().ok_or_else(missing)?;
        let params: Params<'_> = serde_json::from_str(params.get()).map_err(malformed)?;
        let meta = params.meta.ok_or_else(missing)?;
        let meta: Meta<'_> = serde_json::from_str(meta.get()).map_err(malformed)?;
        // A token that is none is no reason not to call the tool.
        let progress_token = meta.progress_token.and_then(|token| json::read(token).ok());
        let read = match request.method.as_str() {
            "server/discover" => Ok(Self::Discover),
            "tools/list" => no_cursor(params.cursor).map(|()| Self::ListTools),
            "tools/call" => params.call(progress_token).map(Self::CallTool),
            "subscriptions/listen" => member("notifications", params.notifications).map(Self::Listen),
            other => Err(Error::MethodNotFound(other.to_owned())),
        };
        let (subject, trace) = (params.subject(&request.method), meta.trace());
        Ok((Envelope { version: meta.version, capabilities: meta.capabilities, subject, trace }, read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

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
            let error = parse("tools/list", &format!(r#"{{"_meta":{{{meta}}}}}"#)).err().map(|error| error.kind());
            assert_eq!(error, (!sound).then_some(ErrorKind::InvalidParams), "{meta}");
        }
        let request = Request { id: RequestId::Signed(1), method: "tools/list".to_owned(), params: None };
        assert!(ModernRequest::parse(&request).is_err());
    }

    #[test]
    fn a_request_is_read_with_what_headers_and_traces_repeat_of_it() {
        let meta = |more: &str| {
            let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
            format!(r#""_meta":{{{version},"io.modelcontextprotocol/clientCapabilities":{{}}{more}}}"#)
        };
        let traced = meta(r#","progressToken":7,"traceparent":"00-a","tracestate":"b=1""#);
        let call = format!(r#"{{"name":"t","arguments":{{ "n": 1.50 }},"requestState":"s",{traced}}}"#);
        let (envelope, request) = parse("tools/call", &call).unwrap();
        assert_eq!((envelope.version.as_str(), envelope.subject.as_deref()), (MODERN, Some("t")));
        assert_eq!(envelope.trace, Some(("00-a".to_owned(), Some("b=1".to_owned()))));
        let Ok(ModernRequest::CallTool(call)) = request else { panic!("{request:?}") };
        assert_eq!((call.arguments.get(), call.progress_token), (r#"{ "n": 1.50 }"#, Some(RequestId::Signed(7))));
        assert_eq!(call.resume.map(|resume| resume.state).as_deref(), Some("s"));

        let odd = meta(r#","progressToken":[],"traceparent":5"#);
        let cases = [
            ("tools/call", r#""name":"t""#, Some("t"), None),
            ("tools/call", r#""name":5"#, None, Some(ErrorKind::InvalidParams)),
            ("tools/call", r#""arguments":{}"#, None, Some(ErrorKind::InvalidParams)),
            ("tools/call", r#""name":"t","arguments":[]"#, Some("t"), Some(ErrorKind::InvalidParams)),
            ("tools/call", r#""name":"t","requestState":5"#, Some("t"), Some(ErrorKind::InvalidParams)),
            ("tools/list", r#""cursor":"x""#, None, Some(ErrorKind::InvalidParams)),
            ("tools/list", r#""cursor":"""#, None, None),
            ("tools/list", r#""cursor":null"#, None, None),
            ("subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#, None, None),
            ("subscriptions/listen", r#""name":"t""#, None, Some(ErrorKind::InvalidParams)),
            ("resources/read", r#""uri":"u""#, Some("u"), Some(ErrorKind::MethodNotFound)),
            ("ping", r#""name":"t""#, None, Some(ErrorKind::MethodNotFound)),
        ];
        for (method, members, subject, error) in cases {
            let (envelope, request) = parse(method, &format!("{{{members},{odd}}}")).unwrap();
            assert_eq!((envelope.subject.as_deref(), envelope.trace), (subject, None), "{method} {members}");
            assert_eq!(request.err().map(|error| error.kind()), error, "{method} {members}");
        }
    }

    fn parse(method: &str, params: &str) -> Result<(Envelope, Result<ModernRequest, Error>), Error> {
        ModernRequest::parse(&Request {
            id: RequestId::Signed(1),
            method: method.to_owned(),
            params: Some(raw(params)),
        })
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
}
