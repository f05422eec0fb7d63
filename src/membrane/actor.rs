//! The actor between the sessions and the upstream: it knows which tokens are good, loads each user's catalog once for all
//! who ask, and looks tools up in batches. Nothing here waits for the network: requests run beside the mailbox and come
//! back as messages.

mod batching;
mod load_task;
mod loading;

use std::{collections::HashMap, rc::Rc, time::Instant};

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use tokio::sync::oneshot;

pub use self::loading::Watchers;
use self::{batching::Lookups, loading::Loading};
use super::{
    Authenticate, Caller, MembraneClient, Ping, Proof, Recognise, Report, RevokeToken, Standing, model::Customer,
    shared_lists::Sharing, signature::WorkspaceSecret, trust::VerifiedTokens,
};
use crate::{
    config::Settings,
    error::Error,
    ids::UserKey,
    secret::Fingerprint,
    token::{AccessToken, Claim, TokenProblem},
    trace,
    user_limits::LimitsOfUsers,
};

/// To self: the upstream's verdict on a token.
#[derive(Message)]
#[rtype(result = "()")]
struct TokenChecked {
    pub token: Fingerprint,
    pub verdict: Result<UserKey, Error>,
}

/// Waiting request: the token that it came with, and the channel for its answer.
type Asked<T, E> = (AccessToken, oneshot::Sender<Result<T, E>>);

/// Actor of one worker between its sessions and the upstream. See the [module](self).
pub struct MembraneActor {
    client: Rc<MembraneClient>,
    workspace: Option<WorkspaceSecret>,
    /// Workspaces whose users may use this server; all, where it is empty.
    workspaces: Vec<String>,
    trust: VerifiedTokens,
    /// Requests that wait for the verdict on a token.
    checks: HashMap<Fingerprint, Vec<Asked<Caller, Error>>>,
    loading: Loading,
    lookups: Lookups,
}

impl MembraneActor {
    /// Returns an actor that asks the upstream through `client`, and tells `watchers` what it learns.
    #[must_use]
    pub fn new(
        client: Rc<MembraneClient>,
        limits_of_users: LimitsOfUsers,
        sharing: Sharing,
        watchers: Watchers,
        settings: &Settings,
    ) -> Self {
        Self {
            client,
            workspace: WorkspaceSecret::of(&settings.auth),
            workspaces: settings.auth.workspaces.clone(),
            trust: VerifiedTokens::new(settings.auth.trust, settings.tuning.max_trusted_tokens, limits_of_users),
            checks: HashMap::new(),
            loading: Loading::new(watchers, sharing, settings),
            lookups: Lookups::default(),
        }
    }

    /// Asks the upstream about a token in the way of `proof`, unless a load with the same token will tell anyway.
    fn check(&mut self, token: AccessToken, proof: Proof, trace: trace::Context, ctx: &Context<Self>) {
        if let (Claim::User { user, .. }, Proof::Catalog(apps)) = (token.claim(), proof)
            && self.load_as_proof(&(user.clone(), apps), &token, &trace, ctx)
        {
            return;
        }
        let client = Rc::clone(&self.client);
        // Later requests with the token wait for this one's verdict, so there must be one whatever happens.
        let given_up = TokenChecked { token: token.fingerprint(), verdict: Err(Error::Internal) };
        let mut report = Report::new(ctx.address(), given_up);
        actix::spawn(trace.around(async move {
            let verdict = client.customer(&token).await.map_err(Error::from);
            let verdict = verdict.and_then(|customer| user_of(token.claim(), &customer));
            report.say(|checked| checked.verdict = verdict);
        }));
    }

    /// Refuses users of workspaces that may not use this server. Each way to a [`Caller`] leads through here: the claim of a
    /// token before it is looked at, and the upstream's word of whose it is.
    fn require_workspace(&self, user: &UserKey) -> Result<(), Error> {
        if self.workspaces.is_empty() || self.workspaces.iter().any(|key| key == user.workspace()) {
            return Ok(());
        }
        log::warn!(workspace = user.workspace(); "a token was refused: auth.workspaces does not hold its workspace");
        Err(Error::AccessDenied("this server does not serve your workspace".to_owned()))
    }

    /// Refuses a token that claims a user of such a workspace.
    fn require_claim(&self, token: &AccessToken) -> Result<(), Error> {
        match token.claim() {
            Claim::User { user, .. } => self.require_workspace(user),
            Claim::UserAlone { .. } | Claim::Opaque => Ok(()),
        }
    }

    /// Returns the caller of a token, where that is known or can be seen from the token itself.
    pub(super) fn recognise(&mut self, token: &AccessToken) -> Option<Caller> {
        let now = Instant::now();
        if let Some(caller) = self.trust.caller(token, now) {
            return Some(caller);
        }
        let Claim::User { user, .. } = token.claim() else { return None };
        if !self.workspace.as_ref()?.vouches_for(token) {
            return None;
        }
        // Remembered, so that the signature is not checked for each request.
        self.trust.accept(token.fingerprint(), user.clone(), now);
        self.trust.caller(token, now)
    }

    /// Forgets a token that the upstream has refused.
    pub(super) fn forget(&mut self, token: Fingerprint) {
        self.trust.revoke(token);
    }

    /// Trusts a token, if a request waits for the verdict on it.
    pub(super) fn accept_if_awaited(&mut self, token: Fingerprint, user: &UserKey) {
        if self.checks.contains_key(&token) {
            self.trust.accept(token, user.clone(), Instant::now());
        }
    }

