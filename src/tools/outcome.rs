//! Outcomes of calls.

use super::enable::Selection;
use crate::protocol::{elicitation::InputRequired, tools::CallToolResult};

/// Outcome of a call that was run.
#[derive(Debug)]
pub enum Outcome {
    /// Result for the client, a failure of the tool included.
    Result(CallToolResult),
    /// Tools to enable, where there is something to enable them in.
    Enable(Selection),
    /// Question to the user, for a client that then sends the call again.
    Ask(InputRequired),
}
