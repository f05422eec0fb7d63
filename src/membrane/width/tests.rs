//! Tests of widths.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn user(workspace: &str, name: &str) -> UserKey {
    UserKey::new(workspace, name)
}

fn ann() -> UserKey {
    user("w", "ann")
}

fn is_allowed(widths: &Widths, workspace: &str, name: &str) -> bool {
    widths.allow(Some(&user(workspace, name)))
}

/// Refuses a read of Ann's, or of Bob's, who have 24 in flight, for there are too many.
fn limit(widths: &mut Widths, name: &str, sent: Instant, now: Instant) -> Option<Narrowed> {
    widths.refused(&user("w", name), 24, (true, None), sent, now).narrowed
}

/// Takes as many reads as Ann may have, and returns how many that are.
fn take_all(widths: &mut Widths) -> usize {
    let mut taken = 0;
    while taken < 1000 && widths.allow(Some(&ann())) {
        widths.take(Some(&ann()), Instant::now());
        taken += 1;
    }
    taken
}

/// Has some reads answered after a time, one after the other; returns when the last one was, and what was halved.
fn answer(widths: &mut Widths, count: usize, latency: Duration, mut now: Instant) -> (Instant, Option<Narrowed>) {
    let mut narrowed = None;
    for _ in 0..count {
        let sent = now;
        now += latency;
        narrowed = widths.answered(Some(&ann()), "actions", sent, now).narrowed.or(narrowed);
    }
    (now, narrowed)
}

/// Widths of 256 reads, of which Ann has 24 in flight.
fn with_24(now: Instant) -> (Widths, Instant) {
    let mut widths = Widths::new(256);
    for _ in 0..24 {
        assert!(widths.allow(Some(&ann())));
        widths.take(Some(&ann()), Instant::now());
    }
    (widths, now)
}

fn give_back(widths: &mut Widths, count: usize) {
    for _ in 0..count {
        widths.give_back(Some(&ann()));
    }
}

#[test]
fn a_workspace_has_all_turns_until_the_upstream_says_no() {
    let mut widths = Widths::new(256);
    assert_eq!(take_all(&mut widths), 256);
    assert!(!is_allowed(&widths, "another", "eve"), "that is all there are");
}

#[test]
fn a_burst_of_refusals_halves_what_was_in_flight_once() {
    let (mut widths, sent) = with_24(Instant::now());
    let now = sent + MS;
    assert_eq!(limit(&mut widths, "ann", sent, now), Some(Narrowed::Limited));
    for _ in 0..23 {
        give_back(&mut widths, 1);
        assert_eq!(limit(&mut widths, "ann", sent, now + MS), None, "it was sent before the width was halved");
    }
    give_back(&mut widths, 1);
    assert_eq!(take_all(&mut widths), 12);
    assert!(is_allowed(&widths, "w", "bob"), "it may be the limit of one user");

    assert_eq!(limit(&mut widths, "ann", now, now + MS), Some(Narrowed::Limited));
    give_back(&mut widths, 12);
    assert_eq!(take_all(&mut widths), 6);
}

#[test]
fn a_second_user_who_is_refused_narrows_the_workspace() {
    let (mut widths, sent) = with_24(Instant::now());
    let take_bobs = |widths: &mut Widths, count: usize| {
        for _ in 0..count {
            widths.take(Some(&user("w", "bob")), sent);
        }
    };
    take_bobs(&mut widths, 24);
    limit(&mut widths, "ann", sent, sent + MS);
    limit(&mut widths, "bob", sent, sent + MS);
    assert!(!is_allowed(&widths, "w", "eve"), "48 are in flight, and 24 may be");
    give_back(&mut widths, 24);
    assert!(!is_allowed(&widths, "w", "eve"));
    give_back(&mut widths, 1);
    assert!(is_allowed(&widths, "w", "eve") && is_allowed(&widths, "another", "eve"));

    // Much later it is nothing but the limits of two users.
    let (mut widths, sent) = with_24(Instant::now());
    take_bobs(&mut widths, 24);
    limit(&mut widths, "ann", sent, sent + MS);
    limit(&mut widths, "bob", sent, sent + MS + REFUSED_TOGETHER);
    assert!(is_allowed(&widths, "w", "eve"));
}

