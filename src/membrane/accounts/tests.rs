//! Tests of accounts.

use serde_json::{Value, json};

use super::*;

/// Returns the accounts of connections as the upstream gives them.
pub fn accounts(connections: &Value) -> Accounts {
    let connections: Vec<Connection> = serde_json::from_value(connections.clone()).unwrap();
    Accounts::of(&connections)
}

#[test]
fn an_account_is_named_by_key_else_id_else_exact_name() {
    let accounts = accounts(&json!([
        {"id": "c1", "key": "work", "name": "Ann"},
        {"id": "c2", "name": "home"},
        {"id": "c3", "key": "c2", "name": "Bob"},
        {"id": "c4", "key": "work", "name": "Bob"},
        {"id": "c1", "key": "again"},
        {"id": "work", "key": "c2"},
        {"name": "no id"},
    ]));
    let handles: Vec<_> = accounts.choices().map(Account::handle).collect();
    assert_eq!(handles, ["work", "c2", "c3", "c4"]);
    assert_eq!(accounts.iter().count(), 6, "those without a name of their own count for the state");
    let id = |named: &str| accounts.find(named).map(Account::id);
    let cases = [
        ("work", Some("c1")),
        ("c1", Some("c1")),
        ("Ann", Some("c1")),
        (" home ", Some("c2")),
        ("c4", Some("c4")),
        ("Bob", None),
        ("ann", None),
        ("no id", None),
        ("", None),
    ];
    for (named, expected) in cases {
        assert_eq!(id(named), expected, "{named:?}");
    }
}

#[test]
fn the_first_connected_account_is_the_default_and_the_best_one_tells_the_state() {
    let lost = json!({"id": "c1", "disconnected": true, "clientAction": {"description": "Sign in\nagain", "uiUrl": "https://m.example/x"}});
    let building = json!({"id": "c2", "state": "BUILDING"});
    let failed = json!({"id": "c3", "state": "SETUP_FAILED"});
    let good = json!({"id": "c4", "state": "READY"});
    let cases = [
        (json!([]), AccountState::Connected, None),
        (json!([lost, building, failed, good]), AccountState::Connected, Some("c4")),
        (json!([lost, building, failed]), AccountState::Building, Some("c1")),
        (json!([failed, lost]), AccountState::Reconnect, Some("c3")),
        (json!([failed]), AccountState::Failed, Some("c3")),
    ];
    for (connections, state, default) in cases {
        let accounts = accounts(&connections);
        assert_eq!((accounts.state(), accounts.default_choice().map(Account::id)), (state, default), "{connections}");
    }
    let lost = accounts(&json!([lost]));
    let lost = lost.lost().unwrap();
    assert_eq!(lost.reason(), Some("Sign in again"));
}

#[test]
fn a_page_that_has_another_address_each_time_makes_no_other_account() {
    let listed = |url: &str| accounts(&json!([{"id": "a"}, {"id": "b", "clientAction": {"uiUrl": url}}]));
    assert!(listed("https://m.example/1").are_told_as(&listed("https://m.example/2")));
}

#[test]
fn accounts_that_are_gone_are_remembered_where_they_could_be_chosen() {
    let [one, two] = [json!([{"id": "a"}]), json!([{"id": "a"}, {"id": "b"}])].map(|json| accounts(&json));
    let later = one.clone().after(&two);
    assert!(later.takes_argument() && !later.are_several() && later.had("b") && !later.had("a"));
    assert!(one.clone().after(&later).had("b"), "for good");
    assert!(!two.clone().after(&later).had("b"), "until it is back");
    assert!(!one.clone().after(&one).takes_argument());
}

#[test]
fn what_definitions_tell_changes_with_what_they_show_alone() {
    let lost = |id: &str| json!({"id": id, "disconnected": true});
    let [one, other] = ["a", "b"].map(|id| accounts(&json!([{"id": id, "name": id}])));
    assert!(one.are_told_as(&other), "one account is not told");
    let [lost_one, lost_other] = ["a", "b"].map(|id| accounts(&json!([lost(id)])));
    assert!(lost_one.are_told_as(&lost_other) && !lost_one.are_told_as(&one) && !one.are_told_as(&lost_one));
    let two = accounts(&json!([{"id": "a"}, {"id": "b"}]));
    let half = accounts(&json!([{"id": "a"}, lost("b")]));
    assert!(two.are_told_as(&two.clone()) && !two.are_told_as(&half) && !two.are_told_as(&one));
}
