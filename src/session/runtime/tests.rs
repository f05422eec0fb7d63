//! Fate of requests, and of the server, when something panics, and of sessions that end while others ask for them.

use std::time::Duration;

use actix::{Context, Handler, Message, ResponseFuture};

use super::*;
use crate::{
    config::{Sources, load},
    error::Error,
    ids::{SessionId, UserKey},
    membrane::{Apps, Crash, CrashLater},
    protocol::{revision::Revision, tools::ToolMode},
    session::{
        SessionActor,
        health::{Loss, check_health, look_after, loss},
        messages::{Describe, OnReplicaEvent, OpenSession, Revive},
        profile::Profile,
    },
    store,
    tools::Scope,
};

/// Time that is more than enough for an answer.
const HEARTBEAT: Duration = Duration::from_millis(50);

macro_rules! crashes {
    ($($actor:ty),+) => {$(
        impl Handler<Crash> for $actor {
            type Result = Result<(), Error>;

            fn handle(&mut self, _: Crash, _: &mut Context<Self>) -> Self::Result {
                panic!("on purpose")
            }
        }
    )+};
}
crashes!(MembraneActor, SessionRegistry, SessionActor);

/// To a registry: a session leaves memory.
#[derive(Message)]
#[rtype(result = "()")]
struct Forget(SessionId);

impl Handler<Forget> for SessionRegistry {
    type Result = ();

    fn handle(&mut self, Forget(session): Forget, _: &mut Context<Self>) -> Self::Result {
        self.forget(session);
    }
}

impl Handler<CrashLater> for SessionActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, _: CrashLater, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async { panic!("on purpose") })
    }
}

/// One worker on this thread, which keeps sessions in memory.
fn runtime() -> Runtime {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let env = [("MCP__STORE__PATH".to_owned(), String::new())].into();
    let settings = load(&Sources { env, ..Sources::default() }).unwrap();
    let upstream = Upstream::new(&settings).unwrap();
    let runtime = Runtime::new(1, store::open(&settings).unwrap(), upstream, &settings);
    let _context = runtime.start_here(&settings);
    runtime
}

async fn open(runtime: &Runtime) -> (SessionId, UserKey) {
    let user = UserKey::new("w", "ann");
    let scope = Scope { mode: ToolMode::Static, apps: Apps::default(), filter: Arc::default(), output_tokens: None };
    let profile = Profile { revision: Some(Revision::LATEST), client: None, opens_pages: false, scope };
    let permit = runtime.0.common.limits_of_users.of(&user).session().unwrap();
    let opened = runtime.sessions().open(0, OpenSession { user: user.clone(), permit, profile, chat: None }).await;
    (opened.unwrap(), user)
}

#[actix::test]
async fn a_crash_of_a_session_is_an_answer_and_the_session_comes_back() {
    let runtime = runtime();
    let (session, user) = open(&runtime).await;
    for _ in 0..3 {
        let crashed = runtime.sessions().deliver(session, user.clone(), None, Crash).await;
        assert_eq!(crashed, Err(Error::Internal), "not that there is no session");
        let profile = runtime.sessions().deliver(session, user.clone(), None, Describe).await;
        assert!(profile.is_ok(), "it comes back from the store: {profile:?}");
    }
    let stranger = UserKey::new("w", "bob");
    assert_eq!(runtime.sessions().deliver(session, stranger, None, Crash).await, Err(Error::SessionNotFound));
    assert_eq!(check_health(&runtime, HEARTBEAT).await.gone, 0);
}

#[actix::test]
async fn a_crash_on_the_way_to_an_answer_leaves_the_session_as_it_is() {
    let runtime = runtime();
    let (session, user) = open(&runtime).await;
    assert_eq!(runtime.sessions().deliver(session, user.clone(), None, CrashLater).await, Err(Error::Internal));
    assert!(runtime.sessions().deliver(session, user.clone(), None, Describe).await.is_ok());
    runtime.sessions().close(session, user.clone()).await.unwrap();
    assert_eq!(runtime.sessions().deliver(session, user, None, CrashLater).await, Err(Error::SessionNotFound));
}

