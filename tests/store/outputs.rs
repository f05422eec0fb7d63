//! Outputs that are kept for reading on, as each store keeps them.

use std::time::Duration;

use integration_app_mcp_server::{
    ids::UserKey,
    store::outputs::{KeptOutput, MAX_OF_USER, MAX_OUTPUT, OutputId},
};

use super::{Servers, WEEK, ann, stores};

const HOUR: Duration = Duration::from_secs(3600);

fn output(tool: &str, bytes: usize) -> KeptOutput {
    KeptOutput { tool: tool.to_owned(), json: vec![0xff; bytes] }
}

#[tokio::test]
async fn an_output_is_its_owners_for_its_time() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let (id, gone) = (OutputId::draw(), OutputId::draw());
        store.keep_output(ann(), id, output("one", 10), HOUR).await.unwrap();
        assert_eq!(store.kept_output(ann(), id).await, Ok(Some(output("one", 10))), "{kind}");
        let bob = UserKey::new("acme", "bob");
        assert_eq!(store.kept_output(bob, id).await, Ok(None), "{kind}: another user's");
        assert_eq!(store.kept_output(ann(), gone).await, Ok(None), "{kind}: one that never was");
        store.keep_output(ann(), gone, output("two", 10), Duration::from_millis(1)).await.unwrap();
        while store.kept_output(ann(), gone).await != Ok(None) {
            tokio::task::yield_now().await;
        }
        assert!(store.expire().await.is_ok(), "{kind}");
        assert_eq!(store.kept_output(ann(), id).await, Ok(Some(output("one", 10))), "{kind}");
    }
}

#[tokio::test]
async fn of_too_many_bytes_the_oldest_go() {
    let servers = Servers::start();
    for (kind, store) in stores(&servers, WEEK) {
        let ids: Vec<_> = (0..5).map(|_| OutputId::draw()).collect();
        for id in &ids {
            store.keep_output(ann(), *id, output("one", MAX_OUTPUT), HOUR).await.unwrap();
        }
        let mut kept = Vec::new();
        for id in &ids {
            kept.push(store.kept_output(ann(), *id).await.unwrap().is_some());
        }
        assert_eq!(kept, [false, false, false, true, true], "{kind}");
        assert_eq!(MAX_OF_USER / MAX_OUTPUT, 2);
    }
}
