//! News of other servers about sessions of this worker.

use actix::{Context, Handler};

use super::SessionRegistry;
use crate::{
    session::messages::{
        AdoptChat, Cancel, ChatState, HasChanged, ListensElsewhere, OnReplicaEvent, Push, ReleaseChat,
    },
    store::ReplicaEvent,
};

impl Handler<OnReplicaEvent> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, OnReplicaEvent(event): OnReplicaEvent, _: &mut Context<Self>) {
        let session = |id| self.sessions.get(&id).map(|entry| &entry.session);
        match event {
            ReplicaEvent::Changed(id) => {
                session(id).inspect(|session| session.do_send(HasChanged));
            }
            ReplicaEvent::Missed => {
                // Any session may have changed while nothing was heard.
                for entry in self.sessions.values() {
                    entry.session.do_send(HasChanged);
                }
            }
            ReplicaEvent::Listens(id) => {
                session(id).inspect(|session| session.do_send(ListensElsewhere));
            }
            ReplicaEvent::Cancelled { session: id, request } => {
                session(id).inspect(|session| session.do_send(Cancel { id: request, is_here: true }));
            }
            ReplicaEvent::Pushed { session: id, message } => {
                let message = Box::<str>::from(message).into_string().into();
                session(id).inspect(|session| session.do_send(Push(vec![message])));
            }
            ReplicaEvent::Moved { from, to, owner } => {
                if let Some(left) = session(from).map(|session| session.send(ReleaseChat)) {
                    let sessions = self.common.sessions.clone();
                    actix::spawn(async move {
                        if let Ok(Ok(ChatState { subscribers, .. })) = left.await
                            && !subscribers.is_empty()
                        {
                            // Enabled tools went along at the replica that took the chat over. Only listeners are left
                            // to move.
                            let adopt = AdoptChat(ChatState { enabled: None, subscribers });
                            // A session that has ended meanwhile has nobody to tell of.
                            let _ = sessions.deliver(to, owner, None, adopt).await;
                        }
                    });
                }
            }
            ReplicaEvent::Closed(id) => self.forget(id),
            // Of no single session: `Runtime::heed` has dealt with them.
            ReplicaEvent::Revoked(_) | ReplicaEvent::Connections { .. } => {}
        }
    }
}