#[actix::test]
async fn a_request_that_meets_the_end_of_its_session_does_not_bring_it_back() {
    for is_loading in [false, true] {
        let runtime = runtime();
        let (session, user) = open(&runtime).await;
        let ask = || runtime.sessions().deliver(session, user.clone(), None, Describe);
        let close = || runtime.sessions().close(session, user.clone());
        let closed = if is_loading {
            // It has left memory, and a request is the first to ask for it again.
            let registry = runtime.sessions().registry_of(session).unwrap();
            registry.do_send(Forget(session));
            let revive = Revive { session, user: user.clone() };
            let (revived, closed, answer) = tokio::join!(registry.send(revive), close(), ask());
            assert_eq!(revived.unwrap(), Err(Error::SessionNotFound));
            assert!(answer.is_err(), "{answer:?}");
            closed
        } else {
            // Polled in turn, the request asks for the session before the store has noted its end.
            let (closed, answer) = tokio::join!(close(), ask());
            assert!(answer.is_err(), "{answer:?}");
            closed
        };
        assert_eq!(closed, Ok(()), "{is_loading}");
        assert_eq!(ask().await.map(|_| ()), Err(Error::SessionNotFound), "{is_loading}");
        assert_eq!(check_health(&runtime, HEARTBEAT).await.kept, 0, "{is_loading}");
    }
}

#[actix::test]
async fn a_session_that_another_server_has_ended_does_not_come_back_from_what_was_read_before() {
    let runtime = runtime();
    let (session, user) = open(&runtime).await;
    let registry = runtime.sessions().registry_of(session).unwrap();
    registry.do_send(Forget(session));
    let revived = registry.send(Revive { session, user });
    registry.do_send(OnReplicaEvent(ReplicaEvent::Closed(session)));
    assert_eq!(revived.await.unwrap(), Err(Error::SessionNotFound));
}

#[actix::test]
async fn an_end_that_another_user_asks_for_keeps_nobody_from_their_session() {
    let runtime = runtime();
    let (session, user) = open(&runtime).await;
    let by_other = runtime.sessions().close(session, UserKey::new("w", "bob"));
    let (closed, answer) = tokio::join!(by_other, runtime.sessions().deliver(session, user.clone(), None, Describe));
    assert_eq!(closed, Err(Error::SessionNotFound));
    assert!(answer.is_ok(), "{answer:?}");
    runtime.sessions().registry_of(session).unwrap().do_send(Forget(session));
    let by_other = runtime.sessions().close(session, UserKey::new("w", "bob"));
    let (closed, answer) = tokio::join!(by_other, runtime.sessions().deliver(session, user, None, Describe));
    assert_eq!(closed, Err(Error::SessionNotFound));
    assert!(answer.is_ok(), "it comes back from the store all the same: {answer:?}");
}

#[actix::test]
async fn an_actor_that_has_ended_is_noticed_and_given_up_at_the_second_beat() {
    for actor in 0..2 {
        let runtime = runtime();
        let health = check_health(&runtime, HEARTBEAT).await;
        assert_eq!((health.gone, health.silent, loss(&runtime, health)), (0, 0, None));
        let crashed = match actor {
            0 => runtime.sessions().registries().get(0).unwrap().send(Crash).await,
            _ => runtime.membranes().get(0).unwrap().send(Crash).await,
        };
        assert!(crashed.is_err(), "{actor}");
        let health = check_health(&runtime, HEARTBEAT).await;
        assert_eq!((health.gone, health.silent), (1, 1), "{actor}");
        assert_eq!(loss(&runtime, health), Some(Loss::Actors(1)));
        let beats = std::cell::Cell::new(0);
        let lost = look_after(&runtime, HEARTBEAT, async |_| beats.set(beats.get() + 1)).await;
        assert_eq!((lost, beats.get()), (Loss::Actors(1), 2), "{actor}");
    }
}
