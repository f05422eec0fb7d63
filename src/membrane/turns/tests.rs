//! Tests of turns.

use proptest::prelude::*;

use super::*;

fn user(name: &str) -> Party {
    Party::User(UserKey::new("w", name))
}

/// Returns the turn of a request that waits, once it has it.
fn turn_of(request: &mut oneshot::Receiver<Turn>) -> Option<Turn> {
    request.try_recv().ok()
}

#[test]
fn users_who_wait_take_turns_however_much_each_asks() {
    let turns = Turns::new(1, Share::AtMost(1));
    let mut held = turns.try_take(&user("ann")).unwrap();
    let mut anns: Vec<_> = (0..3).map(|_| turns.try_take(&user("ann")).unwrap_err()).collect();
    let mut bobs: Vec<_> = (0..2).map(|_| turns.try_take(&user("bob")).unwrap_err()).collect();
    let mut order = String::new();
    for _ in 0..5 {
        drop(held);
        let mut waiting = anns.iter_mut().map(|turn| ('a', turn)).chain(bobs.iter_mut().map(|turn| ('b', turn)));
        let (who, turn) = waiting.find_map(|(who, request)| Some((who, turn_of(request)?))).unwrap();
        (held, order) = (turn, format!("{order}{who}"));
    }
    assert_eq!(order, "ababa");
    drop(held);
    assert!(turns.books().parties.is_empty(), "nobody is remembered for nothing");
}

#[test]
fn a_user_holds_no_more_than_their_share() {
    let turns = Turns::new(10, Share::AtMost(2));
    let _held = [turns.try_take(&user("ann")).unwrap(), turns.try_take(&user("ann")).unwrap()];
    assert!(turns.try_take(&user("ann")).is_err());
    assert!(turns.try_take(&user("bob")).is_ok());

    let turns = Turns::new(12, Share::AsManyAsAreFree);
    let take_all = |name: &str| std::iter::from_fn(|| turns.try_take(&user(name)).ok()).collect::<Vec<_>>();
    let anns = take_all("ann");
    assert_eq!(anns.len(), 6, "half, where nobody else asks");
    let bobs = take_all("bob");
    assert_eq!(bobs.len(), 3, "half of the rest");
    assert!(turns.try_take(&user("eve")).is_ok(), "who comes late finds one free");
    drop(anns);
    assert_eq!(bobs.len() + take_all("bob").len(), 6, "and what she gives back is there for all");
}

#[test]
fn a_token_that_is_not_accepted_yet_has_one_turn() {
    let turns = Turns::new(10, Share::AtMost(2));
    let unknown = Party::Token(Fingerprint::of("pat-x"), None);
    let held = turns.try_take(&unknown).unwrap();
    let mut next = turns.try_take(&unknown).unwrap_err();
    assert!(turns.try_take(&user("ann")).is_ok());
    assert!(turn_of(&mut next).is_none());
    drop(held);
    assert!(turn_of(&mut next).is_some());
}

#[test]
fn a_request_that_is_given_up_takes_no_turn_and_no_room() {
    let turns = Turns::new(1, Share::AtMost(1));
    let held = turns.try_take(&user("ann")).unwrap();
    for _ in 0..10_000 {
        drop(turns.try_take(&user("ann")));
    }
    assert!(turns.books().parties[&user("ann")].waiting.len() < 100);
    let mut bob = turns.try_take(&user("bob")).unwrap_err();
    drop(held);
    let bob = turn_of(&mut bob);
    assert!(bob.is_some());
    // A turn that was given and never fetched goes on to the next.
    let unfetched = turns.try_take(&user("eve")).unwrap_err();
    drop(bob);
    drop(unfetched);
    assert!(turns.try_take(&user("ann")).is_ok());
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let turns = Turns::new(1, Share::AtMost(1));
    let _held = turns.try_take(&user("ann")).unwrap();
    assert!(turns.take(&user("bob"), Duration::from_millis(1)).await.is_err());
}

/// A token of a user that the upstream has yet to accept.
fn claiming(user: &str) -> Party {
    Party::Token(Fingerprint::of("pat-x"), Some(UserKey::new("w", user)))
}

#[tokio::test]
async fn a_short_pause_is_waited_through_by_the_user_and_then_by_all_of_the_workspace() {
    let pause = Duration::from_secs(2);
    let turns = Turns::adaptive(10, Share::AtMost(4), pause);
    let [anns, bobs] = ["ann", "bob"].map(|name| turns.try_take(&user(name)).unwrap());
    anns.note_refusal(false, Some(pause), Instant::now());
    let next = turns.try_take(&user("ann")).unwrap_err();
    assert!(turns.try_take(&claiming("ann")).is_err(), "a token that claims to be hers");
    for other in [user("bob"), claiming("bob"), user("eve")] {
        assert!(turns.try_take(&other).is_ok(), "{other:?}");
    }
    bobs.note_refusal(false, Some(pause), Instant::now());
    for other in [user("bob"), claiming("bob"), user("eve")] {
        assert!(turns.try_take(&other).is_err(), "{other:?}");
    }
    assert!(turns.try_take(&Party::User(UserKey::new("another", "eve"))).is_ok());
    assert!(next.await.is_ok(), "nobody gave a turn back");
}

