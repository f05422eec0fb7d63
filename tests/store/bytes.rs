//! Bytes that are kept under keys, as each store keeps them.

use std::time::Duration;

use integration_app_mcp_server::store::runs::Digest;

use super::{Servers, WEEK, stores};

#[tokio::test]
async fn bytes_are_kept_for_their_time_and_are_no_notes() {
    let servers = Servers::start();
    let [one, two] = ["one", "two"].map(|text| Digest::of(&[text]));
    let any = vec![0xff, 0, b'\r', b'\n', 0x80];
    for (kind, store) in stores(&servers, WEEK) {
        assert_eq!(store.get_bytes(one).await, Ok(None), "{kind}");
        store.put_bytes(one, any.clone(), WEEK).await.unwrap();
        assert_eq!(store.get_bytes(one).await, Ok(Some(any.clone())), "{kind}");
        store.put_bytes(one, vec![1], WEEK).await.unwrap();
        assert_eq!(store.get_bytes(one).await, Ok(Some(vec![1])), "{kind}: in place of those before");
        assert_eq!(store.note(one).await, Ok(None), "{kind}");
        store.put_note(one, "a note".to_owned(), None).await.unwrap();
        assert_eq!(store.get_bytes(one).await, Ok(Some(vec![1])), "{kind}");

        store.put_bytes(two, any.clone(), Duration::from_millis(1)).await.unwrap();
        while store.get_bytes(two).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        store.expire().await.unwrap();
        assert_eq!(store.get_bytes(one).await, Ok(Some(vec![1])), "{kind}");
    }
}
