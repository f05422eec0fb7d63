//! Sign-in of the user who opens a link, so that nobody connects an account for another user.
//!
//! The way back is bound to the browser that pressed the button. A user who has signed in could else hand the last step to somebody else,
//! whose account would then be theirs to use.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{ToolService, links::TTL};
use crate::{
    error::Error,
    membrane::{AuthorizationServer, sign_in::SignIn},
    protocol::json,
    seal::{Bond, Sealer},
    secret::Secret,
    store::runs::Digest,
    tools::connecting::{Link, SignInBegun, SignInEnded},
};

/// Purpose of sealed states.
const STATE: &str = "sign-in";

/// Time for which a registration is used. An authorization server may forget its clients.
const REGISTERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// State of a sign-in, which comes back with the user.
#[derive(Serialize, Deserialize)]
struct State {
    /// Name of the link.
    link: String,
    verifier: String,
}

impl ToolService {
    /// Returns the page on which the user of a link has to sign in before the link leads on; none where they need not, or can't.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`], [`Error::UpstreamUnavailable`] and others of the upstream.
    pub async fn begin_sign_in(
        &self,
        name: &str,
        link: &Link,
        server: &AuthorizationServer,
        scope: &str,
    ) -> Result<Option<SignInBegun>, Error> {
        let Some(redirect) = link.signs_in_at.as_deref().map(back) else { return Ok(None) };
        if !self.0.client.upstream().can_sign_in(server) {
            return Ok(None);
        }
        let client = self.registration(server, &redirect).await?;
        let (verifier, browser) = (Sealer::draw_secret(), Sealer::draw_name());
        let (verifier, browser) = verifier.zip(browser).ok_or(Error::Internal)?;
        let state = State { link: name.to_owned(), verifier: verifier.reveal().to_owned() };
        let bond = Bond { purpose: STATE, facts: &[&browser] };
        let state = self.sealer().await?.seal(bond, &json::to_string(&state), SystemTime::now() + TTL);
        let sign_in = SignIn { client: &client, redirect: &redirect, verifier: &verifier };
        let page = sign_in.page(server, scope, &state.ok_or(Error::Internal)?).ok_or(Error::Internal)?;
        Ok(Some(SignInBegun { page, browser }))
    }

    /// Ends the sign-in of a user who comes back with a code. None where this browser has begun no such sign-in, or the code is
    /// none.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`], [`Error::UpstreamUnavailable`] and others of the upstream.
    pub async fn end_sign_in(
        &self,
        server: &AuthorizationServer,
        browser: &str,
        state: &str,
        code: &str,
    ) -> Result<Option<SignInEnded>, Error> {
        let bond = Bond { purpose: STATE, facts: &[browser] };
        let state = self.sealer().await?.open(bond, state, SystemTime::now());
        let state = state.and_then(|state| serde_json::from_str::<State>(&state).ok());
        let Some(State { link: name, verifier }) = state else { return Ok(None) };
        let Some(link) = self.link(&name).await? else { return Ok(None) };
        let Some(redirect) = link.signs_in_at.as_deref().map(back) else { return Ok(None) };
        let (client, verifier) = (self.registration(server, &redirect).await?, Secret::new(&verifier));
        let sign_in = SignIn { client: &client, redirect: &redirect, verifier: &verifier };
        let token = self.0.client.redeem(server, &sign_in, code).await?;
        Ok(token.map(|token| SignInEnded { name, link, token }))
    }

    /// Returns the id under which this server is registered for users who come back to `redirect`.
    async fn registration(&self, server: &AuthorizationServer, redirect: &str) -> Result<String, Error> {
        let (store, key) = (&self.0.store, Digest::of(&["oauth-client", &server.issuer, redirect]));
        if let Some(client) = store.note(key).await? {
            return Ok(client);
        }
        let client = self.0.client.register(server, redirect).await?;
        // Of several that register at once, all use the first one's.
        Ok(store.claim_note(key, client.clone(), Some(REGISTERED_FOR)).await?.unwrap_or(client))
    }
}

/// Returns the address to which users come back at this server.
fn back(site: &str) -> String {
    format!("{site}/connect/signed-in")
}
