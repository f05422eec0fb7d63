//! Places for sessions among those of their user, and among all.

use std::sync::Arc;

use super::registry::Sessions;
use crate::{
    allowance::{Allowance, Permit, note_limited},
    error::Error,
};

/// Takes a session from an allowance. Where all users together have too many, idle ones leave memory first.
///
/// # Errors
/// [`Error::TooMany`], and [`Error::Full`] where no session is idle.
pub async fn session_permit(sessions: &Sessions, allowance: &Arc<Allowance>) -> Result<Permit, Error> {
    match allowance.session() {
        Err(Error::Full) => {}
        other => return other,
    }
    sessions.make_room().await;
    allowance.session().inspect_err(|error| {
        // Counted here alone: the first refusal only makes idle sessions leave.
        if *error == Error::Full {
            note_limited("all_sessions");
        }
    })
}
