//! Loading of users' tools anew, once their connections have changed.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::{
    membrane::{MembraneActor, Refresh, Upstream, webhook::Changed},
    workers::PerWorker,
};

/// Has the tools of users loaded anew by this server, and wakes the calls that wait for their connections.
pub async fn refresh_here(membranes: &PerWorker<MembraneActor>, upstream: &Upstream, changed: Arc<Changed>) {
    // A worker that is gone has nothing loaded.
    join_all(membranes.started().map(|membrane| membrane.send(Refresh(Arc::clone(&changed))))).await;
    upstream.tell_changed(changed);
}
