//! Telling an actor how work ended that runs beside its mailbox: however it ends, or nobody would learn of it.

use actix::{Actor, Addr, Handler, Message, dev::ToEnvelope};

/// Sends what it holds when it is dropped, which a panic does too.
pub(super) struct Report<A, M>
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
    /// A report that says `message`, unless something else is known by the end.
    pub(super) fn new(to: Addr<A>, message: M) -> Self {
        Self { to, message: Some(message) }
    }

    /// What it says from now on.
    pub(super) fn say(&mut self, change: impl FnOnce(&mut M)) {
        self.message.as_mut().map(change);
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
}
