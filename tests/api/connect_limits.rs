//! Limits of what one user's calls of connect-app cost.

use serde_json::json;

use crate::{
    connecting_support::{Person, answered, first_text, linked},
    support::Server,
};

#[tokio::test]
async fn links_of_one_user_have_an_end() {
    let server = Server::start();
    let [ann, bob] = ["ann", "bob"].map(|user| Person::of(&server, user, &["gmail", "slack"]));
    let client = ann.client().query("mode=search").open().await;
    let mut links = 0;
    let told = loop {
        let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
        if !first_text(&told).contains("://") {
            break told;
        }
        ann.go_on(&linked(first_text(&told), "connect-app")).await;
        links += 1;
        assert!(links < 60, "there is no end");
    };
    assert!(first_text(&told).contains("too many links"), "{told}");
    // On a slow machine some more have been allowed meanwhile.
    assert!((20..40).contains(&links), "{links}");
    assert_eq!(server.requests("POST /connection-requests").await, links);
    // One that needs no request counts as well.
    ann.lose("slack").await;
    let told = answered(&client.call("connect-app", json!({"app": "slack"})).await);
    assert!(first_text(&told).contains("too many links"), "{told}");
    // Others are none the worse, and what is connected is told of.
    let told = answered(&client.call("connect-app", json!({"app": "gmail"})).await);
    assert!(first_text(&told).starts_with("Gmail is connected."), "{told}");
    let theirs = bob.client().query("mode=search").open().await;
    let told = answered(&theirs.call("connect-app", json!({"app": "notion"})).await);
    linked(first_text(&told), "connect-app");
}

#[tokio::test]
async fn a_link_that_is_given_out_again_counts_once() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail"]);
    let client = ann.client().query("mode=search").open().await;
    for _ in 0..60 {
        let told = answered(&client.call("connect-app", json!({"app": "notion"})).await);
        linked(first_text(&told), "connect-app");
    }
    assert_eq!(server.requests("POST /connection-requests").await, 1);
}

#[tokio::test]
async fn words_of_a_model_come_back_short_and_as_they_were() {
    let server = Server::start();
    let ann = Person::of(&server, "ann", &["gmail", "slack"]);
    let client = ann.client().query("mode=search").open().await;
    let long = "\u{1}".repeat(1_000_000);
    for arguments in [
        json!({"app": "slack", "account": long}),
        json!({"app": long}),
        json!({"app": "slack", long.clone(): 1}),
        json!({"app": "slack", "wait_s": long}),
    ] {
        let reply = client.call("connect-app", arguments).await;
        let told = answered(&reply).to_string();
        assert!(told.len() < 5_000, "{} bytes", told.len());
    }
    for app in ["../self", "No Such \"App\""] {
        let told = answered(&client.call("connect-app", json!({"app": app})).await);
        assert!(first_text(&told).starts_with(&format!("There is no app {}", json!(app))), "{told}");
    }
    let told = answered(&client.call("connect-app", json!({"app": "slack", "account": "none"})).await);
    assert!(first_text(&told).starts_with(r#"The user has no account "none" of "slack"."#), "{told}");
}
