//! One log line for each call of a tool, on a target of its own: who called which tool, what became of it, how long it took
//! and how much went in and out. With what it was called stands there only where the settings say so.

use std::{sync::Arc, time::Instant};

use log::kv::Value;
use serde_json::value::RawValue;

use super::{AskBy, outcome::Outcome};
use crate::{
    error::Error,
    ids::{ChatId, RequestTag, SessionId, ToolName, UserKey},
    protocol::request::CallTool,
};

/// Request by which a tool is called.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Chat that the request names.
    pub chat: Option<ChatId>,
    /// Session that the request is made in.
    pub session: Option<SessionId>,
    /// Id of the HTTP request, as it stands in the access log.
    pub request: RequestTag,
    /// Address of this server for the user's browser, without a slash at its end.
    pub site: Arc<str>,
    /// Way in which the client has its user open a page.
    pub ask_by: AskBy,
}

/// A call of a tool. Dropped, it is over, and its line is written.
#[derive(Debug)]
pub struct Audit {
    user: UserKey,
    origin: Origin,
    tool: ToolName,
    arguments: Option<Box<RawValue>>,
    bytes_in: usize,
    bytes_out: usize,
    begun: Instant,
    outcome: &'static str,
}

impl Audit {
    /// Begins the line of a call, which ends with its result.
    pub(super) fn begin(origin: Origin, user: UserKey, call: &CallTool, holds_arguments: bool) -> Self {
        Self {
            user,
            origin,
            tool: call.name.clone(),
            arguments: holds_arguments.then(|| call.arguments.clone()),
            bytes_in: call.arguments.get().len(),
            bytes_out: 0,
            begun: Instant::now(),
            // What is dropped before its end is known is no longer awaited by anybody.
            outcome: "cancelled",
        }
    }

    /// Notes that the call is one of another tool, which a runner was asked to run.
    pub(super) fn becomes(&mut self, tool: &ToolName, arguments: &RawValue) {
        self.tool = tool.clone();
        self.arguments = self.arguments.is_some().then(|| arguments.to_owned());
    }

    /// Notes the outcome of the call.
    pub(super) fn end(&mut self, outcome: &Result<Outcome, Error>) {
        match outcome {
            Ok(Outcome::Result(result)) => {
                self.outcome = if result.is_error() { "error" } else { "success" };
                self.bytes_out = result.bytes();
            }
            Ok(Outcome::Enable(selection)) => {
                self.outcome = "success";
                self.bytes_out = selection.result().bytes();
            }
            Ok(Outcome::Ask(_)) | Err(Error::PageRequired(_)) => self.outcome = "asked",
            Err(error) => self.refuse(error),
        }
    }

    /// Notes that there is nothing to be called, or not in this way.
    pub fn refuse(&mut self, error: &Error) {
        if !matches!(error, Error::Cancelled) {
            self.refuse_call();
        }
    }

    /// Notes that the call was refused, whatever for.
    pub fn refuse_call(&mut self) {
        self.outcome = "refused";
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let Origin { chat, session, request, .. } = &self.origin;
        log::info!(
            target: "audit",
            user:% = self.user,
            chat = chat.as_ref().map(ChatId::as_str),
            session = session.as_ref().map(Value::from_display),
            request:%,
            tool:% = self.tool,
            outcome = self.outcome,
            ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            arguments = self.arguments.as_deref().map(RawValue::get);
            "tool called"
        );
    }
}
