//! Places for sessions among those of their user, and among all.

use std::sync::Arc;

use super::registry::Sessions;
use crate::{
    error::Error,
    user_limits::{Permit, UserLimits, note_limited},
};

/// Takes a session from what a user may have. Where all users together have too many, idle ones leave memory first.
///
/// # Errors
/// [`Error::TooMany`], and [`Error::Full`] where no session is idle.
pub async fn session_permit(sessions: &Sessions, user_limits: &Arc<UserLimits>) -> Result<Permit, Error> {
    match user_limits.session() {
        Err(Error::Full) => {}
        other => return other,
    }
    sessions.make_room().await;
    user_limits.session().inspect_err(|error| {
        // Counted here alone: the first refusal only makes idle sessions leave.
        if *error == Error::Full {
            note_limited("all_sessions");
        }
    })
}
