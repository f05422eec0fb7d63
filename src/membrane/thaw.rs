//! A user's tools as they were kept before this process started.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{
    Apps, Catalog, MembraneClient,
    catalog::AppCatalog,
    load::{Thawed, accounts_of},
    shared::SharingSwitch,
};
use crate::ids::UserKey;

/// Apps that are taken from the shelf at once for one user.
const AT_ONCE: usize = 8;

/// How long it is waited for.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Returns a user's tools as they were kept, if all of them are there. They are asked for when they are first wanted.
pub(super) fn thaw(client: Rc<MembraneClient>, sharing: SharingSwitch, user: UserKey, apps: Apps) -> Thawed {
    let kept = async move {
        let kept = tokio::time::timeout(TIMEOUT, kept(&client, &sharing, &user, &apps)).await;
        kept.ok().flatten().map(Arc::new)
    };
    kept.boxed_local().shared()
}

async fn kept(client: &MembraneClient, sharing: &SharingSwitch, user: &UserKey, apps: &Apps) -> Option<Catalog> {
    let upstream = client.upstream();
    let keeper = upstream.keeper.as_ref()?;
    let kept = keeper.catalog(user, apps).await?;
    if kept.is_lent && (!sharing.is_on() || keeper.has_sharing_ended().await) {
        return None;
    }
    let lists = stream::iter(&kept.lists).map(|place| async {
        let tools = keeper.app(place, &upstream.pool, &upstream.tools).await?;
        Some(AppCatalog { tools, since: Instant::now(), place: None })
    });
    // Without one of them it would look as if an app were gone.
    let parts: Vec<_> = lists.buffered(AT_ONCE).map(|part| part.ok_or(())).try_collect().await.ok()?;
    let accounts = accounts_of(kept.connections.iter(), apps);
    Some(Catalog::new(parts, None, Vec::new()).with_accounts(accounts, None).lent(kept.is_lent))
}
