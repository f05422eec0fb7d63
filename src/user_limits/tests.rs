//! Limits of one server alone.

use super::*;

fn limits_of_users(calls_per_s: u32) -> LimitsOfUsers {
    let calls_per_s = NonZeroU32::new(calls_per_s).unwrap();
    let allowed = LimitSettings { calls_per_s, calls_at_once: 2, streams: 2, sessions: 2, all_sessions: 3 };
    LimitsOfUsers::new(allowed, None)
}

#[test]
fn each_user_has_so_many_calls_and_then_has_to_wait() {
    let limits_of_users = limits_of_users(3);
    let (ann, bob) = (limits_of_users.of(&UserKey::new("w", "ann")), limits_of_users.of(&UserKey::new("w", "bob")));
    let again = limits_of_users.of(&UserKey::new("w", "ann"));
    let taken = (0..1000).find(|_| again.call() != Some(Ok(()))).expect("there is an end");
    assert!(taken >= 3, "{taken}");
    assert_eq!(ann.call(), Some(Err(1)));
    assert_eq!(bob.call(), Some(Ok(())), "another user");
}

#[test]
fn each_user_gets_so_many_links() {
    let limits_of_users = limits_of_users(1);
    let (ann, bob) = (limits_of_users.of(&UserKey::new("w", "ann")), limits_of_users.of(&UserKey::new("w", "bob")));
    assert_eq!((0..1000).filter(|_| ann.link()).count(), 20);
    assert!(bob.link(), "another user");
}

#[tokio::test]
async fn a_stream_that_ends_makes_room_for_another() {
    let ann = limits_of_users(1).of(&UserKey::new("w", "ann"));
    let held = (ann.stream().await.unwrap(), ann.stream().await.unwrap());
    assert_eq!(ann.stream().await.err(), Some(Error::TooMany { what: "streams", limit: 2 }));
    assert!(ann.stream().await.is_err(), "what was refused took nothing, nor gave anything back");
    drop(held.0);
    let stream = ann.stream().await.unwrap().hold(stream::pending::<()>());
    assert!(ann.stream().await.is_err());
    drop(stream);
    assert!(ann.stream().await.is_ok());
}

#[test]
fn sessions_are_counted_for_each_user_and_for_all() {
    let limits_of_users = limits_of_users(1);
    let [ann, bob] = ["ann", "bob"].map(|user| limits_of_users.of(&UserKey::new("w", user)));
    let anns = (ann.session().unwrap(), ann.session().unwrap());
    assert_eq!(ann.session().err(), Some(Error::TooMany { what: "sessions", limit: 2 }));
    let bobs = bob.session().unwrap();
    assert_eq!(bob.session().err(), Some(Error::Full));
    drop((anns.0, bobs));
    let _two = (bob.session().unwrap(), bob.session().unwrap());
    assert_eq!(ann.session().err(), Some(Error::Full));
    let (_revived, is_crowded) = ann.revived_session().unwrap();
    assert!(is_crowded, "it comes back all the same, and somebody should leave");
    let refused = ann.revived_session().err();
    assert_eq!(refused, Some(Error::TooMany { what: "sessions", limit: 2 }), "of her own there may be no more");
}

#[test]
fn a_call_that_is_dropped_has_ended() {
    let ann = limits_of_users(1).of(&UserKey::new("w", "ann"));
    let running = [ann.calls_at_once().begin().unwrap(), ann.calls_at_once().begin().unwrap()];
    for _ in 0..3 {
        assert_eq!(ann.calls_at_once().begin().err(), Some(Error::TooManyCalls { limit: 2 }));
    }
    drop(running);
    assert!(ann.calls_at_once.is_idle());
    assert!(ann.calls_at_once().begin().is_ok());
}

#[test]
fn users_who_have_gone_leave_nothing() {
    let limits_of_users = limits_of_users(1);
    for n in 0..5000 {
        let _gone = limits_of_users.of(&UserKey::new("w", &n.to_string()));
    }
    assert!(limits_of_users.0.by_user.lock().unwrap().limits_of_users.len() <= 1024);
}

#[test]
fn what_is_counted_outlasts_who_asked() {
    let limits_of_users = limits_of_users(1);
    let ann = UserKey::new("w", "ann");
    let _held = [limits_of_users.of(&ann).session().unwrap(), limits_of_users.of(&ann).session().unwrap()];
    assert!(limits_of_users.of(&ann).session().is_err());
}
