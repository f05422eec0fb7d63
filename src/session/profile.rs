//! Settled facts of a session, and the tools that it sees.

use std::time::SystemTime;

use crate::{
    ids::UserKey,
    membrane::Apps,
    protocol::{lifecycle::ClientInfo, revision::Revision},
    store::{EnabledTool, SessionRecord, record::SessionState},
    tools::{AskBy, Scope},
};

/// Settled facts of a session: its revision, client and scope.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The revision that was negotiated; over HTTP+SSE the stream opens the session before that.
    pub revision: Option<Revision>,
    /// Name and version of the client, as it introduced itself.
    pub client: Option<ClientInfo>,
    /// Whether the client asks its user to open pages.
    pub opens_pages: bool,
    /// Tools that the session sees.
    pub scope: Scope,
}

impl Profile {
    /// Returns the way in which the client has its user open a page.
    #[must_use]
    pub fn ask_by(&self) -> AskBy {
        let asks_by_error = self.opens_pages && self.revision.is_some_and(Revision::asks_by_error);
        if asks_by_error { AskBy::Error } else { AskBy::Text }
    }

    /// Returns the record of a new session with this profile.
    #[must_use]
    pub fn record(&self, owner: UserKey, opened: SystemTime, tools: Vec<EnabledTool>) -> SessionRecord {
        let state = SessionState {
            revision: self.revision,
            client: self.client.clone(),
            opens_pages: self.opens_pages,
            mode: self.scope.mode,
            apps: self.scope.apps.keys().cloned(),
            filter: (*self.scope.filter).clone(),
            output_tokens: self.scope.output_tokens,
            tools,
            home: None,
        };
        SessionRecord { owner, opened, version: 0, state }
    }

    /// Returns the profile of a session that comes back from the store.
    #[must_use]
    pub fn of(state: &SessionState) -> Self {
        Self {
            revision: state.revision,
            client: state.client.clone(),
            opens_pages: state.opens_pages,
            scope: Scope {
                mode: state.mode,
                apps: Apps::of(state.apps.clone()),
                filter: state.filter.clone().into(),
                output_tokens: state.output_tokens,
            },
        }
    }
}
