//! News of other servers about sessions of this worker.

use actix::{Context, Handler};

use super::SessionRegistry;
use crate::{
    session::messages::{Cancel, Estate, HasChanged, Hear, Inherit, LeaveChat, ListensElsewhere, Push},
    store::News,
};

impl Handler<Hear> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Hear(news): Hear, _: &mut Context<Self>) {
        let session = |id| self.sessions.get(&id).map(|entry| &entry.session);
        match news {
            News::Changed(id) => {
                session(id).inspect(|session| session.do_send(HasChanged));
            }
            News::Missed => {
                // Any session may have changed while nothing was heard.
                for entry in self.sessions.values() {
                    entry.session.do_send(HasChanged);
                }
            }
            News::Listens(id) => {
                session(id).inspect(|session| session.do_send(ListensElsewhere));
            }
            News::Cancelled { session: id, request } => {
                session(id).inspect(|session| session.do_send(Cancel { id: request, is_here: true }));
            }
            News::Pushed { session: id, message } => {
                let message = Box::<str>::from(message).into_string().into();
                session(id).inspect(|session| session.do_send(Push(vec![message])));
            }
            News::Moved { from, to, owner } => {
                if let Some(left) = session(from).map(|session| session.send(LeaveChat)) {
                    let sessions = self.common.sessions.clone();
                    actix::spawn(async move {
                        if let Ok(Ok(Estate { subscribers, .. })) = left.await
                            && !subscribers.is_empty()
                        {
                            // Enabled tools went along at the replica that took the chat over. Only listeners are left
                            // to move.
                            let inherit = Inherit(Estate { enabled: None, subscribers });
                            // A session that has ended meanwhile has nobody to tell of.
                            let _ = sessions.deliver(to, owner, None, inherit).await;
                        }
                    });
                }
            }
            News::Closed(id) => self.forget(id),
            // Of no single session: `Runtime::heed_news` has dealt with them.
            News::Distrusted(_) | News::Connections { .. } => {}
        }
    }
}
