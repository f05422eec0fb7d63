//! The way of a call that needs an account: the user is asked, the account is waited for, and the call goes on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::counter;

use super::{
    ToolService,
    links::TTL,
    waiting::{Awaited, Waited},
};
use crate::{
    error::{Error, Page},
    ids::UserKey,
    membrane::{
        AccountState, Caller, MembraneError,
        connect::{Connect, ConnectError, ConnectionRequest},
    },
    protocol::{
        elicitation::{Decision, InputRequired, Resume},
        json,
        request::CallTool,
        tools::CallToolResult,
    },
    seal::Bond,
    tools::{
        AskBy, Builtin, Outcome, View,
        connecting::{Asking, Link, Resumed, State, Unasked, Wanted, secure},
    },
};

/// Time that a call waits for its user to sign in, once the page was opened. Clients and proxies wait longer for an answer.
const TIMEOUT: Duration = Duration::from_secs(25);

/// Rounds in which a client is only told to send its call again, before the user is asked once more: clients end a call that goes
/// on for too many.
const ROUNDS: u8 = 4;

/// Time for which a link that nobody has used is given out again, so that a model that asks twice makes no second request.
const REUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// Purpose of sealed states.
const STATE: &str = "call";

impl ToolService {
    /// Asks the user to connect an account, in the way that the client has. A call that has `failed` for want of the account gets
    /// its result back where nobody can be asked; `again` is the tool to call after the sign-in.
    pub(in crate::tools) async fn ask_to_connect(
        &self,
        view: &View,
        asking: &Asking,
        wanted: Wanted,
        again: &str,
        failed: Option<CallToolResult>,
    ) -> Result<Outcome, Error> {
        match self.ask(view, asking, wanted.clone(), again, failed.clone()).await? {
            Ok(asked) => Ok(asked),
            // A failure says already what is the matter.
            Err(unasked) => {
                Ok(Outcome::Result(failed.unwrap_or_else(|| CallToolResult::text(wanted.unasked(&unasked)))))
            }
        }
    }

    /// Asks the user, or tells why that can't be.
    pub(in crate::tools) async fn ask(
        &self,
        view: &View,
        asking: &Asking,
        wanted: Wanted,
        again: &str,
        failed: Option<CallToolResult>,
    ) -> Result<Result<Outcome, Unasked>, Error> {
        let app = wanted.app.clone();
        let (wanted, name, link) = match self.link_to(&view.caller, asking, wanted).await {
            Ok(made) => made,
            Err(Unasked::Failed(error @ Error::Unauthenticated(_))) => return Err(error),
            Err(unasked) => {
                log::info!(app = app.as_str(); "a user can't be asked to connect an account: {unasked}");
                return Ok(Err(unasked));
            }
        };
        counter!("mcp_connect_links_total", "by" => asking.by.as_str()).increment(1);
        let (url, message) = (self.address(asking, &name, &link), wanted.question(view.caller.user().workspace()));
        match asking.by {
            AskBy::Text => {
                let text = wanted.text(&url, again);
                let result = failed.map_or_else(|| CallToolResult::text(&text), |failed| failed.and_line(&text));
                Ok(Ok(Outcome::Result(result)))
            }
            AskBy::Error => Err(Error::PageRequired(Box::new(Page { id: name, url, message }))),
            AskBy::Result => {
                let page = Some(Page { id: name.clone(), url, message });
                let state = State { wanted, link: name, request: link.request, is_opened: false, rounds: 0 };
                self.input_required(view.caller.user(), asking, page, &state).await.map(Ok)
            }
        }
    }

