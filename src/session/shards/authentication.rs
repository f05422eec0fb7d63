//! Whose a token is: known on this thread, known to the shard that knows about it, or found out from the upstream.

use std::{
    sync::atomic::Ordering,
    time::{Instant, SystemTime},
};

use super::{LocalShard, Shards, ask};
use crate::{
    error::Error,
    ids::ClientAddress,
    membrane::{Authenticate, Caller, Proof, Recognise},
    secret::Fingerprint,
    session::lockouts::{HasFailed, IsLockedOut},
    token::AccessToken,
    trace,
};

impl Shards {
    /// Whose a token is, where that is known on the thread of `local`.
    #[must_use]
    pub fn recognise(&self, local: &LocalShard, token: &str, now: SystemTime) -> Option<Caller> {
        let distrusted = self.0.distrusted.load(Ordering::Acquire);
        let caller = local.recognised.caller(Fingerprint::of(token), distrusted, Instant::now())?;
        Some(caller).filter(|caller| !caller.token().has_expired(now))
    }

    /// Finds out whose token this is, for a request on the thread of `local`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the upstream refuses it, [`Error::UpstreamUnavailable`] where it can't say,
    /// [`Error::TooManyFailures`] where it is not asked for this address, because it refused too much from there.
    pub async fn authenticate(
        &self,
        local: &LocalShard,
        token: AccessToken,
        proof: Proof,
        address: ClientAddress,
    ) -> Result<Caller, Error> {
        // From before the question: what ends meanwhile ends what is remembered of the answer.
        let (fingerprint, distrusted) = (token.fingerprint(), self.0.distrusted.load(Ordering::Acquire));
        let outcome = self.ask_about(token, proof, address).await;
        if let Ok(caller) = &outcome {
            local.recognised.remember(fingerprint, caller, distrusted);
        }
        outcome
    }

    async fn ask_about(&self, token: AccessToken, proof: Proof, address: ClientAddress) -> Result<Caller, Error> {
        let membrane = &self.of_token(&token)?.membrane;
        if let Some(caller) = ask(membrane, Recognise(token.clone())).await? {
            return Ok(caller);
        }
        self.require_admission(address).await?;
        let outcome = ask(membrane, Authenticate { token, proof, trace: trace::Context::current() }).await?;
        if let Err(Error::Unauthenticated(_)) = &outcome {
            self.note_failure(address)?;
        }
        outcome
    }

    /// Sees to it that not too much was refused to an address of late.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`].
    pub async fn require_admission(&self, address: ClientAddress) -> Result<(), Error> {
        match ask(self.lockouts(address)?, IsLockedOut(address)).await? {
            Some(wait) => Err(Error::TooManyFailures { wait }),
            None => Ok(()),
        }
    }

    /// Somebody at an address has failed to show who they are.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn note_failure(&self, address: ClientAddress) -> Result<(), Error> {
        self.lockouts(address)?.do_send(HasFailed(address));
        Ok(())
    }
}
