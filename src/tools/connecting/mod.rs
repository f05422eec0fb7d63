//! Connecting apps from the chat: a call that finds no account, or a lost one, gives the user a page to sign in on.
//!
//! Clients differ in how they can ask their users, so a page is asked for in one of three ways ([`AskBy`]). Of the revision
//! 2026-07-28, a client sends the call again with a sealed state, and the call goes on once the account is connected.

mod links;
mod sign_in;
mod state;
mod wanted;

use std::sync::Arc;

pub(super) use self::{
    links::Seals,
    state::{Resumed, State},
    wanted::{Unasked, Wanted, secure},
};
pub use self::{
    links::{Link, LinkUse},
    sign_in::{SignInBegun, SignInEnded},
};
use crate::{protocol::request::CallTool, store::runs::Digest};

/// Way in which a client has its user open a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskBy {
    /// By a result that asks for input, after which the client sends the call again (2026-07-28).
    Result,
    /// By an error that names the page (2025-11-25).
    Error,
    /// By a text for the model, which tells its user.
    Text,
}

/// Terms on which a call may ask its user to open a page.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) by: AskBy,
    /// Address of this server for the user's browser, without a slash at its end.
    pub(super) site: Arc<str>,
    /// Digest of the call, which a state is bound to. Nothing where no state is given out.
    digest: Option<Digest>,
}

impl Asking {
    /// Returns the terms of a call that came to `site`.
    pub(super) fn new(by: AskBy, site: Arc<str>, call: &CallTool) -> Self {
        // Only where a state is given out or comes back: arguments can be large.
        let is_needed = by == AskBy::Result || call.resume.is_some();
        Self { by, site, digest: is_needed.then(|| Digest::of(&[call.name.as_str(), call.arguments.get()])) }
    }

    /// Returns the digest of the call in hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        self.digest.map(Digest::to_hex).unwrap_or_default()
    }
}

impl AskBy {
    /// Returns the label by which metrics count it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Error => "error",
            Self::Text => "text",
        }
    }
}
