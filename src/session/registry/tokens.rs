//! The registry's look at the tokens with whose end streams end.

use std::time::{Duration, SystemTime};

use actix::{AsyncContext, Context, Handler};

use super::SessionRegistry;
use crate::{
    membrane::RevokeToken,
    session::{messages::CloseStreams, token_end::Shown},
};

/// How often registries look for tokens that have ended. A stream lasts at most this much longer than its token, in which time
/// a client that renews its token late has shown the new one.
const LOOKS_EVERY: Duration = Duration::from_secs(5);

impl SessionRegistry {
    /// Looks for tokens that have ended, for as long as the registry lives.
    pub(super) fn look_at_tokens(ctx: &mut Context<Self>) {
        // A look at all of them rather than a timer for each: every request may move the end.
        ctx.run_interval(LOOKS_EVERY, |registry, _| {
            let now = SystemTime::now();
            registry.close_streams(|shown| shown.is_over(now), "its token has ended");
        });
    }

    fn close_streams(&mut self, is_over: impl Fn(&mut Shown) -> bool, why: &str) {
        self.listeners.retain(|shown| !is_over(shown));
        for (session, entry) in &mut self.sessions {
            if is_over(&mut entry.shown) {
                log::debug!(session:%, user:% = entry.owner; "its streams end: {why}");
                entry.session.do_send(CloseStreams);
            }
        }
    }
}

impl Handler<RevokeToken> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, RevokeToken(token): RevokeToken, _: &mut Context<Self>) {
        self.close_streams(|shown| shown.is_revoked(token), "its token was refused");
    }
}
