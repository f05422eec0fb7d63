//! Finds out whose a token is: known on this thread, known to the worker that knows about it, or asked of the upstream.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use actix::Addr;
use tokio::sync::oneshot;

use super::{admission::Admission, revocation::Revocations, token_cache::TokenCache};
use crate::{
    error::Error,
    ids::ClientAddress,
    membrane::{Authenticate, Caller, MembraneActor, Proof, Recognise, Standing},
    secret::Fingerprint,
    token::{AccessToken, Claim},
    trace,
    workers::{PerWorker, ask},
};

/// Authenticator of one worker. See the [module](self).
pub struct Authenticator {
    cache: TokenCache,
    membranes: PerWorker<MembraneActor>,
    admission: Arc<Admission>,
    revocations: Revocations,
}

impl Authenticator {
    /// Returns an authenticator that knows no token yet. The admission is that of all workers.
    #[must_use]
    pub fn new(membranes: PerWorker<MembraneActor>, admission: Arc<Admission>, revocations: Revocations) -> Self {
        Self { cache: TokenCache::default(), membranes, admission, revocations }
    }

    /// Returns the caller of a token, where that is known on this thread.
    #[must_use]
    pub fn recognise(&self, token: &str, now: SystemTime) -> Option<Caller> {
        let caller = self.cache.caller(Fingerprint::of(token), self.revocations.count(), Instant::now())?;
        Some(caller).filter(|caller| !caller.token().has_expired(now))
    }

    /// Finds out whose token this is.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the upstream refuses it, [`Error::AccessDenied`] where its workspace may not use
    /// this server, [`Error::UpstreamUnavailable`] where it can't be known, [`Error::TooManyFailures`] where the upstream is
    /// not asked because it refused too much of late.
    pub async fn authenticate(
        &self,
        token: AccessToken,
        proof: Proof,
        address: ClientAddress,
    ) -> Result<Caller, Error> {
        // Read before the question: a revocation that comes meanwhile then outdates what is remembered of the answer.
        let (fingerprint, revoked) = (token.fingerprint(), self.revocations.count());
        let outcome = self.ask_about(token, proof, address).await;
        if let Ok(caller) = &outcome {
            self.cache.remember(fingerprint, caller, revoked);
        }
        outcome
    }

    /// Charges an address for a guess that was found out here.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`].
    pub fn charge_guess(&self, address: ClientAddress) -> Result<(), Error> {
        self.admission.charge_guess(address)
    }

    async fn ask_about(&self, token: AccessToken, proof: Proof, address: ClientAddress) -> Result<Caller, Error> {
        let membrane = self.membrane_of(&token)?.clone();
        let standing = match ask(&membrane, Recognise(token.clone())).await?? {
            Standing::Trusted(caller) => return Ok(caller),
            other => other,
        };
        let question = self.admission.admit(address, standing).await?;
        let trace = trace::Context::current();
        let (reply, outcome) = oneshot::channel();
        // Beside the request: a client that gives up must not free what its question takes before that is answered.
        actix::spawn(async move {
            let outcome = ask(&membrane, Authenticate { token, proof, trace }).await.flatten();
            question.settle(&outcome);
            // A client that no longer waits has no use for it.
            let _ = reply.send(outcome);
        });
        outcome.await.unwrap_or(Err(Error::Internal))
    }

    /// Returns the actor that knows about a token: its user's, so that the proof can be the load of the catalog, or that of
    /// the token's own hash while nobody knows whose it is.
    fn membrane_of(&self, token: &AccessToken) -> Result<&Addr<MembraneActor>, Error> {
        match token.claim() {
            Claim::User { user, .. } => self.membranes.owner_of(user),
            Claim::Opaque | Claim::UserAlone { .. } => self.membranes.owner_of(&token.fingerprint()),
        }
    }
}
