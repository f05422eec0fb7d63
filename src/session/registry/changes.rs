//! Notifications of changes in a user's tools.

use std::sync::Arc;

use actix::{Context, Handler, MessageResult};

use super::SessionRegistry;
use crate::{
    ids::UserKey,
    membrane::{CatalogChanged, TokenRefused},
    session::{
        messages::{Event, Listen, ToolsChanged},
        queue,
        streams::CHANGES,
        token_end::Shown,
    },
    tools::Scope,
};

/// Clients without a session that want to be told of changes.
#[derive(Default)]
pub(super) struct Listeners(Vec<Listener>);

struct Listener {
    user: UserKey,
    shown: Shown,
    scope: Scope,
    events: queue::Sender<Event>,
}

impl Listeners {
    /// Ends the streams of all listeners.
    pub(super) fn close(&mut self) {
        self.0.clear();
    }

    /// Ends the streams whose tokens don't pass.
    pub(super) fn retain(&mut self, is_good: impl Fn(&mut Shown) -> bool) {
        self.0.retain_mut(|listener| is_good(&mut listener.shown));
    }

    fn tell(&mut self, changed: &CatalogChanged) {
        for Listener { user, scope, events, .. } in &self.0 {
            if *user == changed.user
                && scope.apps == changed.apps
                && scope.lists_otherwise(&changed.before, &changed.now, None)
            {
                // A full queue holds a change that is not read yet, which stands for this one as well.
                let _ = events.try_send(Event::ToolsChanged);
            }
        }
    }
}

impl Handler<Listen> for SessionRegistry {
    type Result = MessageResult<Listen>;

    fn handle(&mut self, Listen { user, token, scope }: Listen, _: &mut Context<Self>) -> Self::Result {
        let (events, receiver) = queue::queue(CHANGES);
        // A client that goes sends no word, so each new listener clears out those who have gone.
        self.listeners.0.retain(|listener| !listener.events.is_gone());
        // Otherwise the sender is dropped here, and the stream ends at once.
        if !self.is_draining {
            let mut shown = Shown::default();
            shown.note(Some(token));
            self.listeners.0.push(Listener { user, shown, scope, events });
        }
        MessageResult(receiver)
    }
}

impl Handler<CatalogChanged> for SessionRegistry {
    type Result = ();

    /// From the Membrane actor of the user's worker: sessions of theirs may be on any.
    fn handle(&mut self, changed: CatalogChanged, _: &mut Context<Self>) {
        let changed = Arc::new(changed);
        for registry in self.common.sessions.registries().started() {
            registry.do_send(ToolsChanged(Arc::clone(&changed)));
        }
    }
}

impl Handler<TokenRefused> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, TokenRefused(token): TokenRefused, _: &mut Context<Self>) {
        self.common.revocations.revoke(&token);
    }
}

impl Handler<ToolsChanged> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, ToolsChanged(changed): ToolsChanged, _: &mut Context<Self>) {
        self.listeners.tell(&changed);
        for entry in self.sessions.values().filter(|entry| entry.owner == changed.user) {
            entry.session.do_send(ToolsChanged(Arc::clone(&changed)));
        }
    }
}
