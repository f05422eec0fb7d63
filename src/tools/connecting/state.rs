//! States of calls that wait for an account.

use serde::{Deserialize, Serialize};

use super::Wanted;
use crate::protocol::{elicitation::Decision, request::CallTool};

/// State of a call that waits for an account. Clients carry it, sealed.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::tools) struct State {
    pub(in crate::tools) wanted: Wanted,
    /// Name of the link to the page.
    pub(in crate::tools) link: String,
    /// Id of the request behind it, where the upstream has one.
    pub(in crate::tools) request: Option<String>,
    /// Whether the user has opened the page.
    pub(in crate::tools) is_opened: bool,
    /// Rounds since the user was asked.
    pub(in crate::tools) rounds: u8,
}

/// Call that goes on where an earlier one was left.
#[derive(Debug)]
pub(in crate::tools) struct Resumed {
    pub(in crate::tools) state: State,
    pub(in crate::tools) decision: Option<Decision>,
    /// The call itself.
    pub(in crate::tools) again: CallTool,
}
