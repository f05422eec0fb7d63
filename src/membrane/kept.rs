//! Tools that are kept outside this process, so that a server that has just started lists at once what was last good.
//!
//! The actions of an app are kept as the upstream gave them, under the hash of their content, so that equal ones of all users
//! and servers are there once and a later version of this server makes its own tools of them. A user's catalog is kept as the
//! user's connections and the hashes of the apps' actions. No token is among it.

use std::{
    collections::BTreeSet,
    fmt,
    io::{Read, Write},
    num::NonZeroUsize,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use lru::LruCache;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{
    Apps,
    app_tools::AppTools,
    interner::Interner,
    model::{Action, Connection},
    pool::{LARGE, Pool},
    tool::{App, Tool},
};
use crate::{
    ids::{IntegrationKey, UserKey},
    workers::hash,
};

/// Where something is on the shelf: a hash.
pub type Place = [u8; 32];

/// Answer of a shelf.
pub type ShelfFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Store that outlives the process, and that other servers may share.
pub trait Shelf: Send + Sync {
    /// Keeps bytes at a place for a time. A failure costs no more than that they are not there later.
    fn put(&self, place: Place, bytes: Vec<u8>, ttl: Duration) -> ShelfFuture<()>;

    /// Returns what is at a place, if it can be had.
    fn get(&self, place: Place) -> ShelfFuture<Option<Vec<u8>>>;
}

/// Bytes of one app or catalog, compressed. Larger ones are not kept.
const MAX_ITEM: usize = 1 << 20;

/// Bytes that one server puts on the shelf in the time for which they are kept, compressed: what bounds the shelf, whatever
/// workspaces change their actions to.
const MAX_BYTES: usize = 64 << 20;

/// Bytes of one app or catalog, uncompressed. Whatever the shelf holds, reading it takes no more memory.
const MAX_UNPACKED: u64 = 32 << 20;

/// Places of which it is remembered what was put there.
const MAX_KNOWN: usize = 64 << 10;

/// Apps that stay unpacked after they were taken from the shelf: in the minute after a start all users need the same.
const MAX_UNPACKED_APPS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Catalogs of one user that are kept besides that of all apps: one of those for which this hash of the filter is the same.
const FILTERS: u64 = 8;

/// Keeper of tools on a shelf. See the [module](self).
pub struct Keeper {
    shelf: Arc<dyn Shelf>,
    ttl: Duration,
    /// URL of the upstream: another one has other users.
    base: String,
    books: Mutex<Books>,
    unpacked: Mutex<LruCache<Place, Arc<OnceCell<Option<Arc<AppTools>>>>>>,
}

/// Account of the bytes that this server has put on the shelf.
struct Books {
    known: LruCache<Place, (Place, Instant)>,
    since: Instant,
    bytes: usize,
}

/// An app's actions, ready to be kept.
#[derive(Debug)]
pub(super) struct PackedApp {
    /// Hash of the content.
    pub place: Place,
    /// The content, compressed; nothing where it is kept already or is too long.
    pub bytes: Option<Vec<u8>>,
}

#[derive(Serialize)]
struct AppToKeep<'a> {
    app: &'a App,
    actions: &'a [Action],
}

#[derive(Deserialize)]
struct KeptApp {
    app: App,
    actions: Vec<Action>,
}

/// A user's catalog as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptCatalog<C> {
    /// Workspace and id of its user. The place says so, too; but places are hashes, and what is kept comes from outside.
    pub user: (String, String),
    /// Apps to which it is confined.
    pub apps: Option<BTreeSet<IntegrationKey>>,
    pub connections: C,
    /// Place of each app's actions.
    pub lists: Vec<String>,
    /// Whether other users have read some of it.
    pub is_lent: bool,
}

impl Keeper {
    /// Returns a keeper of the tools of this upstream.
    #[must_use]
    pub fn new(shelf: Arc<dyn Shelf>, ttl: Duration, base: &str) -> Self {
        let books = Books { known: LruCache::unbounded(), since: Instant::now(), bytes: 0 };
        let unpacked = Mutex::new(LruCache::new(MAX_UNPACKED_APPS));
        Self { shelf, ttl, base: base.to_owned(), books: Mutex::new(books), unpacked }
    }

    /// Packs the actions of an app, which takes its time where they are many.
    pub(super) fn pack(&self, app: &App, actions: &[Action]) -> Option<PackedApp> {
        let json = serde_json::to_vec(&AppToKeep { app, actions }).ok()?;
        let place = Sha256::digest(&json).into();
        let bytes = if self.is_due(&place, &place) { compress(&json) } else { None };
        Some(PackedApp { place, bytes })
    }

    /// Keeps an app's actions.
    pub(super) fn keep_app(&self, packed: PackedApp) {
        if let Some(bytes) = packed.bytes {
            self.put(packed.place, packed.place, bytes);
        }
    }

