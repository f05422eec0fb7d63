//! Report to an actor on work that runs beside its mailbox. It is sent however the work ends, by a panic as well.

use actix::{Actor, Addr, Handler, Message, dev::ToEnvelope};

/// Sends what it holds when it is dropped, which a panic does too.
pub struct Report<A, M>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = ()> + Send + 'static,
{
    to: Addr<A>,
    message: Option<M>,
}

impl<A, M> Report<A, M>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = ()> + Send + 'static,
{
    /// Returns a report that says `message`, unless something else is known by the end.
    #[must_use]
    pub fn new(to: Addr<A>, message: M) -> Self {
        Self { to, message: Some(message) }
    }

    /// Changes the message that is sent on drop.
    pub fn say(&mut self, change: impl FnOnce(&mut M)) {
        self.message.as_mut().map(change);
    }

    /// Drops the report without sending its message.
    pub fn call_off(mut self) {
        self.message = None;
    }
}

impl<A, M> Drop for Report<A, M>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = ()> + Send + 'static,
{
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            // `do_send` also enters a full mailbox, so that the message is not lost while its actor is busy.
            self.to.do_send(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::Context;
    use tokio::sync::mpsc;

    use super::*;

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Outcome(&'static str);

    struct Listener(mpsc::Sender<&'static str>);

    impl Actor for Listener {
        type Context = Context<Self>;
    }

    impl Handler<Outcome> for Listener {
        type Result = ();

        fn handle(&mut self, Outcome(outcome): Outcome, _: &mut Context<Self>) {
            self.0.try_send(outcome).unwrap();
        }
    }

    #[actix::test]
    async fn work_that_panics_is_told_of_as_work_that_ends() {
        let (told, mut outcomes) = mpsc::channel(2);
        let listener = Listener(told).start();
        for (panics, expected) in [(false, "done"), (true, "given up")] {
            let mut report = Report::new(listener.clone(), Outcome("given up"));
            actix::spawn(async move {
                assert!(!panics, "as it is told to");
                report.say(|outcome| outcome.0 = "done");
            });
            assert_eq!(outcomes.recv().await, Some(expected));
        }
    }

    #[actix::test]
    async fn work_that_is_dropped_is_told_of_unless_that_was_called_off() {
        let (told, mut outcomes) = mpsc::channel(2);
        let listener = Listener(told).start();
        let report = Report::new(listener.clone(), Outcome("given up"));
        let work = actix::spawn(async move {
            let _report = report;
            std::future::pending::<()>().await;
        });
        work.abort();
        assert_eq!(outcomes.recv().await, Some("given up"));
        // Work that is dropped before it was ever looked at has its report all the same.
        let report = Report::new(listener.clone(), Outcome("never begun"));
        drop(async move {
            let _report = report;
        });
        assert_eq!(outcomes.recv().await, Some("never begun"));
        Report::new(listener.clone(), Outcome("called off")).call_off();
        drop(Report::new(listener, Outcome("the last")));
        assert_eq!(outcomes.recv().await, Some("the last"));
    }
}
