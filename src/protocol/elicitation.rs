//! Asking a user to open a page, through the client (MCP 2025-11-25 and 2026-07-28, client/elicitation; MCP 2026-07-28,
//! basic/patterns/mrtr).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value, json, value::RawValue};

use super::json;
use crate::error::{Error, Page};

/// Key of the one request that a result asks, and of the response to it.
const KEY: &str = "connect";

/// Capabilities of a client that matter here. What is odd in them is no capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientCapabilities {
    /// Whether the client shows its user a link and asks whether to open it (`elicitation.url`).
    pub opens_pages: bool,
}

/// A result that asks for something before the call can be answered: a page that the user is to open, or only that the client
/// sends the call again.
#[derive(Debug, Clone)]
pub struct InputRequired {
    /// Page that the user is to open.
    pub page: Option<Page>,
    /// State of the call, which the client sends back with it.
    pub state: String,
}

/// Members of a call that goes on where an [`InputRequired`] left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// State, as the client sent it.
    pub state: String,
    /// Decision of the user about the page, if the client tells one.
    pub decision: Option<Decision>,
}

/// Decision of a user who was asked to open a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Opened the page, which does not mean that anything was done on it.
    Accept,
    /// Refused to open the page.
    Decline,
    /// Closed the question without an answer.
    Cancel,
}

impl<'de> Deserialize<'de> for ClientCapabilities {
    /// Reads an object; only what is none is an error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = ClientCapabilities;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<ClientCapabilities, A::Error> {
                let mut read = ClientCapabilities::default();
                while let Some(name) = members.next_key::<String>()? {
                    if name == "elicitation" {
                        // An empty one stands for forms alone.
                        let modes = members.next_value::<Value>()?;
                        read.opens_pages = modes.get("url").is_some_and(Value::is_object);
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(read)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl InputRequired {
    /// Returns the members of the result.
    pub(super) fn to_json(&self) -> Value {
        let mut members = Map::new();
        if let Some(Page { url, message, .. }) = &self.page {
            let params = json!({"mode": "url", "message": message, "url": url});
            members
                .insert("inputRequests".to_owned(), json!({KEY: {"method": "elicitation/create", "params": params}}));
        }
        members.insert("requestState".to_owned(), self.state.clone().into());
        members.into()
    }
}

impl Resume {
    /// Reads the members of a call's parameters. Responses without a state belong to nothing, and are ignored.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] for members of the wrong form.
    pub(super) fn read(state: Option<&RawValue>, responses: Option<&RawValue>) -> Result<Option<Self>, Error> {
        #[derive(Deserialize)]
        struct Response {
            action: Decision,
        }
        let wrong = |member: &str| Error::InvalidParams(format!("{member} has the wrong form"));
        let responses: Map<String, Value> =
            responses.map_or(Ok(Map::new()), json::read).map_err(|_other| wrong("inputResponses"))?;
        let Some(state) = state else { return Ok(None) };
        let state = json::read(state).map_err(|_other| wrong("requestState"))?;
        // One that can't be read is none: the user is asked again (basic/patterns/mrtr § Error Handling).
        let response = responses.get(KEY).and_then(|response| Response::deserialize(response).ok());
        Ok(Some(Self { state, decision: response.map(|response| response.action) }))
    }
}

/// Returns the `data` of the error that asks for a page (MCP 2025-11-25, client/elicitation § URL Elicitation Required Error).
pub(super) fn required(Page { id, url, message }: &Page) -> Value {
    json!({"elicitations": [{"mode": "url", "elicitationId": id, "url": url, "message": message}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clients_that_say_so_open_pages() {
        for (capabilities, opens) in [
            (r#"{"elicitation":{"url":{}}}"#, true),
            (r#"{"roots":{},"elicitation":{"form":{},"url":{"x":1}}}"#, true),
            (r#"{"elicitation":{}}"#, false),
            (r#"{"elicitation":{"form":{}}}"#, false),
            (r#"{"elicitation":{"url":true}}"#, false),
            (r#"{"elicitation":7}"#, false),
            ("{}", false),
        ] {
            let read: ClientCapabilities = serde_json::from_str(capabilities).unwrap();
            assert_eq!(read.opens_pages, opens, "{capabilities}");
        }
        assert!(serde_json::from_str::<ClientCapabilities>("[]").is_err());
    }

    #[test]
    fn a_call_goes_on_by_its_state_and_the_users_decision() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let read = |state: Option<&str>, responses: Option<&str>| {
            Resume::read(state.map(raw).as_deref(), responses.map(raw).as_deref()).map_err(|error| error.to_string())
        };
        let resume = |decision| Ok(Some(Resume { state: "s".to_owned(), decision }));
        let state = Some(r#""s""#);
        assert_eq!(read(state, Some(r#"{"connect":{"action":"accept"},"x":1}"#)), resume(Some(Decision::Accept)));
        assert_eq!(read(state, Some(r#"{"connect":{"action":"decline"}}"#)), resume(Some(Decision::Decline)));
        assert_eq!(
            read(state, Some(r#"{"connect":{"action":"cancel","content":{}}}"#)),
            resume(Some(Decision::Cancel))
        );
        for none in [None, Some("{}"), Some(r#"{"connect":7}"#), Some(r#"{"connect":{"action":"maybe"}}"#)] {
            assert_eq!(read(state, none), resume(None), "{none:?}");
        }
        assert_eq!(read(None, Some(r#"{"connect":{"action":"accept"}}"#)), Ok(None));
        assert_eq!(read(None, None), Ok(None));
        assert!(read(Some("7"), None).is_err() && read(state, Some("[]")).is_err());
    }
}
