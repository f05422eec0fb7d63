//! Whose a token is: known on this thread, known to the shard that knows about it, or found out from the upstream.

use std::{
    sync::atomic::Ordering,
    time::{Instant, SystemTime},
};

use tokio::sync::oneshot;

use super::{LocalShard, Shards, ask};
use crate::{
    error::Error,
    ids::ClientAddress,
    membrane::{Authenticate, Caller, Distrust, Proof, Recognise, Standing},
    secret::Fingerprint,
    store::News,
    token::AccessToken,
    trace,
};

impl Shards {
    /// Returns the caller of a token, where that is known on the thread of `local`.
    #[must_use]
    pub fn recognise(&self, local: &LocalShard, token: &str, now: SystemTime) -> Option<Caller> {
        let distrusted = self.0.distrusted.load(Ordering::Acquire);
        let caller = local.recognised.caller(Fingerprint::of(token), distrusted, Instant::now())?;
        Some(caller).filter(|caller| !caller.token().has_expired(now))
    }

    /// Finds out whose token this is, for a request on the thread of `local`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the upstream refuses it, [`Error::AccessDenied`] where its workspace may not use
    /// this server, [`Error::UpstreamUnavailable`] where it can't be known, [`Error::TooManyFailures`] where the upstream is
    /// not asked because it refused too much of late.
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
        let membrane = self.of_token(&token)?.membrane.clone();
        let standing = match ask(&membrane, Recognise(token.clone())).await?? {
            Standing::Trusted(caller) => return Ok(caller),
            other => other,
        };
        let question = self.0.admission.admit(address, standing).await?;
        let trace = trace::Context::current();
        let (reply, outcome) = oneshot::channel();
        // Beside the request: a client that gives up must not free what its question takes before that is answered.
        actix::spawn(async move {
            let outcome = ask(&membrane, Authenticate { token, proof, trace }).await.flatten();
            question.settle(&outcome);
            // Who no longer waits has no use for it.
            let _ = reply.send(outcome);
        });
        outcome.await.unwrap_or(Err(Error::Internal))
    }

    /// Charges an address for a guess that was found out here.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`].
    pub fn charge_guess(&self, address: ClientAddress) -> Result<(), Error> {
        self.0.admission.charge_guess(address)
    }

    /// The upstream refused a token: it must be shown there again before it counts.
    pub fn distrust(&self, token: &AccessToken) {
        let token = token.fingerprint();
        self.distrust_here(token);
        if let Some(peers) = self.peers() {
            drop(peers.tell(&News::Distrusted(token)));
        }
    }

    /// The same for a token of which no more is known than its fingerprint.
    pub(in crate::session) fn distrust_here(&self, token: Fingerprint) {
        for shard in self.shards().flatten() {
            shard.membrane.do_send(Distrust(token));
            shard.registry.do_send(Distrust(token));
        }
        // After the messages: who sees this number asks later than that.
        self.0.distrusted.fetch_add(1, Ordering::Release);
    }
}
