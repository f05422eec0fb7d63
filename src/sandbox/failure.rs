//! Errors of the imitated API.

use std::fmt;

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use serde_json::{Value, json};

/// An answer that is an error.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    body: Value,
}

impl Failure {
    /// Returns an error with a status and the API's error object.
    pub fn new(status: u16, body: Value) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body }
    }

    /// Returns an error of the type that most refusals have.
    pub fn bad_request(status: u16, key: &str, message: &str) -> Self {
        Self::new(status, json!({"type": "bad_request", "key": key, "message": message}))
    }
}

/// Returns the failure for an input that can't be read.
pub fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(400, json!({"type": "bad_request", "message": error.to_string()}))
}

/// Returns the failure for something that is not there.
pub fn not_found(message: &str) -> Failure {
    Failure::bad_request(404, "not_found", message)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(&self.body)
    }
}
