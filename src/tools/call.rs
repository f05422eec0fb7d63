//! A call of a tool, from the moment that it may be made to its result.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    Builtin,
    audit::Audit,
    enable::Selection,
    output::{Asked, RunnerInputs},
    view::View,
};
use crate::{
    allowance::RunningCall,
    error::Error,
    membrane::{Tool, call::Target},
    protocol::{param_headers, tools::CallToolResult},
};

/// A call that nothing speaks against. It counts as running until it is dropped, and its audit line is written then.
#[derive(Debug)]
pub struct ReadyCall {
    pub(super) what: What,
    pub(super) arguments: Box<RawValue>,
    pub(super) options: RunOptions,
    /// The arguments were sent as a text of JSON, and read.
    pub(super) came_as_text: bool,
    pub(super) view: View,
    pub(super) audit: Audit,
    pub(super) _running: RunningCall,
}

/// Thing that a call runs.
#[derive(Debug)]
pub(super) enum What {
    /// One of the server's own tools.
    Builtin(Builtin),
    /// The tool of an action.
    Tool(Arc<Tool>),
    /// No run, for a reason that the model can read.
    Nothing(CallToolResult),
}

/// Options that a runner was given for the tool that it runs.
#[derive(Debug)]
pub(super) struct RunOptions {
    /// Whether a runner was asked to run the tool, whose headers the client then can't know.
    pub(super) is_by_runner: bool,
    /// Part of the output that was asked for.
    pub(super) asked: Asked,
    /// Inputs by which another part can be had.
    pub(super) inputs: RunnerInputs,
    /// Key under which the call runs once.
    pub(super) key: Option<String>,
    /// Account that the call acts on.
    pub(super) target: Target,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            is_by_runner: false,
            asked: Asked::default(),
            inputs: RunnerInputs::None,
            key: None,
            target: Target::default(),
        }
    }
}

/// Outcome of a call that was run.
#[derive(Debug)]
pub enum Outcome {
    /// Result for the client, a failure of the tool included.
    Result(CallToolResult),
    /// Tools to enable, where there is something to enable them in.
    Enable(Selection),
}

impl ReadyCall {
    /// Sees to it that `Mcp-Param-*` headers say what the arguments say. `header` gives the values of a header, as they came.
    ///
    /// # Errors
    /// [`Error::HeaderMismatch`]; [`Error::InvalidParams`] for arguments that can't be read.
    pub fn check_headers<'a, V>(&mut self, header: impl Fn(&str) -> V) -> Result<(), Error>
    where
        V: IntoIterator<Item = &'a [u8]>,
    {
        let What::Tool(tool) = &self.what else { return Ok(()) };
        if tool.headers().is_empty() || self.options.is_by_runner {
            return Ok(());
        }
        let told = param_headers::pick(tool.headers(), &self.arguments)
            .map_err(|error| Error::InvalidParams(error.to_string()))
            .and_then(|told| param_headers::check(tool.headers(), &told, header));
        told.inspect_err(|error| self.audit.refuse(error))
    }
}
