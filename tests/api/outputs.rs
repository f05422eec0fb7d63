//! Outputs that fit: shortened to a limit, and to what was asked for.

use serde_json::{Value, json};

use crate::{
    files::Folder,
    support::{Client, Server, assert_error},
};

fn output(result: &Value) -> Value {
    assert_eq!(result["isError"], Value::Null, "{result}");
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

async fn echo(client: &Client<'_>, input: Value) -> Value {
    client.call("sandbox-faults_echo", input).await.result()
}

fn rows(count: usize) -> Value {
    let row = |n: usize| json!({"id": format!("row-{n}"), "text": "x".repeat(100), "number": n});
    json!({"items": (0..count).map(row).collect::<Vec<_>>(), "cursor": "next"})
}

/// A server that answers as JSON however long it takes: the first search reads tables of words, and outputs here are large.
fn start() -> Server {
    Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000").start()
}

#[tokio::test]
async fn an_output_below_the_limit_is_as_it_was_and_one_above_says_what_is_missing() {
    let server = start();
    for mode in ["static", "dynamic", "search"] {
        let client = server.client("ann").query(&format!("mode={mode}")).open().await;
        if mode == "dynamic" {
            client.call("enable-tools", json!({"tools": ["sandbox-faults_echo"]})).await.result();
        }
        assert_eq!(output(&echo(&client, rows(10)).await), rows(10), "{mode}");
        let result = echo(&client, rows(2_000)).await;
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.len() <= 70_000, "{mode}: {}", text.len());
        let shortened = output(&result);
        let items = shortened["items"].as_array().unwrap();
        assert!(items.len() > 100, "{mode}: most of the room is used");
        assert_eq!(
            items[..],
            rows(2_000)["items"].as_array().unwrap()[..items.len()],
            "{mode}: from the beginning, unchanged"
        );
        let told = shortened["_shortened"]["lists"]["items"].as_str().unwrap();
        assert_eq!(told, format!("1-{} of 2000", items.len()), "{mode}");
    }
    let metrics = String::from_utf8(server.metrics().unwrap()).unwrap();
    assert!(metrics.contains("mcp_outputs_shortened_total 3"), "{metrics}");
}

#[tokio::test]
async fn a_url_sets_its_own_limit_within_bounds() {
    let server = start();
    let small = server.client("ann").query("output=2000").open().await;
    let result = echo(&small, rows(500)).await;
    assert!(result["content"][0]["text"].as_str().unwrap().len() <= 7_000);
    let modern =
        server.client("ann").query("output=100000").modern_call("sandbox-faults_echo", rows(2_000)).send().await;
    assert_eq!(output(&modern.result()), rows(2_000));
    for wrong in ["1999", "100001", "many", "-1"] {
        let refused = server.client("ann").query(&format!("output={wrong}")).initialize("2025-11-25").await;
        assert_error(&refused, 400, -32000, wrong);
    }
}

#[tokio::test]
async fn a_runner_gives_the_part_that_was_asked_for() {
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    let run = async |options: Value| {
        let mut arguments = json!({"name": "sandbox-faults_echo", "arguments": rows(50)});
        arguments.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        client.call("run-write-tool", arguments).await.result()
    };
    let ids = output(&run(json!({"fields": ["items[].id"], "range": "3-4"})).await);
    assert_eq!(ids["items"], json!([{"id": "row-2"}, {"id": "row-3"}]), "{ids}");
    assert_eq!(ids["cursor"], Value::Null, "{ids}");
    let unknown = output(&run(json!({"fields": ["items[].id", "nothing"]})).await);
    assert!(unknown["_shortened"].to_string().contains("nothing"), "{unknown}");
    for wrong in [json!({"fields": [""]}), json!({"range": "4-3"}), json!({"range": "x"})] {
        let refused = run(wrong.clone()).await;
        assert_eq!(refused["isError"], true, "{wrong}: {refused}");
    }
}

#[tokio::test]
async fn structured_content_is_shortened_and_conforms() {
    let server = start();
    let client = server.client("ann").query("output=2000").open().await;
    for n in 0..60 {
        let mail = json!({"to": ["bob@example.com"], "subject": format!("{n}"), "body": "y".repeat(200)});
        client.call("gmail_send-email", mail).await.result();
    }
    let tools = client.tools().await;
    let schema = &tools.iter().find(|tool| tool["name"] == "gmail_list-emails").unwrap()["outputSchema"];
    let result = client.call("gmail_list-emails", json!({"folder": "sent", "limit": 50})).await.result();
    let (text, structured) = (output(&result), &result["structuredContent"]);
    assert!(text["_shortened"].is_object(), "{text}");
    assert!(structured.to_string().len() <= 7_000, "{structured}");
    assert!(jsonschema::is_valid(schema, structured), "{structured}");
}