#[test]
fn one_user_never_narrows_or_pauses_the_workspace() {
    let (mut widths, mut now) = with_24(Instant::now());
    for _ in 0..100 {
        now += MS * 1000;
        let refused = widths.refused(&ann(), 24, (true, Some(MAX_PAUSE)), now, now + MS);
        assert_eq!(refused.pause, Some((Scope::User, MAX_PAUSE)));
        assert_eq!(widths.pause(&user("w", "bob"), now), None);
    }
    for _ in 0..200 {
        assert!(is_allowed(&widths, "w", "bob"));
        widths.take(Some(&user("w", "bob")), now);
    }
}

#[test]
fn each_round_of_answers_adds_one_until_the_width_is_whole_again() {
    let (mut widths, sent) = with_24(Instant::now());
    let now = sent + MS;
    limit(&mut widths, "ann", sent, now);
    give_back(&mut widths, 24);
    for expected in 12..256 {
        assert_eq!(take_all(&mut widths), expected);
        answer(&mut widths, expected, MS, now);
        give_back(&mut widths, expected);
    }
    answer(&mut widths, 10_000, MS, now);
    assert_eq!(take_all(&mut widths), 256, "and no wider");
}

#[test]
fn one_read_is_always_allowed() {
    let (mut widths, mut now) = with_24(Instant::now());
    for _ in 0..20 {
        limit(&mut widths, "ann", now, now + MS);
        now += MS * 2;
    }
    give_back(&mut widths, 24);
    assert_eq!(take_all(&mut widths), 1);
    give_back(&mut widths, 1);
    answer(&mut widths, 1, MS, now);
    assert_eq!(take_all(&mut widths), 2);
}

#[test]
fn answers_that_come_later_than_usual_halve_the_widths() {
    let (mut widths, now) = with_24(Instant::now());
    let (now, narrowed) = answer(&mut widths, 64, MS * 100, now);
    assert_eq!(narrowed, None);
    let (now, narrowed) = answer(&mut widths, 16, MS * 590, now);
    assert_eq!(narrowed, None, "half a second more is no reason");
    let (_, narrowed) = answer(&mut widths, 16, MS * 2000, now);
    assert_eq!(narrowed, Some(Narrowed::Late));
    give_back(&mut widths, 24);
    assert_eq!(take_all(&mut widths), 12);
    assert!(is_allowed(&widths, "another", "eve"), "the workspace may be slow for its own reasons");
}

#[test]
fn two_workspaces_that_are_late_together_narrow_all() {
    let (mut widths, now) = with_24(Instant::now());
    let eve = user("another", "eve");
    widths.take(Some(&eve), now);
    let mut at = now;
    for latency in [100, 2000] {
        for user in [&ann(), &eve] {
            for _ in 0..16 {
                widths.answered(Some(user), "actions", at, at + MS * latency);
                at += MS;
            }
        }
    }
    // 25 were in flight, 24 and one of which may be half as many.
    assert!(!widths.allow(None));
    give_back(&mut widths, 14);
    assert!(widths.allow(None));
}

#[test]
fn a_few_slow_answers_narrow_nothing() {
    let (mut widths, now) = with_24(Instant::now());
    let (mut now, _) = answer(&mut widths, 64, MS * 10, now);
    for _ in 0..100 {
        let (then, slow) = answer(&mut widths, 7, MS * 30_000, now);
        let (then, usual) = answer(&mut widths, 9, MS * 10, then);
        assert_eq!((slow, usual), (None, None));
        now = then;
    }
    give_back(&mut widths, 24);
    assert_eq!(take_all(&mut widths), 256);
}

#[test]
fn answers_tell_whether_there_is_room_for_one_more() {
    let (mut widths, sent) = with_24(Instant::now());
    let answer = |widths: &mut Widths| widths.answered(Some(&ann()), "actions", sent + MS, sent + MS).has_grown;
    assert!((0..1000).all(|_| !answer(&mut widths)), "there is no more than all");
    limit(&mut widths, "ann", sent, sent + MS);
    let grown = (0..25).map(|_| answer(&mut widths));
    assert_eq!(grown.filter(|has_grown| *has_grown).count(), 2, "after 12 and 13");
}

