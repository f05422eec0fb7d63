//! Tools as clients see them: one way to list, find and call them, whatever the transport.
//!
//! A request brings a [`View`]: who asks, which tools the URL lets them see, and what is enabled where that counts. The
//! [`ToolService`] of the request's thread does the rest. A call takes two steps, since the error of a call that can't be made
//! has an HTTP status of its own, which must be known before a response stream begins:
//!
//! 1. [`ToolService::prepare`] takes the call from the user's limits, finds the tool, and opens the audit line.
//! 2. [`ToolService::run`] runs it.

mod accounts;
pub mod audit;
pub mod builtin;
pub mod call;
pub mod catalog_cache;
pub mod connecting;
mod describe_tools;
pub mod enable;
pub mod enabled;
mod filter;
pub mod find;
mod governor;
pub mod instructions;
mod kept_outputs;
mod listing;
pub mod maybe_ready;
pub mod mode;
mod once;
mod outcome;
pub mod output;
pub mod refresh;
mod run_tools;
mod search_tools;
mod searches;
pub mod service;
mod signature;
mod similar;
mod text;
pub mod view;
mod workspace_apps;

pub use audit::Origin;
pub use builtin::Builtin;
pub use call::ReadyCall;
pub use connecting::AskBy;
pub use enabled::EnabledTools;
pub use instructions::Instructions;
pub use maybe_ready::MaybeReady;
pub use outcome::Outcome;
pub use service::ToolService;
pub use view::{Enabled, Scope, View};
