//! The store of sessions as a shelf for tools.

use std::{sync::Arc, time::Duration};

use crate::{
    membrane::kept::{Place, Shelf, ShelfFuture},
    store::{SessionStore, runs::Digest},
};

/// Shelf in the store, so that replicas share it where they share that.
pub(super) struct StoreShelf(pub Arc<dyn SessionStore>);

impl Shelf for StoreShelf {
    fn put(&self, place: Place, bytes: Vec<u8>, ttl: Duration) -> ShelfFuture<()> {
        let put = self.0.put_bytes(Digest::new(place), bytes, ttl);
        Box::pin(async {
            if let Err(error) = put.await {
                log::debug!("a user's tools can't be kept for the next start: {error}");
            }
        })
    }

    fn get(&self, place: Place) -> ShelfFuture<Option<Vec<u8>>> {
        let bytes = self.0.get_bytes(Digest::new(place));
        Box::pin(async { bytes.await.ok().flatten() })
    }
}
