//! Settled facts of a session, and the tools that it sees.

use std::time::SystemTime;

use crate::{
    ids::UserKey,
    membrane::Apps,
    protocol::{lifecycle::ClientInfo, revision::Revision},
    store::{EnabledTool, SessionRecord, record::SessionState},
    tools::Scope,
};

/// Settled facts of a session: its revision, client and scope.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The revision that was negotiated; over HTTP+SSE the stream opens the session before that.
    pub revision: Option<Revision>,
    /// Name and version of the client, as it introduced itself.
    pub client: Option<ClientInfo>,
    /// Tools that the session sees.
    pub scope: Scope,
}

impl Profile {
    /// Returns the record of a new session with this profile.
    #[must_use]
    pub fn record(&self, owner: UserKey, opened: SystemTime, tools: Vec<EnabledTool>) -> SessionRecord {
        let state = SessionState {
            revision: self.revision,
            client: self.client.clone(),
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
            scope: Scope {
                mode: state.mode,
                apps: Apps::of(state.apps.clone()),
                filter: state.filter.clone().into(),
                output_tokens: state.output_tokens,
            },
        }
    }
}
