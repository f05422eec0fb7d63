//! The sandbox's banner, and the tokens that it hands out.

use std::{
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    command_line::printed,
    files::Folder,
    support::{SECRET, Server, binary, finish},
};

/// Lines that a text takes on a terminal of so many columns.
fn lines_at(columns: usize, text: &str) -> usize {
    text.lines().map(|line| line.chars().count().div_ceil(columns).max(1)).sum()
}

#[tokio::test]
async fn the_banner_is_all_that_a_newcomer_needs_and_fits_on_a_screen() {
    // No key is given: the sandbox draws one, and keeps it.
    let server = Server::builder().env("MCP__SANDBOX__SECRET", "").start();
    let banner = server.printed("Stop it with ");
    let after = |label: &str| {
        let rest = banner.split_once(label).unwrap_or_else(|| panic!("{label:?} is missing in: {banner}")).1;
        rest.trim_start().lines().next().unwrap().trim_end().to_owned()
    };
    assert_eq!(after("MCP endpoint"), format!("{}/mcp", server.url));
    assert!(after("Page  ").starts_with(&format!("{}/ ", server.url)), "{banner}");
    let token = after("export TOKEN=");
    assert_eq!(banner.matches(&token).count(), 1, "{banner}");
    // Where the program is differs, and so does the length of the line that names it.
    let program = env!("CARGO_BIN_EXE_integration-app-mcp-server");
    assert!(lines_at(80, &banner.replace(program, "integration-app-mcp-server")) < 24, "{banner}");
    assert!(!server.client_with(&token).open().await.tools().await.is_empty());

    // Pasted as it is.
    let command = format!("export TOKEN={}", banner.split_once("export TOKEN=").unwrap().1);
    let command = command.split_once("}}}'").unwrap().0.to_owned() + "}}}'";
    let ran = finish(Command::new("/bin/sh").args(["-c", &command]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let answer: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("channels"), "{answer}");

    let mint = after("Another user:");
    let mut arguments = mint.split(' ');
    assert_eq!(arguments.next(), Some(program), "as the program was called");
    let kept = server.folder_path();
    let bobs = printed(binary().args(arguments).env("MCP__STORE__PATH", kept));
    assert!(!server.client_with(bobs.trim()).open().await.tools().await.is_empty());
}

#[tokio::test]
async fn a_sandbox_keeps_its_key_so_that_its_tokens_outlive_it() {
    let folder = Folder::new();
    let path = folder.path().to_str().unwrap().to_owned();
    let builder = || Server::builder().env("MCP__SANDBOX__SECRET", "").env("MCP__STORE__PATH", &path);
    let token = |server: &Server| {
        let banner = server.printed("Stop it with ");
        banner.split_once("export TOKEN=").unwrap().1.lines().next().unwrap().to_owned()
    };
    let first = builder().start();
    let kept = token(&first);
    assert!(first.printed("Stop it with ").contains("good for 7 days"));
    first.stop();
    let second = builder().start();
    assert!(!second.client_with(&kept).open().await.tools().await.is_empty());
    let mode = std::fs::metadata(folder.path().join("sandbox-secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    second.wait_for_log("these end with this server: what the sandbox's apps hold");

    let fleeting = Server::builder().env("MCP__SANDBOX__SECRET", "").env("MCP__STORE__PATH", "").start();
    let banner = fleeting.printed("Stop it with ");
    assert!(banner.contains("good until the server stops") && banner.contains("--user bob --secret "), "{banner}");
    fleeting.wait_for_log("these end with this server: sessions, chats");
    assert!(fleeting.log().contains("the sandbox's tokens (set"), "{}", fleeting.log());
}

#[tokio::test]
async fn a_minted_token_leaves_out_apps_that_are_for_tests() {
    let server = Server::start();
    let minted = printed(binary().args(["token", "--user", "bob", "--secret", SECRET]));
    let names = server.client_with(minted.trim()).open().await.tool_names().await;
    assert!(names.iter().any(|name| name.starts_with("slack_")), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("sandbox-faults")), "{names:?}");
}