    /// Answers all requests that wait for the verdict on a token. By a good one, it is trusted already.
    pub(super) fn give_verdict(&mut self, token: Fingerprint, verdict: &Result<UserKey, Error>) {
        for (token, reply) in self.checks.remove(&token).unwrap_or_default() {
            let caller = match verdict {
                Ok(_) => self.trust.caller(&token, Instant::now()).ok_or(Error::Internal),
                Err(error) => Err(error.clone()),
            };
            // The answer is dropped where its request was given up.
            let _ = reply.send(caller);
        }
    }
}

/// Returns the user that an accepted token speaks for. Without a workspace's key the customer's own id, unique everywhere, has
/// to do.
///
/// A token that names one user and is accepted as another's is refused: the answer is not about this token, or the claims are
/// not what the upstream goes by.
fn user_of(claim: &Claim, customer: &Customer) -> Result<UserKey, Error> {
    let Customer { id, internal_id, workspace_key } = customer;
    let agrees = |said: &Option<String>, claimed: &str| said.as_deref().is_none_or(|said| said == claimed);
    let (claimed, is_another) = match claim {
        Claim::User { user, .. } => {
            (Some(user), !agrees(internal_id, user.user()) || !agrees(workspace_key, user.workspace()))
        }
        Claim::UserAlone { user, .. } => (None, !agrees(internal_id, user)),
        Claim::Opaque => (None, false),
    };
    if is_another {
        log::error!(claimed:?; "the upstream says that a token of this user is another's, and it is refused");
        return Err(TokenProblem::Refused("it names another user than the upstream knows it by".to_owned()).into());
    }
    if let Some(claimed) = claimed {
        return Ok(claimed.clone());
    }
    match (workspace_key, internal_id, id) {
        // The same key as a token that claims it all, so that a user with tokens of both kinds is one user.
        (Some(workspace), Some(user), _) => Ok(UserKey::new(workspace, user)),
        (_, _, Some(id)) => Ok(UserKey::new("", id)),
        _ => Err(TokenProblem::WithoutUser.into()),
    }
}

impl Actor for MembraneActor {
    type Context = Context<Self>;
}

impl Handler<Authenticate> for MembraneActor {
    type Result = ResponseFuture<Result<Caller, Error>>;

    fn handle(&mut self, Authenticate { token, proof, trace }: Authenticate, ctx: &mut Context<Self>) -> Self::Result {
        // By the claim alone, so that a token of a workspace that is not served costs the upstream nothing.
        if let Err(refused) = self.require_claim(&token) {
            return Box::pin(async { Err(refused) });
        }
        if let Some(caller) = self.recognise(&token) {
            return Box::pin(async move { Ok(caller) });
        }
        let fingerprint = token.fingerprint();
        let (reply, verdict) = oneshot::channel();
        // All who come with the token meanwhile wait for one answer.
        let waiting = self.checks.entry(fingerprint).or_default();
        waiting.push((token.clone(), reply));
        if waiting.len() == 1 {
            self.check(token, proof, trace, ctx);
        }
        Box::pin(async move { verdict.await.unwrap_or(Err(Error::Internal)) })
    }
}

impl Handler<Recognise> for MembraneActor {
    type Result = MessageResult<Recognise>;

    fn handle(&mut self, Recognise(token): Recognise, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.require_claim(&token).map(|()| match (self.recognise(&token), token.claim()) {
            (Some(caller), _) => Standing::Trusted(caller),
            (None, _) if self.trust.was_accepted(token.fingerprint()) => Standing::AcceptedBefore,
            (None, Claim::User { user, .. }) if self.trust.knows(user) => Standing::Claims(user.clone()),
            (None, _) => Standing::Stranger,
        }))
    }
}

impl Handler<TokenChecked> for MembraneActor {
    type Result = ();

    fn handle(&mut self, TokenChecked { token, verdict }: TokenChecked, _: &mut Context<Self>) {
        let verdict = verdict.and_then(|user| self.require_workspace(&user).map(|()| user));
        match &verdict {
            Ok(user) => {
                self.trust.accept(token, user.clone(), Instant::now());
                // From now on a load with this token fails for reasons of the upstream, which concern all who wait.
                self.loading.note_proof(token);
            }
            Err(Error::Unauthenticated(_) | Error::AccessDenied(_)) => self.trust.revoke(token),
            // Trouble of the upstream is no verdict: that the token was good before still tells it from a guess.
            Err(_) => {}
        }
        self.give_verdict(token, &verdict);
    }
}

impl Handler<RevokeToken> for MembraneActor {
    type Result = ();

    fn handle(&mut self, RevokeToken(token): RevokeToken, _: &mut Context<Self>) {
        self.trust.revoke(token);
    }
}

impl Handler<Ping> for MembraneActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {}
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_upstream_says_whose_a_token_is_that_does_not_say_all() {
        let alone = Claim::UserAlone { user: "ann".to_owned(), expires_at: None };
        let cases = [
            (json!({"id": "1", "internalId": "ann", "workspaceKey": "w"}), Ok(UserKey::new("w", "ann"))),
            (json!({"id": "1", "internalId": "ann"}), Ok(UserKey::new("", "1"))),
            (json!({"id": "1"}), Ok(UserKey::new("", "1"))),
            (json!({"id": "1", "internalId": "bob", "workspaceKey": "w"}), Err(())),
            (json!({}), Err(())),
        ];
        for (customer, expected) in cases {
            let found = user_of(&alone, &serde_json::from_value(customer.clone()).unwrap());
            assert_eq!(found.map_err(|_refused| ()), expected, "{customer}");
        }
        let bob = serde_json::from_value(json!({"id": "1", "internalId": "bob", "workspaceKey": "w"})).unwrap();
        assert_eq!(user_of(&Claim::Opaque, &bob), Ok(UserKey::new("w", "bob")));
    }
}
