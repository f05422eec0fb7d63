//! A call of a tool, from the moment that it may be made to its result.

use std::sync::Arc;

use serde_json::{Value, value::RawValue};

use super::{
    Builtin,
    audit::Audit,
    connecting::{Asking, Resumed, Wanted},
    output::{Asked, RunnerInputs},
    view::View,
};
use crate::{
    error::Error,
    ids::ToolName,
    membrane::{Tool, call::Target},
    protocol::{
        param_headers::{self, ParamHeader},
        tools::CallToolResult,
    },
    user_limits::RunningCall,
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
    /// Terms on which the user may be asked to connect an account.
    pub(super) asking: Asking,
    /// State of the call, where it goes on where an earlier one was left.
    pub(super) resumed: Option<Box<Resumed>>,
    pub(super) audit: Audit,
    pub(super) running: RunningCall,
}

/// Call that counts as running, and whose tool is not found yet.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) came_as_text: bool,
    pub(super) view: View,
    pub(super) asking: Asking,
    pub(super) audit: Audit,
    pub(super) running: RunningCall,
}

impl Begun {
    /// Returns the call once it is known what it runs.
    pub(super) fn ready(self, what: What, arguments: Box<RawValue>) -> ReadyCall {
        let Self { came_as_text, view, asking, audit, running } = self;
        ReadyCall {
            what,
            arguments,
            options: RunOptions::default(),
            came_as_text,
            view,
            asking,
            resumed: None,
            audit,
            running,
        }
    }
}

/// Thing that a call runs.
#[derive(Debug)]
pub(super) enum What {
    /// One of the server's own tools.
    Builtin(Builtin),
    /// The tool of an action.
    Tool(Arc<Tool>),
    /// No run, for a reason that the model can read. Without one, the call is prepared again before it runs.
    Nothing(Option<CallToolResult>),
    /// Tool that is gone with the account that it needs.
    Disconnected {
        /// Account to connect again.
        wanted: Wanted,
        /// Name of the tool.
        tool: ToolName,
    },
}

/// Options of a run beside the arguments, from whichever way the tool was called for the tool that it runs.
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

impl ReadyCall {
    /// Returns the call as it was before its tool was found.
    pub(super) fn begun(self) -> Begun {
        let Self { came_as_text, view, asking, audit, running, .. } = self;
        Begun { came_as_text, view, asking, audit, running }
    }

    /// Has `check` compare the arguments that clients repeat in headers with these. It is not asked where there are none, nor about
    /// a tool that a runner was asked to run.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] for arguments that can't be read, and those of the check.
    pub fn check_headers<E: From<Error>>(
        &mut self,
        check: impl FnOnce(&[ParamHeader], &Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let What::Tool(tool) = &self.what else { return Ok(()) };
        if tool.headers().is_empty() || self.options.is_by_runner {
            return Ok(());
        }
        let told = param_headers::pick(tool.headers(), &self.arguments)
            .map_err(|error| Error::InvalidParams(error.to_string()).into())
            .and_then(|told| check(tool.headers(), &told));
        told.inspect_err(|_| self.audit.refuse_call())
    }
}
