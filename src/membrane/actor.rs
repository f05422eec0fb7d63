//! The actor between the sessions and the upstream: it knows which tokens are good, loads each user's catalog once for all
//! who ask, and looks tools up in batches. Nothing here waits for the network: requests run beside the mailbox and come
//! back as messages.

use std::{collections::HashMap, rc::Rc, time::Instant};

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use tokio::sync::oneshot;

use super::{
    Authenticate, Caller, Distrust, MembraneClient, Proof, Recognise,
    batching::Lookups,
    loading::{Loading, Watchers},
    model::Customer,
    signature::WorkspaceSecret,
    trust::Trust,
};
use crate::{
    allowance::Allowances,
    config::Settings,
    error::Error,
    ids::UserKey,
    secret::Fingerprint,
    token::{AccessToken, Claim, TokenProblem},
    trace,
};

/// To self: the upstream has said what it thinks of a token.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct TokenChecked {
    pub token: Fingerprint,
    pub verdict: Result<UserKey, Error>,
}

/// Who waits: the token they came with, and where they wait.
pub(super) type Asked<T, E> = (AccessToken, oneshot::Sender<Result<T, E>>);

/// See the [module](self).
pub struct MembraneActor {
    pub(super) client: Rc<MembraneClient>,
    workspace: Option<WorkspaceSecret>,
    trust: Trust,
    /// Who waits for the verdict on a token.
    checks: HashMap<Fingerprint, Vec<Asked<Caller, Error>>>,
    pub(super) loading: Loading,
    pub(super) lookups: Lookups,
}

impl MembraneActor {
    /// An actor that asks the upstream through `client`, and tells `watchers` what it learns.
    #[must_use]
    pub fn new(client: Rc<MembraneClient>, allowances: Allowances, watchers: Watchers, settings: &Settings) -> Self {
        Self {
            client,
            workspace: WorkspaceSecret::of(&settings.auth),
            trust: Trust::new(settings.auth.trust, settings.auth.max_trusted.get(), allowances),
            checks: HashMap::new(),
            loading: Loading::new(watchers, settings),
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
        let (client, addr) = (Rc::clone(&self.client), ctx.address());
        actix::spawn(trace.around(async move {
            let verdict = client.customer(&token).await.map_err(Error::from);
            addr.do_send(TokenChecked {
                token: token.fingerprint(),
                verdict: verdict.and_then(|customer| user_of(token.claim(), &customer)),
            });
        }));
    }

    /// Who comes with a token, where that is known or can be seen from the token itself.
    pub(super) fn recognise(&mut self, token: &AccessToken) -> Option<Caller> {
        let now = Instant::now();
        if let Some(caller) = self.trust.caller(token, now) {
            return Some(caller);
        }
        let Claim::User { user, .. } = token.claim() else { return None };
        if !self.workspace.as_ref()?.vouches_for(token) {
            return None;
        }
        self.trust.accept(token.fingerprint(), user.clone(), now);
        self.trust.caller(token, now)
    }

    /// Trusts a token, if somebody waits for the verdict on it.
    pub(super) fn accept_if_awaited(&mut self, token: Fingerprint, user: &UserKey) {
        if self.checks.contains_key(&token) {
            self.trust.accept(token, user.clone(), Instant::now());
        }
    }

    /// Tells all who wait what the upstream thinks of a token, which is trusted by now if that is good.
    pub(super) fn give_verdict(&mut self, token: Fingerprint, verdict: &Result<UserKey, Error>) {
        for (token, reply) in self.checks.remove(&token).unwrap_or_default() {
            let caller = match verdict {
                Ok(_) => self.trust.caller(&token, Instant::now()).ok_or(Error::Internal),
                Err(error) => Err(error.clone()),
            };
            // Who no longer waits has no use for it.
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
    if let Claim::User { user, .. } = claim {
        let agrees = |said: &Option<String>, claimed: &str| said.as_deref().is_none_or(|said| said == claimed);
        if agrees(internal_id, user.user()) && agrees(workspace_key, user.workspace()) {
            return Ok(user.clone());
        }
        log::error!(user:%; "the upstream says that a token of this user is another's, and it is refused");
        return Err(TokenProblem::Refused("it names another user than the upstream knows it by".to_owned()).into());
    }
    match (workspace_key, internal_id, id) {
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
        if let Some(caller) = self.recognise(&token) {
            return Box::pin(async move { Ok(caller) });
        }
        let fingerprint = token.fingerprint();
        let (reply, verdict) = oneshot::channel();
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
        MessageResult(self.recognise(&token))
    }
}

impl Handler<TokenChecked> for MembraneActor {
    type Result = ();

    fn handle(&mut self, TokenChecked { token, verdict }: TokenChecked, _: &mut Context<Self>) {
        if let Ok(user) = &verdict {
            self.trust.accept(token, user.clone(), Instant::now());
            self.loading.note_proof(token);
        }
        self.give_verdict(token, &verdict);
    }
}

impl Handler<Distrust> for MembraneActor {
    type Result = ();

    fn handle(&mut self, Distrust(token): Distrust, _: &mut Context<Self>) {
        self.trust.revoke(token);
    }
}