    /// Opens the state of a call that goes on. A state that was changed, is another user's or another call's, or has expired: all
    /// are refused alike.
    ///
    /// # Errors
    /// [`Error::InvalidParams`]; [`Error::StoreUnavailable`].
    pub(in crate::tools) async fn reopen(
        &self,
        user: &UserKey,
        asking: &Asking,
        resume: Resume,
        again: CallTool,
    ) -> Result<Resumed, Error> {
        let sealer = self.sealer().await?;
        let digest = asking.digest();
        let bond = Bond { purpose: STATE, facts: &facts(user, &digest) };
        let text = sealer.open(bond, &resume.state, SystemTime::now());
        let state = text.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
            let refused = "requestState does not belong to this call, or has expired: send the call without it";
            Error::InvalidParams(refused.to_owned())
        })?;
        Ok(Resumed { state, decision: resume.decision, again })
    }

    /// Goes on with a call: gives it back once the account is connected, else what the client gets in place of its result.
    pub(in crate::tools) async fn go_on(
        &self,
        view: &View,
        asking: &Asking,
        resumed: Resumed,
    ) -> Result<Result<CallTool, Outcome>, Error> {
        let Resumed { mut state, decision, again } = resumed;
        let name = state.wanted.name.clone();
        let tail = if again.name.as_str() == Builtin::ConnectApp.name() { "" } else { " The action was not run." };
        let over = |text: String| Ok(Err(Outcome::Result(CallToolResult::failure(format!("{text}{tail}")))));
        state.is_opened |= decision == Some(Decision::Accept);
        match decision {
            Some(Decision::Decline) => return over(format!("The user does not want to connect {name}.")),
            Some(Decision::Cancel) => {
                return over(format!("The user has closed the question whether to connect {name}, without an answer."));
            }
            Some(Decision::Accept) | None => {}
        }
        let timeout = if state.is_opened { TIMEOUT } else { Duration::ZERO };
        let waited = self.wait_for(view, awaited_by(&state), timeout).await?;
        if matches!(waited, Waited::Declined | Waited::Failed(_)) {
            // Told by this call, it need not be told again by the next.
            let (last, _) = self.last_link(view.caller.user(), &state.wanted).await?;
            if last == state.link {
                self.forget_link(view.caller.user(), &state.wanted).await?;
            }
        }
        match waited {
            Waited::Connected => Ok(Ok(again)),
            Waited::Declined => over(format!("The user does not want to connect {name}.")),
            Waited::Failed(words) => over(failure(&name, &words)),
            Waited::Pending if state.is_opened && state.rounds < ROUNDS => {
                state.rounds += 1;
                self.input_required(view.caller.user(), asking, None, &state).await.map(Err)
            }
            Waited::Pending => {
                self.ask_to_connect(view, asking, state.wanted, again.name.as_str(), None).await.map(Err)
            }
        }
    }

    /// Waits for an account that its user was asked to connect before, or that `is_building`; gives nothing where there is
    /// nothing to wait for, or it is still open.
    pub(in crate::tools) async fn settle_pending(
        &self,
        view: &View,
        wanted: &Wanted,
        is_building: bool,
        at_most: Duration,
    ) -> Result<Option<CallToolResult>, Error> {
        let pending = self.pending_link(view.caller.user(), wanted).await?;
        let awaited = match &pending {
            // What became of the question counts no more once the account is set up.
            Some((name, link)) if !is_building => {
                Awaited { wanted, link: Some(name), request: link.request.as_deref() }
            }
            _ if is_building => Awaited { wanted, link: None, request: None },
            _ => return Ok(None),
        };
        Ok(match self.wait_for(view, awaited, at_most).await? {
            Waited::Connected => Some(wanted.connected()),
            Waited::Failed(words) => {
                self.forget_link(view.caller.user(), wanted).await?;
                Some(CallToolResult::text(failure(&wanted.name, &words)))
            }
            Waited::Declined => {
                self.forget_link(view.caller.user(), wanted).await?;
                let text = format!(
                    "The user does not want to connect {}. Another call of connect-app asks again.",
                    wanted.name
                );
                Some(CallToolResult::text(text))
            }
            Waited::Pending => None,
        })
    }

    /// Returns the result of a call that waits, with its state sealed.
    async fn input_required(
        &self,
        user: &UserKey,
        asking: &Asking,
        page: Option<Page>,
        state: &State,
    ) -> Result<Outcome, Error> {
        let digest = asking.digest();
        let until = SystemTime::now() + TTL;
        let bond = Bond { purpose: STATE, facts: &facts(user, &digest) };
        let sealed = self.sealer().await?.seal(bond, &json::to_string(state), until);
        Ok(Outcome::Ask(InputRequired { page, state: sealed.ok_or(Error::Internal)? }))
    }

    /// Returns a link on which the user connects an account: the one they were given lately, if they have not used it.
    async fn link_to(
        &self,
        caller: &Caller,
        asking: &Asking,
        wanted: Wanted,
    ) -> Result<(Wanted, String, Link), Unasked> {
        let user = caller.user();
        let connections = self.connections(caller, &wanted).await?;
        if wanted.state(&connections) == Some(AccountState::Building) {
            return Err(Unasked::Building);
        }
        // Kept under what was asked for, by which the next call looks for it.
        let asked = wanted.clone();
        let (mut wanted, page) = wanted.among(&connections);
        let (before, pending) = self.last_link(user, &asked).await?;
        if let Some(link) = pending
            && seconds().saturating_sub(link.at) < REUSED_FOR.as_secs()
            // The account that it was to bring back may have been taken away.
            && (!link.is_again || wanted.renewed().is_some())
            && self.link_use(&before).await?.is_none()
        {
            return Ok((wanted, before, link));
        }
        if !caller.user_limits().link() {
            return Err(Unasked::TooMany);
        }
        let (url, request) = if let Some(url) = page {
            (url, None)
        } else {
            let ConnectionRequest { id, url, .. } = self.request(caller, &mut wanted).await?;
            (url, Some(id))
        };
        let Some(url) = secure(&url) else {
            log::warn!(app = wanted.app.as_str(); "the upstream names a page for a sign-in that is neither of https nor of this machine");
            return Err(Unasked::Insecure);
        };
        let link = Link {
            workspace: user.workspace().to_owned(),
            user: user.user().to_owned(),
            app: wanted.name.clone(),
            is_again: wanted.renewed().is_some(),
            url,
            request,
            at: seconds(),
            signs_in_at: caller.token().is_of_sign_in().then(|| asking.site.to_string()),
        };
        let (name, link) = self.keep_link(user, &asked, &before, link).await?;
        Ok((wanted, name, link))
    }

    /// Asks the upstream for a page. An upstream that does not take the connection is asked for a new one.
    async fn request(&self, caller: &Caller, wanted: &mut Wanted) -> Result<ConnectionRequest, Unasked> {
        let client = &self.0.client;
        let made = match wanted.renewed() {
            Some(id) => match client.request_connection(caller, Connect::Again(id)).await {
                Err(ConnectError::NoSuchApp) => None,
                Err(ConnectError::Failed(MembraneError::Refused(refusal))) if matches!(refusal.status, 400 | 422) => {
                    None
                }
                made => Some(made),
            },
            None => None,
        };
        let made = if let Some(made) = made {
            made
        } else {
            *wanted = wanted.clone().anew();
            client.request_connection(caller, Connect::App(&wanted.app)).await
        };
        match made {
            Err(ConnectError::Failed(error)) if error.is_unauthenticated() => {
                Ok(self.heed(caller.token(), Err(error))?)
            }
            made => Ok(made?),
        }
    }
}

/// Returns the account that a call waits for.
fn awaited_by(State { wanted, link, request, .. }: &State) -> Awaited<'_> {
    Awaited { wanted, link: Some(link), request: request.as_deref() }
}

/// Returns the seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns the facts that the state of a call is bound to.
fn facts<'a>(user: &'a UserKey, digest: &'a str) -> [&'a str; 3] {
    [user.workspace(), user.user(), digest]
}

/// Returns the text on an account that could not be connected.
fn failure(name: &str, words: &str) -> String {
    match words {
        "" => format!("{name} could not be connected."),
        words => {
            // Each line is marked, so that no text from outside can pass for one of the server's own.
            let quoted: Vec<_> = words.lines().map(|line| format!("> {line}")).collect();
            format!("{name} could not be connected. Membrane's answer, quoted:\n{}\n", quoted.join("\n"))
        }
    }
}
