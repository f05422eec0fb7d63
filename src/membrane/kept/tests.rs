//! Tests of the keeper of tools.

use std::collections::HashMap;

use serde_json::json;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// A shelf in memory.
#[derive(Default)]
struct Memory(Mutex<HashMap<Place, Vec<u8>>>);

impl Shelf for Memory {
    fn put(&self, place: Place, bytes: Vec<u8>, _: Duration) -> ShelfFuture<()> {
        self.0.lock().unwrap().insert(place, bytes);
        Box::pin(async {})
    }

    fn get(&self, place: Place) -> ShelfFuture<Option<Vec<u8>>> {
        let bytes = self.0.lock().unwrap().get(&place).cloned();
        Box::pin(async { bytes })
    }
}

fn keeper() -> (Arc<Memory>, Keeper) {
    let shelf = Arc::new(Memory::default());
    (Arc::clone(&shelf), Keeper::new(shelf, DAY, "http://upstream"))
}

fn slack() -> App {
    App { key: IntegrationKey::new("slack"), name: "Slack".to_owned(), logo: None }
}

fn actions(keys: &[&str]) -> Vec<Action> {
    let action = |key: &&str| json!({"key": key, "name": key, "integrationId": "i", "inputSchema": {"type": "object"}});
    keys.iter().map(|key| serde_json::from_value(action(key)).unwrap()).collect()
}

fn connections() -> Vec<Connection> {
    let connection = json!({
        "id": "c-1", "key": "work", "name": "Work", "disconnected": true, "accessToken": "a secret",
        "credentials": {"password": "a secret"},
        "clientAction": {"type": "connect", "description": "Sign in", "uiUrl": "https://ui/?token=a-secret"},
        "integration": {"id": "i", "key": "slack", "name": "Slack"},
    });
    vec![serde_json::from_value(connection).unwrap()]
}

fn keep(keeper: &Keeper, user: &UserKey, apps: &Apps, connections: &[Connection], lists: &[Place]) {
    keeper.keep_catalog(user, apps, &connections.iter().collect::<Vec<_>>(), lists, false);
}

#[actix::test]
async fn an_app_comes_back_with_the_tools_that_it_had() {
    let (shelf, keeper) = keeper();
    let packed = keeper.pack(&slack(), &actions(&["b", "a"])).unwrap();
    let place = URL_SAFE_NO_PAD.encode(packed.place);
    keeper.keep_app(packed);
    assert!(keeper.pack(&slack(), &actions(&["b", "a"])).unwrap().bytes.is_none(), "it is kept already");
    let (pool, interner) = (Pool::default(), Interner::default());
    let tools = keeper.app(&place, &pool, &interner).await.unwrap();
    let before = actions(&["b", "a"]).iter().filter_map(|action| Tool::of(&slack(), action)).collect();
    assert_eq!(tools.content(), AppTools::new(&slack(), before).content());
    let again = keeper.app(&place, &pool, &interner).await.unwrap();
    assert!(Arc::ptr_eq(&tools, &again), "made once for all");
    assert_eq!(shelf.0.lock().unwrap().len(), 1);
}

#[actix::test]
async fn what_was_changed_on_the_shelf_is_not_taken() {
    let (shelf, keeper) = keeper();
    let packed = keeper.pack(&slack(), &actions(&["a"])).unwrap();
    let place = packed.place;
    let other = keeper.pack(&slack(), &actions(&["b"])).unwrap();
    let (pool, interner) = (Pool::default(), Interner::default());
    for bytes in [other.bytes.unwrap(), b"no gzip".to_vec()] {
        shelf.0.lock().unwrap().insert(place, bytes);
        assert!(keeper.app(&URL_SAFE_NO_PAD.encode(place), &pool, &interner).await.is_none());
    }
    keeper.keep_app(packed);
    assert!(
        keeper.app(&URL_SAFE_NO_PAD.encode(place), &pool, &interner).await.is_some(),
        "a failure is not remembered"
    );
}

#[actix::test]
async fn a_catalog_is_its_users_and_its_apps() {
    let (shelf, keeper) = keeper();
    let (ann, bob, all) = (UserKey::new("w", "ann"), UserKey::new("w", "bob"), Apps::default());
    keep(&keeper, &ann, &all, &connections(), &[[1; 32]]);
    let kept = keeper.catalog(&ann, &all).await.unwrap();
    assert_eq!(kept.lists, [URL_SAFE_NO_PAD.encode([1; 32])]);
    assert!(kept.connections[0].is_disconnected() && kept.connections[0].name.as_deref() == Some("Work"));
    assert!(keeper.catalog(&bob, &all).await.is_none());
    assert!(keeper.catalog(&UserKey::new("v", "ann"), &all).await.is_none());
    // Even if places were mixed up.
    let anns = shelf.0.lock().unwrap()[&keeper.place_of(&ann, &all)].clone();
    shelf.0.lock().unwrap().insert(keeper.place_of(&bob, &all), anns);
    assert!(keeper.catalog(&bob, &all).await.is_none());

    for i in 0..1000 {
        let apps = Apps::parse([format!("app-{i}").as_str()]);
        keep(&keeper, &ann, &apps, &connections(), &[]);
        assert!(keeper.catalog(&ann, &apps).await.is_some(), "the last one is there");
    }
    assert!(shelf.0.lock().unwrap().len() <= 2 + 8, "filters without number take few places");
}

#[actix::test]
async fn no_secret_of_a_connection_is_kept() {
    let (shelf, keeper) = keeper();
    keep(&keeper, &UserKey::new("w", "ann"), &Apps::default(), &connections(), &[[1; 32]]);
    for bytes in shelf.0.lock().unwrap().values() {
        let json = String::from_utf8(decompress_bytes(bytes).unwrap()).unwrap();
        assert!(json.contains("Work") && !json.contains("secret"), "{json}");
    }
}

#[actix::test]
async fn a_server_keeps_so_many_bytes_and_no_more() {
    let (shelf, keeper) = keeper();
    let place = |i: usize| Sha256::digest(i.to_le_bytes()).into();
    keeper.put(place(0), place(0), vec![0; MAX_ITEM + 1]);
    for i in 1..=2 * MAX_BYTES / MAX_ITEM {
        keeper.put(place(i), place(i), vec![0; MAX_ITEM]);
    }
    assert_eq!(shelf.0.lock().unwrap().len(), MAX_BYTES / MAX_ITEM);
}
