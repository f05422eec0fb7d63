//! Sessions and chats outlive the process, memory, and trouble with the disk.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    files::Folder,
    support::{Client, SECRET, Server, ServerBuilder, assert_error, binary, eventually, finish, token},
};

/// A server that keeps its sessions in a folder of the test's.
fn keeping_in(folder: &Folder) -> ServerBuilder {
    Server::builder().env("MCP__STORE__PATH", folder.as_str())
}

/// The same client, of another server.
fn again<'a>(server: &'a Server, client: &Client<'_>) -> Client<'a> {
    Client { server, ..client.clone() }
}

/// Opens a session of a chat in dynamic mode, with tools enabled.
async fn open_chat<'a>(server: &'a Server, chat: &str, tools: &[&str]) -> Client<'a> {
    let client = server.client("ann").query("mode=dynamic").header("x-chat-id", chat).open().await;
    enable(&client, tools).await;
    client
}

async fn enable(client: &Client<'_>, tools: &[&str]) {
    let result = client.call("enable-tools", json!({"tools": tools})).await.result();
    assert_eq!(result["content"], json!([{"type": "text", "text": "Tools enabled"}]), "{result}");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = Folder::new();
    let before = keeping_in(&folder).start();
    let chat = open_chat(&before, "monday", &["gmail_send-email", "slack_send-channel-message"]).await;
    let listed = chat.tools().await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    let fixed = before.client("ann").query("apps=gmail").open_with("2025-03-26").await;
    let gmail = fixed.tool_names().await;
    let modern = before.client("ann").query("mode=dynamic").header("x-chat-id", "modern");
    modern.modern_enable(&["gmail_send-email"]).await;
    let modern_list = modern.modern_list().await["tools"].clone();
    let closed = open_chat(&before, "closed", &[]).await;
    assert_eq!(closed.delete().await.status, 200);
    let taken = open_chat(&before, "taken", &["gmail_send-email"]).await;
    let taker = before.client("ann").query("mode=dynamic").header("x-chat-id", "taken").open().await;
    let chats = before.client("ann").chats().await.json();
    assert_eq!(chats.as_object().unwrap().len(), 3, "{chats}");
    before.kill();

    let after = keeping_in(&folder).start();
    assert_eq!(after.client("ann").chats().await.json(), chats);
    assert_eq!(again(&after, &chat).tools().await, listed);
    let sent = json!({"to": ["bob@example.com"], "subject": "Hi", "body": "Hello"});
    assert_eq!(again(&after, &chat).call("gmail_send-email", sent).await.result()["isError"], Value::Null);
    let fixed = again(&after, &fixed);
    assert_eq!(fixed.tool_names().await, gmail);
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]);
    assert_eq!(fixed.post(batch).await.status, 200, "it still speaks the revision that it negotiated");
    assert_eq!(again(&after, &modern).modern_list().await["tools"], modern_list);
    assert_error(&again(&after, &closed).ask("tools/list", json!({})).await, 404, -32000, "an ended session");
    assert_eq!(again(&after, &taken).tools().await.len(), 2);
    assert_eq!(again(&after, &taker).tools().await.len(), 2, "what it inherited");

    let thief = Client { token: token("bob"), ..again(&after, &chat) };
    assert_error(&thief.ask("tools/list", json!({})).await, 404, -32000, "another user's session");
    assert_eq!(again(&after, &chat).delete().await.status, 200, "an idle session can be ended, too");
    assert_eq!(after.client("ann").chats().await.json().as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn tools_beyond_the_catalog_come_back_with_the_chat() {
    let folder = Folder::new();
    let before = keeping_in(&folder).start();
    let chat = open_chat(&before, "monday", &["test_simple_text", "gmail_send-email"]).await;
    let listed = chat.tools().await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    before.kill();

    let after = keeping_in(&folder).start();
    let chat = again(&after, &chat);
    assert_eq!(chat.tools().await, listed);
    let asked = after.requests("GET /action").await;
    assert_eq!(chat.tools().await, listed);
    assert_eq!(after.requests("GET /action").await, asked, "they are looked up once");
}

#[tokio::test]
async fn an_idle_session_leaves_memory_and_comes_back() {
    let server = Server::builder().env("MCP__TUNING__SESSION_IDLE_S", "1").start();
    let chat = open_chat(&server, "monday", &["gmail_send-email"]).await;
    let listening = server.client("bob").open().await;
    let stream = listening.stream().await;
    let session = chat.session.clone().unwrap();
    server.wait_for_log(&format!("session passivated session={session}"));

    assert_eq!(chat.tools().await.len(), 2);
    server.wait_for_log(&format!("session revived session={session}"));
    let listening = listening.session.unwrap();
    assert!(!server.log().contains(&format!("session passivated session={listening}")), "it has a stream");
    drop(stream);
    let has_left = format!("session passivated session={listening}");
    eventually("it leaves without its stream", async || server.log().contains(&has_left)).await;
    // Its next stream begins by saying to list again, since nobody knows what it missed.
    let mut own = server.client("bob").in_session(&listening).stream().await;
    assert_eq!(own.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_session_past_its_retention_is_gone_after_a_restart_too() {
    let folder = Folder::new();
    let before = keeping_in(&folder).env("MCP__SESSIONS__RETENTION_S", "1").start();
    let chat = open_chat(&before, "monday", &[]).await;
    before.kill();
    let after = keeping_in(&folder).env("MCP__SESSIONS__RETENTION_S", "1").start();
    eventually("the chat is free", async || after.client("ann").chats().await.json() == json!({})).await;
    assert_error(&again(&after, &chat).ask("ping", json!({})).await, 404, -32000, "a session past its retention");
}

/// What a server says that can't start.
fn complaint(folder: &Folder) -> String {
    let mut command = binary();
    command.arg("--sandbox").env("PORT", "0").env("MCP__ADMIN__PORT", "0").env("MCP__STORE__PATH", folder.as_str());
    let output = finish(&mut command);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_file_that_cannot_be_used_stops_the_start_and_stays_as_it_is() {
    let folder = Folder::new();
    let first = keeping_in(&folder).start();
    assert!(complaint(&folder).contains("is in use by another server: give each its own store.path"));
    first.kill();
    // The next one takes over what the first had in its log of changes.
    keeping_in(&folder).start();
    let file = folder.path().join("sessions.db");
    let sound = fs::read(&file).unwrap();

    let user_version = 60..64;
    let mut newer = sound.clone();
    newer[user_version].copy_from_slice(&99_u32.to_be_bytes());
    let mut foreign = sound.clone();
    foreign[68..72].copy_from_slice(&1_u32.to_be_bytes());
    let mut damaged = sound.clone();
    damaged[4096..].fill(0x55);
    let cases = [
        (newer, "has format 99, and this server knows 6 at most"),
        (foreign, "it is not this server's"),
        (damaged, "is damaged"),
        (b"no database at all, but long enough to be taken for one, were it not for this text".to_vec(), "is damaged"),
    ];
    for (bytes, expected) in cases {
        fs::write(&file, &bytes).unwrap();
        let said = complaint(&folder);
        assert!(said.contains(expected), "{expected:?} is missing in {said}");
        assert!(!said.contains(SECRET), "{said}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "{expected}");
    }
    fs::write(&file, &sound).unwrap();
    keeping_in(&folder).start();
}

/// A small file system, which is gone when the test ends.
struct SmallDisk(Folder);

impl SmallDisk {
    fn mount() -> Self {
        let folder = Folder::new();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512k", "tmpfs", folder.as_str()]);
        assert!(mount.status().unwrap().success(), "a file system can be mounted, for which one has to be root");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that fails may leave a server that has a file open there.
        let _ = Command::new("umount").args(["-l", self.0.as_str()]).status();
    }
}

#[tokio::test]
async fn a_full_disk_stops_what_must_be_kept_and_nothing_else() {
    let disk = SmallDisk::mount();
    let server = keeping_in(&disk.0).start();
    let fixed = server.client("ann").open().await;
    let chat = open_chat(&server, "monday", &["gmail_send-email"]).await;

    let filler = disk.0.path().join("filler");
    // It takes what it can get, and complains.
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    let mut refused = None;
    eventually("nothing more can be kept", async || {
        let reply = server.client("ann").initialize("2025-11-25").await;
        let is_refused = reply.status != 200;
        refused = Some(reply);
        is_refused
    })
    .await;
    let refused = refused.unwrap();
    assert_error(&refused, 503, -32603, "a new session");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let reply = chat.call("enable-tools", json!({"tools": ["slack_send-channel-message"]})).await;
    assert_eq!(reply.code(), -32603, "{reply:?}");
    assert!(!fixed.tools().await.is_empty(), "a session goes on");
    assert!(!server.client("bob").modern_list().await["tools"].as_array().unwrap().is_empty(), "without a session");
    let ready = async || server.http.get(format!("{}/readyz", server.url)).send().await.unwrap().status();
    assert_eq!(ready().await, 503);

    fs::remove_file(&filler).unwrap();
    let is_opened = async || server.client("ann").initialize("2025-11-25").await.status == 200;
    eventually("the store works again", is_opened).await;
    eventually("it is ready again", async || ready().await == 200).await;
    server.wait_for_log("works again");
    for text in ["can't do what it is asked", "works again"] {
        assert_eq!(server.log().matches(text).count(), 1, "a change is logged once: {text}");
    }
}
