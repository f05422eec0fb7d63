//! The error member of a response, by the error that it tells of.

use serde::Serialize;

use super::{codes, elicitation, revision::Era};
use crate::error::{Error, ErrorKind};

/// Error member of a response (JSON-RPC 2.0 § 5.1).
#[derive(Debug, Serialize)]
pub struct ErrorObject {
    code: i32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<serde_json::Value>,
}

impl ErrorObject {
    /// Returns an object without data.
    #[must_use]
    pub fn new(kind: ErrorKind, message: String, era: Era) -> Self {
        Self { code: codes::code(kind, era), message, data: None }
    }

    /// Returns the object of an error, with what clients are to read of it.
    #[must_use]
    pub fn of(error: &Error, era: Era) -> Self {
        let data = match error {
            Error::RevisionUnsupported { requested, supported } => {
                Some(serde_json::json!({"supported": supported, "requested": requested}))
            }
            Error::PageRequired(page) => Some(elicitation::required(page)),
            _ => None,
        };
        Self { data, ..Self::new(error.kind(), error.to_string(), era) }
    }
}