#[test]
fn an_endpoint_is_compared_with_itself_alone() {
    let (mut widths, sent) = with_24(Instant::now());
    for _ in 0..64 {
        for (endpoint, latency) in [("self", MS * 10), ("actions", MS * 5000)] {
            assert_eq!(widths.answered(Some(&ann()), endpoint, sent, sent + latency).narrowed, None);
        }
    }
    give_back(&mut widths, 24);
    assert_eq!(take_all(&mut widths), 256);
}

#[test]
fn latency_that_stays_is_usual_before_a_width_is_one() {
    let (mut widths, now) = with_24(Instant::now());
    give_back(&mut widths, 24);
    let (mut now, _) = answer(&mut widths, 16, MS, now);
    let mut halved = 0;
    for _ in 0..100 {
        let taken = take_all(&mut widths);
        let (then, narrowed) = answer(&mut widths, 16, MS * 30_000, now);
        give_back(&mut widths, taken);
        (now, halved) = (then, halved + u32::from(narrowed.is_some()));
    }
    assert!((1..=6).contains(&halved), "{halved}");
    assert!(take_all(&mut widths) > 4);
}

#[test]
fn a_pause_is_for_the_user_and_with_a_second_for_the_whole_workspace() {
    let (mut widths, now) = with_24(Instant::now());
    let mut pause = |name: &str, time: Duration, now: Instant| {
        let refused = widths.refused(&user("w", name), 1, (false, Some(time)), now, now);
        let left = ["ann", "bob", "eve"].map(|name| widths.pause(&user("w", name), now));
        assert_eq!(widths.pause(&user("another", "eve"), now), None);
        (refused.pause, left.map(|left| left.unwrap_or_default().as_millis()))
    };
    assert_eq!(pause("ann", MS * 2000, now), (Some((Scope::User, MS * 2000)), [2000, 0, 0]));
    assert_eq!(pause("ann", MS * 1000, now), (None, [2000, 0, 0]), "a shorter one changes nothing");
    assert_eq!(pause("bob", MS * 1000, now), (Some((Scope::Workspace, MS * 1000)), [2000, 1000, 1000]));
    assert_eq!(pause("bob", MS, now + MS * 500), (None, [1500, 500, 500]));
    assert_eq!(pause("eve", MAX_PAUSE * 60, now), (Some((Scope::Workspace, MAX_PAUSE)), [60_000; 3]));
    assert_eq!(widths.pause(&ann(), now + MAX_PAUSE), None);
}

#[test]
fn a_second_user_counts_for_as_long_as_the_first_has_to_wait() {
    let (mut widths, now) = with_24(Instant::now());
    widths.refused(&ann(), 1, (true, Some(MAX_PAUSE)), now, now);
    let later = now + MAX_PAUSE.saturating_sub(MS);
    widths.refused(&user("w", "bob"), 1, (true, Some(MAX_PAUSE)), later, later);
    assert_eq!(widths.pause(&user("w", "eve"), later), Some(MAX_PAUSE));
}

#[test]
fn workspaces_without_number_are_not_remembered_but_those_that_read_are() {
    let (mut widths, now) = with_24(Instant::now());
    let paused = user("paused", "eve");
    widths.take(Some(&paused), now);
    widths.give_back(Some(&paused));
    for name in ["eve", "joe"] {
        widths.refused(&user("paused", name), 0, (true, Some(MAX_PAUSE)), now, now);
    }
    for i in 0..2 * MAX_REMEMBERED {
        let user = user(&i.to_string(), "eve");
        widths.take(Some(&user), now);
        widths.refused(&user, 1, (true, None), now, now);
        widths.give_back(Some(&user));
    }
    assert_eq!((widths.workspaces.len(), widths.users.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
    assert_eq!(widths.workspaces.peek("w").map(|width| width.held), Some(24));
    assert_eq!(widths.pause(&user("paused", "joe"), now), Some(MAX_PAUSE));
    give_back(&mut widths, 24);
}
