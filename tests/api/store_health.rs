//! The store's files: who may read them, and what becomes of a server that loses them.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use serde_json::Value;

use crate::{
    files::Folder,
    loading::metric,
    support::{Server, ServerBuilder, eventually, reply_to},
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn keeping_in(folder: &Path) -> ServerBuilder {
    Server::builder().env("MCP__STORE__PATH", folder.to_str().unwrap())
}

async fn readiness(server: &Server) -> (u16, Value) {
    let reply = reply_to(server.http.get(format!("{}/readyz", server.url))).await;
    (reply.status.as_u16(), reply.json())
}

#[tokio::test]
async fn a_store_that_others_could_read_is_tightened() {
    let folder = Folder::new();
    let data = folder.path().join("data");
    let before = keeping_in(&data).start();
    assert_eq!(mode(&data), 0o700, "a new folder");
    before.client("ann").open().await;
    before.kill();
    let files = ["sessions.db", "sessions.db-wal"].map(|name| data.join(name));
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
        open_to_all(file, 0o666);
    }
    open_to_all(&data, 0o777);

    let server = keeping_in(&data).start();
    server.wait_for_log("sessions.db-wal was open to others (666): its permissions are 600 now");
    assert_eq!(mode(&data), 0o755, "nobody else can put a file into the folder");
    assert_eq!(mode(&files[0]), 0o600);
    server.client("ann").open().await;
    for file in fs::read_dir(&data).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_folder_that_all_may_use_stays_as_it_is() {
    let folder = Folder::new();
    open_to_all(folder.path(), 0o1777);
    let _server = keeping_in(folder.path()).start();
    assert_eq!(mode(folder.path()), 0o1777);
    assert_eq!(mode(&folder.path().join("sessions.db")), 0o600);
}

#[tokio::test]
async fn a_store_whose_folder_was_deleted_is_noticed_and_one_that_is_back_too() {
    let folder = Folder::new();
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    let server = keeping_in(&data).start();
    let ann = server.client("ann").open().await;
    assert_eq!(metric(&server, "mcp_store_up", ""), 1);

    fs::rename(&data, &elsewhere).unwrap();
    eventually("it is noticed", async || readiness(&server).await.0 == 503).await;
    let (_, body) = readiness(&server).await;
    let why = body["checks"]["store"].as_str().unwrap();
    assert!(why.contains("was deleted or moved") && !why.contains('/'), "{body}");
    assert_eq!(metric(&server, "mcp_store_up", ""), 0);
    assert!(!ann.tools().await.is_empty(), "what runs goes on");

    fs::rename(&elsewhere, &data).unwrap();
    eventually("it is noticed, too", async || readiness(&server).await.0 == 200).await;
    assert_eq!(metric(&server, "mcp_store_up", ""), 1);
    fs::remove_dir_all(&data).unwrap();
    eventually("it is noticed again", async || readiness(&server).await.0 == 503).await;
    // A write that fails first makes the server unready before the file is missed.
    let logged = || server.log().matches("sessions.db was deleted or moved").count();
    eventually("it is logged again", async || logged() >= 2).await;
    assert_eq!(logged(), 2, "each time is logged once");
}
