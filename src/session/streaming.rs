//! The streams of a session, as it opens and fills them.

use actix::{ActorContext, AsyncContext, Context, Handler};

use super::{
    SessionActor,
    event_log::{Logged, StreamId},
    messages::{Answered, Event, Expect, OpenOutbox, OpenReply, OpenStream, Push, Record, Subscribe},
    queue,
};
use crate::error::Error;

impl Handler<OpenStream> for SessionActor {
    type Result = Result<queue::Receiver<Logged>, Error>;

    fn handle(&mut self, OpenStream { after }: OpenStream, _: &mut Context<Self>) -> Self::Result {
        let events = match after {
            Some(after) => self.streams.resume(after)?,
            None => self.streams.open(self.primes_streams()),
        };
        self.wind_down();
        Ok(events)
    }
}

impl Handler<OpenReply> for SessionActor {
    type Result = Result<(StreamId, queue::Receiver<Logged>), Error>;

    fn handle(&mut self, _: OpenReply, _: &mut Context<Self>) -> Self::Result {
        Ok(self.streams.open_reply(self.primes_streams()))
    }
}

impl Handler<Record> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, Record { stream, message }: Record, ctx: &mut Context<Self>) -> Self::Result {
        if let Some(message) = message {
            self.streams.record(stream, message);
        } else {
            self.streams.end_reply(stream);
            ctx.run_later(self.lasting, |session, _| session.streams.forget_past());
            self.wind_down();
        }
        Ok(())
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
        self.owed += 1;
        Ok(())
    }
}

impl Handler<Answered> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, _: Answered, _: &mut Context<Self>) -> Self::Result {
        self.owed = self.owed.saturating_sub(1);
        self.wind_down();
        Ok(())
    }
}

impl Handler<Push> for SessionActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, Push(message): Push, ctx: &mut Context<Self>) -> Self::Result {
        if self.streams.push(message).is_err() {
            // The stream itself can't tell: a connection that takes nothing is not even asked for more.
            ctx.stop();
        }
        Ok(())
    }
}
