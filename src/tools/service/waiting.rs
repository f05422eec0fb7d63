//! Noticing that a user has connected an account: by a webhook at once, else by looking.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use tokio::{sync::broadcast, time::timeout};

use super::ToolService;
use crate::{
    error::Error,
    ids::UserKey,
    membrane::{AccountState, Caller, connect::Progress, model::Connection, webhook::Changed},
    store::ReplicaEvent,
    tools::{
        View,
        connecting::{LinkUse, Wanted},
        refresh::refresh_here,
    },
};

/// Time until a second look, which grows by half with each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Looks at the user's tools after an account was connected, until they show it.
const LOOKS_AT_TOOLS: u32 = 4;

/// State of an account that a user was asked to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waited {
    /// The account is connected.
    Connected,
    /// The user has said no.
    Declined,
    /// Attempt that failed, for a reason in the upstream's words.
    Failed(String),
    /// The user has not finished.
    Pending,
}

/// Account that is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awaited<'a> {
    pub(super) wanted: &'a Wanted,
    /// Link that leads to its page, where its user was asked.
    pub(super) link: Option<&'a str>,
    /// Request behind the link, where the upstream has one.
    pub(super) request: Option<&'a str>,
}

impl ToolService {
    /// Waits until an account is connected, or it is known that it won't be, at most for so long.
    pub(super) async fn wait_for(&self, view: &View, awaited: Awaited<'_>, at_most: Duration) -> Result<Waited, Error> {
        // Before the first look, so that no change is missed between two.
        let mut changes = self.0.client.upstream().changes();
        let (deadline, mut pause) = (Instant::now() + at_most, FIRST_PAUSE);
        let waited = loop {
            let seen = self.look(&view.caller, awaited).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if seen != Waited::Pending || left.is_zero() {
                break seen;
            }
            // Over or woken, the next look tells.
            let _ = timeout(pause.min(left), change_of(&mut changes, view.caller.user())).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        };
        let outcome = match &waited {
            Waited::Connected => "connected",
            Waited::Declined => "declined",
            Waited::Failed(_) => "failed",
            Waited::Pending => "pending",
        };
        counter!("mcp_connect_waits_total", "outcome" => outcome).increment(1);
        if waited == Waited::Connected {
            self.take_up(view, awaited.wanted).await?;
        }
        Ok(waited)
    }

    /// Looks once how far an account has come.
    async fn look(&self, caller: &Caller, Awaited { wanted, link, request }: Awaited<'_>) -> Result<Waited, Error> {
        let progress = match request {
            Some(id) => self.0.client.connection_progress(caller, id).await,
            None => Ok(Progress::Pending),
        };
        let connections = match progress {
            Err(error) if error.is_unauthenticated() => return self.heed(caller.token(), Err(error)),
            _ => self.connections(caller, wanted).await,
        };
        // Trouble on the way says nothing about the account.
        let connections = match connections {
            Err(error @ Error::Unauthenticated(_)) => return Err(error),
            Err(error) => {
                log::debug!("connections can't be asked for: {error}");
                Vec::new()
            }
            Ok(connections) => connections,
        };
        // Whatever became of the request: the account may be connected by another link, or elsewhere.
        if wanted.is_connected(&connections) {
            return Ok(Waited::Connected);
        }
        match progress {
            // The user has done all there is to do, but no run can use it yet.
            Ok(Progress::Connected) if wanted.state(&connections) == Some(AccountState::Building) => {
                return Ok(Waited::Pending);
            }
            // Lists may lag behind.
            Ok(Progress::Connected) => return Ok(Waited::Connected),
            Ok(Progress::Cancelled) => return Ok(Waited::Declined),
            Ok(Progress::Failed(words)) => return Ok(Waited::Failed(words)),
            Ok(Progress::Pending) => {}
            Err(error) => log::debug!("the progress of a connection can't be asked for: {error}"),
        }
        let Some(link) = link else { return Ok(Waited::Pending) };
        let is_declined = self.link_use(link).await? == Some(LinkUse::Declined);
        Ok(if is_declined { Waited::Declined } else { Waited::Pending })
    }

    /// Returns the state in which the upstream says that an account is now; nothing where there is none.
    pub(in crate::tools) async fn account_state(
        &self,
        caller: &Caller,
        wanted: &Wanted,
    ) -> Result<Option<AccountState>, Error> {
        Ok(wanted.state(&self.connections(caller, wanted).await?))
    }

    /// Returns the connections that a user has of an account's app.
    pub(super) async fn connections(&self, caller: &Caller, wanted: &Wanted) -> Result<Vec<Connection>, Error> {
        let connections = self.0.client.connections_of(caller, &wanted.app).await;
        self.heed(caller.token(), connections)
    }

    /// Has the user's tools loaded anew by all replicas, and waits until they show the app.
    pub(in crate::tools) async fn take_up(&self, view: &View, wanted: &Wanted) -> Result<(), Error> {
        let user = view.caller.user();
        self.forget_link(user, wanted).await?;
        let workspace = Some(user.workspace().to_owned()).filter(|workspace| !workspace.is_empty());
        let changed = Changed { workspace, users: vec![user.user().to_owned()] };
        if let Some(bus) = self.0.store.bus() {
            let Changed { workspace, users } = changed.clone();
            drop(bus.tell(&ReplicaEvent::Connections { workspace, users }));
        }
        let changed = Arc::new(changed);
        for look in 0..LOOKS_AT_TOOLS {
            if look > 0 {
                // The upstream's lists may lag behind its word.
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            refresh_here(&self.0.membranes, self.0.client.upstream(), Arc::clone(&changed)).await;
            let catalog = self.catalog(&view.caller, &view.scope).get().await?;
            let is_lost =
                catalog.accounts(&wanted.app).is_some_and(|accounts| accounts.state() == AccountState::Reconnect);
            let is_there = catalog.connected().any(|app| *app == wanted.app) || !view.scope.apps.include(&wanted.app);
            if is_there && !is_lost {
                break;
            }
        }
        Ok(())
    }
}

/// Waits for a change of a user's connections.
async fn change_of(changes: &mut broadcast::Receiver<Arc<Changed>>, user: &UserKey) {
    loop {
        match changes.recv().await {
            Ok(changed) if !changed.is_about(user) => {}
            // One who has missed some looks for itself.
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}