#[tokio::test]
async fn a_long_pause_sends_requests_away() {
    const LONG: Duration = Duration::from_secs(60);
    let turns = Turns::adaptive(10, Share::AtMost(1), Duration::from_secs(1));
    let (ann, bob) = (user("ann"), user("bob"));
    let [anns, bobs] = [&ann, &bob].map(|party| turns.try_take(party).unwrap());
    let refuse = async |turn: &Turn| turn.note_refusal(true, Some(LONG / 2), Instant::now());
    let (anns_next, ()) = tokio::join!(turns.take(&ann, LONG), refuse(&anns));
    assert!(turns.take(&user("eve"), LONG).await.is_ok(), "she is not concerned");
    let (bobs_next, ()) = tokio::join!(turns.take(&bob, LONG), refuse(&bobs));
    let eves = turns.take(&user("eve"), LONG).await;
    for request in [anns_next, bobs_next, eves] {
        assert!(matches!(request, Err(NoTurn::HeldBack(wait)) if wait > Duration::from_secs(1)), "{request:?}");
    }
    assert!(turns.take(&Party::User(UserKey::new("another", "eve")), Duration::ZERO).await.is_ok());
    drop((anns, bobs));
    let books = turns.books();
    assert!(books.parties.is_empty() && books.round.is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_accepted_narrows_nothing() {
    let turns = Turns::adaptive(10, Share::AtMost(4), Duration::from_secs(1));
    turns.try_take(&claiming("ann")).unwrap().note_refusal(true, Some(Duration::from_secs(30)), Instant::now());
    let anns: Vec<_> = (0..4).map(|_| turns.try_take(&user("ann")).unwrap()).collect();
    anns[0].note_refusal(true, None, Instant::now());
    drop(anns);
    let _held = [turns.try_take(&user("ann")).unwrap(), turns.try_take(&user("ann")).unwrap()];
    assert!(turns.try_take(&user("ann")).is_err(), "half of what she had in flight");
    assert!(turns.try_take(&user("eve")).is_ok());
}

#[tokio::test]
async fn those_whom_a_turn_is_of_no_use_to_are_not_looked_through() {
    let turns = Turns::adaptive(10, Share::AtMost(2), Duration::from_secs(60));
    let [anns, bobs] = ["ann", "bob"].map(|name| turns.try_take(&user(name)).unwrap());
    for turn in [&anns, &bobs] {
        turn.note_refusal(true, Some(Duration::from_secs(30)), Instant::now());
    }
    let waiting: Vec<_> = (0..10).map(|i| turns.try_take(&user(&format!("user-{i}"))).unwrap_err()).collect();
    let now = Instant::now();
    let eve = Party::User(UserKey::new("another", "eve"));
    let eves = [turns.try_take(&eve).unwrap(), turns.try_take(&eve).unwrap()];
    assert!(turns.books().is_awaited(&user("ann"), now), "her workspace is held back");
    assert!(!turns.books().is_awaited(&eve, now));
    let mut next = turns.try_take(&eve).unwrap_err();
    assert!(turns.books().is_awaited(&eve, now), "she waits for it herself");
    drop(eves);
    assert!(turn_of(&mut next).is_some());
    drop(waiting);
}

proptest! {
    /// In any order of requests, returns, cancellations, refusals and answers: no turn is lost or doubled, no share is exceeded, and no
    /// turn stays free that a waiting party may have.
    #[test]
    fn turns_are_neither_lost_nor_doubled(
        count in 1..6_usize,
        at_most in proptest::option::of(1..4_usize),
        is_adaptive: bool,
        steps in proptest::collection::vec((0..4_usize, 0..5_u8), 1..200),
    ) {
        let share = at_most.map_or(Share::AsManyAsAreFree, Share::AtMost);
        let turns = match is_adaptive {
            true => Turns::adaptive(count, share, Duration::ZERO),
            false => Turns::new(count, share),
        };
        let names = ["ann", "bob", "eve", "joe"].map(user);
        let mut held: Vec<(usize, Turn)> = Vec::new();
        let mut waiting: Vec<(usize, oneshot::Receiver<Turn>)> = Vec::new();
        for (who, what) in steps {
            match what {
                0 => match turns.try_take(&names[who]) {
                    Ok(turn) => held.push((who, turn)),
                    Err(request) => waiting.push((who, request)),
                },
                1 => if let Some(at) = held.iter().position(|(holder, _)| *holder == who) {
                    drop(held.remove(at));
                },
                2 => for (_, turn) in held.iter().filter(|(holder, _)| *holder == who).take(1) {
                    turn.note_refusal(true, None, Instant::now());
                },
                3 => for (_, turn) in held.iter().filter(|(holder, _)| *holder == who) {
                    turn.note_answer("actions", Instant::now());
                },
                _ => if let Some(at) = waiting.iter().position(|(asker, _)| *asker == who) {
                    drop(waiting.remove(at));
                },
            }
            waiting.retain_mut(|(who, request)| match turn_of(request) {
                Some(turn) => {
                    held.push((*who, turn));
                    false
                }
                None => true,
            });
            let free = count - held.len();
            prop_assert_eq!(turns.books().free, free);
            for (who, name) in names.iter().enumerate() {
                let has = held.iter().filter(|(holder, _)| *holder == who).count();
                if let Some(most) = at_most {
                    prop_assert!(has <= most);
                }
                let waits = waiting.iter().any(|(asker, _)| *asker == who);
                let is_allowed = share.allows(name, has, free) && turns.books().may_go(name, Instant::now());
                prop_assert!(!waits || !is_allowed, "{:?} waits for a turn that is free", name);
            }
        }
        drop(waiting);
        drop(held);
        prop_assert_eq!(turns.books().free, count);
        prop_assert!(turns.books().parties.is_empty() && turns.books().round.is_empty());
    }
}
