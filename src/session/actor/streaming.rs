//! The streams of a session, as it opens and fills them.

use std::sync::Arc;

use actix::{ActorContext, AsyncContext, Context, Handler, ResponseFuture};
use bytes::Bytes;
use serde_json::value::RawValue;

use super::SessionActor;
use crate::{
    error::Error,
    protocol::jsonrpc::RequestId,
    session::{
        event_log::{EventId, Logged, StreamId},
        messages::{
            Answered, CloseStreams, Event, Expect, OpenOutbox, OpenReply, OpenStream, Push, SendOnStream, Subscribe,
        },
        persistence::Persistence,
        queue,
        remote_stream::{self, Replicas},
    },
    store::{ReplicaEvent, SentEvent},
};

impl SessionActor {
    /// Logs what was sent on the stream that answers a request, so that another replica can go on with it. A failure is logged
    /// alone: it matters only if this replica is gone when the client comes back.
    fn share(
        &self,
        event: Option<EventId>,
        request: RequestId,
        message: Option<Vec<Bytes>>,
    ) -> impl Future<Output = ()> + use<> {
        let shared = self.kept.as_ref().and_then(|kept| Some((kept.store.bus()?, kept.store.event_log()?, kept)));
        let logged = event.zip(shared).map(|(EventId { stream, place }, (bus, log, kept))| {
            let (replica, is_end) = (bus.replica().to_owned(), message.is_none());
            let message = message.unwrap_or_default().concat().into();
            log.append(kept.session, &kept.owner, SentEvent { stream, place, replica, request, message, is_end })
        });
        async {
            if let Some(logged) = logged
                && let Err(error) = logged.await
            {
                log::debug!("an event can't be kept: {error}");
            }
        }
    }

    fn open_own(&mut self) -> queue::Receiver<Logged> {
        if let Some((bus, session)) = self.shared() {
            // A stream at another replica ends: each message goes out on one stream only (MCP 2025-11-25,
            // basic/transports § Multiple Connections).
            drop(bus.tell(&ReplicaEvent::Listens(session)));
        }
        self.streams.open(self.primes_streams())
    }
}

impl Handler<OpenStream> for SessionActor {
    type Result = ResponseFuture<Result<queue::Receiver<Logged>, Error>>;

    fn handle(&mut self, OpenStream { after }: OpenStream, _: &mut Context<Self>) -> Self::Result {
        let resumed = after.map(|after| (self.streams.resume(after.id), after));
        let events = match resumed {
            None => Ok(self.open_own()),
            Some((Ok(events), _)) => Ok(events),
            // The events after this one on a listening stream were lost with its replica or its memory, but all of them
            // said to list again. So the client gets a new stream that says so: many clients never listen again once
            // they were refused.
            Some((Err(_), after)) if self.streams.was_own(after.id) => {
                self.streams.note_list_changed();
                Ok(self.open_own())
            }
            Some((Err(_), after)) if self.streams.was_reply(after.id) => {
                let shared = self.kept.as_ref().and_then(Replicas::of);
                let Some(replicas) = shared else { return Box::pin(async { remote_stream::lost(after) }) };
                // What is not in the log of all servers may still be running at one of them.
                let is_draining = Arc::clone(&self.is_draining);
                return Box::pin(remote_stream::resume(replicas, is_draining, after.id, self.queue_bytes));
            }
            Some((Err(unknown), _)) => Err(unknown),
        };
        self.wind_down();
        Box::pin(async { events })
    }
}

impl Handler<OpenReply> for SessionActor {
    type Result = ResponseFuture<Result<(StreamId, queue::Receiver<Logged>), Error>>;

    fn handle(&mut self, OpenReply { request }: OpenReply, _: &mut Context<Self>) -> Self::Result {
        let is_primed = self.primes_streams();
        let (stream, events) = self.streams.open_reply(request.clone(), is_primed);
        let first = is_primed.then_some(EventId { stream, place: 1 });
        let shared = self.share(first, request, Some(Vec::new()));
        Box::pin(async move {
            // The event is kept before the client learns its id, with which it may come back at another replica.
            shared.await;
            Ok((stream, events))
        })
    }
}

impl Handler<SendOnStream> for SessionActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(
        &mut self,
        SendOnStream { stream, request, message }: SendOnStream,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        let event = if let Some(message) = &message {
            self.streams.record(stream, message.clone())
        } else {
            // A quiet session would keep the events of an ended stream otherwise.
            ctx.run_later(self.ttl, |session, _| session.streams.forget_past());
            self.streams.end_reply(stream)
        };
        self.wind_down();
        let shared = self.share(event, request, message);
        Box::pin(async {
            shared.await;
            Ok(())
        })
    }
}

impl Handler<OpenOutbox> for SessionActor {
    type Result = Result<queue::Receiver<Event>, Error>;

    fn handle(&mut self, _: OpenOutbox, _: &mut Context<Self>) -> Self::Result {
        let events = self.streams.open_outbox();
        self.wind_down();
        Ok(events)
    }
}

impl Handler<Subscribe> for SessionActor {
    type Result = Result<queue::Receiver<Event>, Error>;

    fn handle(&mut self, _: Subscribe, _: &mut Context<Self>) -> Self::Result {
        let events = self.streams.subscribe();
        self.wind_down();
        Ok(events)
    }
}

impl Handler<Expect> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, _: Expect, _: &mut Context<Self>) -> Self::Result {
        self.pending_replies += 1;
        Ok(())
    }
}

impl Handler<Answered> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, _: Answered, _: &mut Context<Self>) -> Self::Result {
        self.pending_replies = self.pending_replies.saturating_sub(1);
        self.wind_down();
        Ok(())
    }
}

impl Handler<CloseStreams> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: CloseStreams, _: &mut Context<Self>) {
        self.streams.close_listening();
        // A session of HTTP+SSE ends with its stream; its client opens another with a good token.
        self.streams.close_outbox();
    }
}

impl Handler<Push> for SessionActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Push(message): Push, ctx: &mut Context<Self>) -> Self::Result {
        if let Some((bus, home)) = self.kept.as_ref().and_then(Persistence::home_elsewhere)
            && let Some((_, session)) = self.shared()
        {
            // Messages are JSON, which is text.
            let message = String::from_utf8_lossy(&message.concat()).into_owned();
            let Ok(message) = RawValue::from_string(message) else { return Box::pin(async { Err(Error::Internal) }) };
            let pushed = bus.tell_one(home, &ReplicaEvent::Pushed { session, message });
            return Box::pin(async { Ok(pushed.await?) });
        }
        if self.streams.push(message).is_err() {
            // The stream can't notice by itself: a connection that takes nothing is not polled. The session would go on
            // taking calls whose answers nobody gets.
            ctx.stop();
        }
        Box::pin(async { Ok(()) })
    }
}
