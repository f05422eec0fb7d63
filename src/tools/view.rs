//! The tools that a request sees, and on whose behalf it looks.

use super::EnabledTools;
use crate::{
    membrane::{Apps, Caller},
    protocol::tools::ToolMode,
};

/// Which tools a request or session sees, as its URL says.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whether tools must be enabled first.
    pub mode: ToolMode,
    /// The integrations it is confined to.
    pub apps: Apps,
}

/// Everything that decides which tools a request sees.
#[derive(Debug, Clone)]
pub struct View {
    /// User who asks, with today's token.
    pub caller: Caller,
    /// Tools that the URL lets them see.
    pub scope: Scope,
    /// Tools that are enabled, where the mode asks for that.
    pub enabled: Enabled,
}

/// Enabled tools, as far as the request has any.
#[derive(Debug, Clone)]
pub enum Enabled {
    /// The request stands alone, so nothing can be enabled: each tool that could be, can be called.
    Stateless,
    /// Tools that the session has enabled.
    InSession(EnabledTools),
}