    /// Keeps a user's catalog of apps with these places.
    pub(super) fn keep_catalog(
        &self,
        user: &UserKey,
        apps: &Apps,
        connections: &[&Connection],
        lists: &[Place],
        is_lent: bool,
    ) {
        let place = self.place_of(user, apps);
        let of = (user.workspace().to_owned(), user.user().to_owned());
        let lists = lists.iter().map(|place| URL_SAFE_NO_PAD.encode(place)).collect();
        let catalog = KeptCatalog { user: of, apps: apps.keys().cloned(), connections, lists, is_lent };
        let Ok(json) = serde_json::to_vec(&catalog) else { return };
        let content = Sha256::digest(&json).into();
        if self.is_due(&place, &content)
            && let Some(bytes) = compress(&json)
        {
            self.put(place, content, bytes);
        }
    }

    /// Returns a user's catalog, if it is kept.
    pub(super) async fn catalog(&self, user: &UserKey, apps: &Apps) -> Option<KeptCatalog<Vec<Connection>>> {
        let bytes = self.shelf.get(self.place_of(user, apps)).await?;
        let kept: KeptCatalog<Vec<Connection>> = decompress(&bytes)?;
        let is_theirs = kept.user.0 == user.workspace() && kept.user.1 == user.user();
        (is_theirs && kept.apps.as_ref() == apps.keys()).then_some(kept)
    }

    /// Returns the tools of an app from its place, if it is kept. They are made once for all who ask.
    pub(super) async fn app(&self, place: &str, pool: &Pool, interner: &Interner) -> Option<Arc<AppTools>> {
        let place: Place = URL_SAFE_NO_PAD.decode(place).ok()?.try_into().ok()?;
        let made = {
            let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(unpacked.get_or_insert(place, Arc::default))
        };
        let tools = made.get_or_init(|| async {
            let bytes = self.shelf.get(place).await?;
            // Short as it is, it may become long.
            let make = move || {
                let json = decompress_bytes(&bytes)?;
                // What is kept comes from outside this process, and may be damaged.
                (Sha256::digest(&json)[..] == place).then_some(())?;
                let KeptApp { app, actions } = serde_json::from_slice(&json).ok()?;
                let tools = actions.into_iter().filter_map(|action| Tool::of(&app, &action)).collect();
                Some(AppTools::new(&app, tools))
            };
            let tools = pool.run(LARGE + 1, make).await.flatten()?;
            Some(interner.share(tools))
        });
        let tools = tools.await.clone();
        if tools.is_none() {
            // It may be there the next time.
            self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).pop(&place);
        }
        tools
    }

    /// Remembers that users of this upstream must not share lists, so that no later process gives out what was lent.
    pub(super) fn note_end_of_sharing(&self) {
        let place = self.place_of_end();
        self.put(place, place, b"1".to_vec());
    }

    /// Returns whether it was found out lately that users must not share lists.
    pub(super) async fn has_sharing_ended(&self) -> bool {
        self.shelf.get(self.place_of_end()).await.is_some()
    }

    fn place_of_end(&self) -> Place {
        place(&["sharing has ended", &self.base])
    }

    fn place_of(&self, user: &UserKey, apps: &Apps) -> Place {
        // Filters of URLs are without number, and must not fill the shelf: of those in one group the last is kept.
        let group = apps.keys().map_or_else(String::new, |keys| (hash(keys) % FILTERS).to_string());
        place(&["catalog", &self.base, user.workspace(), user.user(), &group])
    }

    /// Returns whether something else was put at a place, or so long ago that it may soon be gone.
    fn is_due(&self, place: &Place, content: &Place) -> bool {
        let mut books = self.books();
        let known = books.known.get(place);
        known.is_none_or(|(known, at)| known != content || at.elapsed() > self.ttl / 2)
    }

    fn put(&self, place: Place, content: Place, bytes: Vec<u8>) {
        {
            let mut books = self.books();
            if books.since.elapsed() > self.ttl {
                (books.since, books.bytes) = (Instant::now(), 0);
            }
            if bytes.len() > MAX_ITEM || books.bytes + bytes.len() > MAX_BYTES {
                return;
            }
            books.bytes += bytes.len();
            books.known.put(place, (content, Instant::now()));
            if books.known.len() > MAX_KNOWN {
                books.known.pop_lru();
            }
        }
        // Nobody waits for it: a list is given as soon as it is there.
        actix::spawn(self.shelf.put(place, bytes, self.ttl));
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // A poisoned lock holds sound books all the same: no panic can leave them half written. It is asked for once for each
        // load and list, and never to serve a request.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// Returns the place of some texts. Each counts with its length, so that no two lists of texts are alike.
fn place(texts: &[&str]) -> Place {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

fn compress(json: &[u8]) -> Option<Vec<u8>> {
    // What most processes never read is to be small soon, not as small as can be.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(json).ok()?;
    encoder.finish().ok()
}

fn decompress_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut json = Vec::new();
    GzDecoder::new(bytes).take(MAX_UNPACKED).read_to_end(&mut json).ok()?;
    Some(json)
}

fn decompress<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(&decompress_bytes(bytes)?).ok()
}

#[cfg(test)]
mod tests;