/// Runs `echo`, which may write, with rows that are too many, and gives the name under which the whole is kept.
async fn kept(client: &Client<'_>) -> String {
    let arguments = json!({"name": "sandbox-faults_echo", "arguments": rows(2_000)});
    let shortened = output(&client.call("run-write-tool", arguments).await.result());
    let next = shortened["_shortened"]["next"].as_str().unwrap().to_owned();
    let name =
        next.strip_prefix("run-read-tool with name ").and_then(|rest| rest.strip_suffix(", and fields or range"));
    name.unwrap_or_else(|| panic!("{next}")).to_owned()
}

async fn read_on(client: &Client<'_>, name: &str, range: &str) -> Value {
    client.call("run-read-tool", json!({"name": name, "range": range})).await.result()
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn the_whole_of_what_a_write_answered_can_be_read_without_another_run() {
    let fleet = crate::fleet::Fleet::start_with(2, |server| server.env("MCP__TUNING__STREAM_AFTER_MS", "60000")).await;
    let client = fleet.client("ann").query("mode=search").open().await;
    let name = kept(&client).await;
    for server in [0, 1] {
        let there = fleet.at(server, &client);
        let page = output(&read_on(&there, &name, "1999-2000").await);
        assert_eq!(page["items"].as_array().unwrap()[..], rows(2_000)["items"].as_array().unwrap()[1_998..]);
        let ids = client.call("run-read-tool", json!({"name": name, "fields": ["items[].number"]})).await.result();
        assert_eq!(output(&ids)["items"].as_array().unwrap().len(), 2_000);
        // What does not fit is shortened again, and says by what name to go on.
        let whole = output(&there.call("run-read-tool", json!({"name": name})).await.result());
        assert!(whole["_shortened"]["next"].as_str().unwrap().contains(&name), "{}", whole["_shortened"]);
    }
    assert_eq!(fleet.front.requests("POST /action-instance/run").await, 1);
    // Nobody else's, whatever server they ask.
    let bob = fleet.client("bob").query("mode=search").open().await;
    let refused = read_on(&bob, &name, "1-2").await;
    assert_eq!(refused["isError"], true, "{refused}");
    assert!(text(&refused).contains("There is no output"), "{refused}");
    // What the URL does not show is not read on either.
    for narrower in ["mode=search&access=read", "mode=search&apps=gmail", "mode=search&exclude=sandbox-faults_*"] {
        let narrow = fleet.client("ann").query(narrower).open().await;
        assert!(text(&read_on(&narrow, &name, "1-2").await).contains("There is no output"), "{narrower}");
    }
    let wrong = read_on(&client, &name, "two").await;
    assert!(text(&wrong).contains("range"), "{wrong}");
}

#[tokio::test]
async fn an_output_is_kept_over_a_restart_and_only_for_its_time() {
    let folder = Folder::new();
    let start = || {
        let server = Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000");
        server.env("MCP__STORE__PATH", folder.path().to_str().unwrap()).start()
    };
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    let name = kept(&client).await;
    let unknown = read_on(&client, &format!("output-{}", "0".repeat(32)), "1-2").await;
    assert!(text(&unknown).contains("outputs are kept for 600 s"), "{unknown}");
    drop(server);
    let server = start();
    let client = server.client("ann").query("mode=search").open().await;
    assert_eq!(output(&read_on(&client, &name, "1-2").await)["items"].as_array().unwrap().len(), 2);

    let never = Server::builder().env("MCP__TUNING__STREAM_AFTER_MS", "60000").env("MCP__OUTPUTS__KEEP_S", "0").start();
    let client = never.client("ann").query("mode=search").open().await;
    let arguments = json!({"name": "sandbox-faults_echo", "arguments": rows(2_000)});
    let shortened = output(&client.call("run-write-tool", arguments).await.result());
    assert_eq!(shortened["_shortened"]["next"], "fields", "{}", shortened["_shortened"]);
}
