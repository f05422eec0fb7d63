//! Tools as clients see them, whatever names and schemas their actions have: each can be called, and none costs another.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    catalog::token_with,
    files::Folder,
    support::{Client, Server},
};

const ENABLE: &str = "enable-tools";

/// An action that gives its input back.
fn echo(key: &str, schema: &Value) -> Value {
    json!({"key": key, "name": key, "description": "", "type": "http-request", "inputSchema": schema, "run": {"do": "echo"}})
}

/// An action that gives its key.
fn tell(key: &str) -> Value {
    json!({"key": key, "name": key, "description": "", "type": "http-request", "run": {"do": "output", "value": key}})
}

/// A server with these apps, each of a key and actions.
fn server(apps: &[(&str, Vec<Value>)]) -> (Folder, Server) {
    let apps = apps.iter().map(|(key, actions)| json!({"integration": {"key": key, "name": key, "logoUri": "https://x.example.com/l.svg"}, "actions": actions}));
    let folder = Folder::new().with("apps.json", &Value::Array(apps.collect()).to_string());
    let server =
        Server::builder().env("MCP__SANDBOX__CATALOG", folder.as_str()).env("MCP__LOG__FILTER", "info").start();
    (folder, server)
}

/// The names of all tools, by what they give.
async fn names(client: &Client<'_>) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for name in client.tool_names().await {
        let key = client.output(&name, json!({})).await;
        names.insert(key.as_str().unwrap().to_owned(), name);
    }
    names
}

#[tokio::test]
async fn keys_in_any_script_give_names_that_mean_the_same_action_for_ever() {
    let keys = ["创建", "删除", "get user", "get-user", "get/user", "a.b", &"long ".repeat(20)];
    let actions = |without: &str| keys.iter().filter(|key| **key != without).map(|key| tell(key)).collect::<Vec<_>>();
    let (_files, first) = server(&[("crm", actions(""))]);
    let client = first.client("ann").open().await;
    let all = names(&client).await;
    assert_eq!(all.len(), keys.len(), "{all:?}");
    assert_eq!(all["get-user"], "crm_get-user");
    let is_name =
        |name: &String| name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    assert!(all.values().all(is_name), "{all:?}");

    // Another server, another time, one action less.
    let (_files, second) = server(&[("crm", actions("创建"))]);
    let client = second.client("bob").open().await;
    let mut left = all.clone();
    let gone = left.remove("创建").unwrap();
    assert_eq!(names(&client).await, left);
    assert_eq!(client.call(&gone, json!({})).await.code(), -32602);
}

#[tokio::test]
async fn two_apps_that_could_share_a_name_share_none() {
    let (_files, both) = server(&[("a", vec![tell("b_c"), tell("d")]), ("a_b", vec![tell("c")])]);
    let client = both.client("ann").open().await;
    let all = names(&client).await;
    assert_eq!(all["d"], "a_d");
    assert!(all["b_c"].starts_with("a_b_c_") && all["c"].starts_with("a_b_c_") && all["c"] != all["b_c"], "{all:?}");
    assert_eq!(client.call("a_b_c", json!({})).await.code(), -32602);

    let (_files, alone) = server(&[("a", vec![tell("d")]), ("a_b", vec![tell("c")])]);
    assert_eq!(names(&alone.client("ann").open().await).await["c"], all["c"], "whatever the other app's actions");
    let (_files, single) = server(&[("a_b", vec![tell("c")])]);
    let client = single.client("ann").open().await;
    assert_eq!(client.tool_names().await, ["a_b_c"]);
    assert_eq!(client.output(&all["c"], json!({})).await, "c");
}

#[tokio::test]
async fn a_tool_beyond_the_catalog_is_enabled_by_the_name_that_its_keys_give() {
    let (_files, server) =
        server(&[("crm", vec![tell("创建"), tell("get user"), tell("list")]), ("own", vec![tell("x")])]);
    let known = names(&server.client("ann").open().await).await;
    let stranger = server.client_with(&token_with("new", &["own"])).query("mode=dynamic").open().await;
    let wanted = [&known["创建"], &known["get user"], &known["list"], &known["x"]];
    let told = stranger.call(ENABLE, json!({"tools": wanted})).await.result();
    assert_eq!(told["content"].as_array().unwrap().len(), 1, "{told}");
    let mut listed = stranger.tool_names().await;
    listed.retain(|name| name != ENABLE);
    listed.sort_unstable();
    let mut expected: Vec<_> = wanted.into_iter().cloned().collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn arguments_under_published_names_reach_the_action_under_its_own() {
    let row = json!({"type": "object", "properties": {"product ID": {"type": "integer"}}, "required": ["product ID"]});
    let schema = json!({"type": "object", "properties": {
        "First Name": {"type": "string", "minLength": 2},
        "$filter": {"type": "object", "properties": {"ids[]": {"type": "array", "items": {"type": "string"}}}},
        "rows": {"type": "array", "items": row},
    }, "required": ["First Name"]});
    let wrapped = json!({"type": "array", "items": row});
    let (_files, server) = server(&[("crm", vec![echo("add", &schema), echo("all", &wrapped)])]);
    let client = server.client("ann").open().await;
    let tools = client.tools().await;
    let published = &tools[0]["inputSchema"];
    assert_eq!(published["required"], json!(["First_Name"]));
    let properties: Vec<_> = published["properties"].as_object().unwrap().keys().collect();
    assert_eq!(properties, ["First_Name", "filter", "rows"]);

    let arguments = json!({"First_Name": "Ada", "filter": {"ids": ["a"]}, "rows": [{"product_ID": 7}], "ids": 1});
    let expected = json!({"First Name": "Ada", "$filter": {"ids[]": ["a"]}, "rows": [{"product ID": 7}], "ids": 1});
    assert_eq!(client.output("crm_add", arguments).await, expected);
    // Some clients send objects and arrays as texts of JSON.
    let texts = json!({"First_Name": "Ada", "filter": r#"{"ids":["a"]}"#, "rows": r#"[{"product_ID":7}]"#});
    let repaired = json!({"First Name": "Ada", "$filter": {"ids[]": ["a"]}, "rows": [{"product ID": 7}]});
    assert_eq!(client.output("crm_add", texts).await, repaired);
    let own = json!({"First Name": "Ada"});
    assert_eq!(client.output("crm_add", own.clone()).await, own, "names of the action are taken, too");
    assert_eq!(client.output("crm_all", json!({"input": [{"product_ID": 7}]})).await, json!([{"product ID": 7}]));
    let refused = client.call("crm_add", json!({"First_Name": "A"})).await.result();
    assert_eq!(refused["isError"], true, "it is checked against the action's own schema: {refused}");
}

#[tokio::test]
async fn no_actions_schema_costs_another_tool() {
    let broken = json!([
        {"properties": {"a": true, "b": null}},
        {"type": "object", "properties": null},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": null},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": true},
        {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "["}}},
        {"type": "object", "properties": {"a": {"type": "any"}}},
        {"type": "object", "properties": {"a": {"enum": null}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": null}}},
        (0..70).fold(json!({"type": "string"}), |schema, _| json!({"type": "object", "properties": {"a": schema}})),
        "schema",
        7,
    ]);
    let broken = broken.as_array().unwrap();
    let mut actions = vec![echo("sound", &json!({"type": "object", "properties": {"a": {"type": "string"}}}))];
    actions.extend(broken.iter().enumerate().map(|(i, schema)| echo(&format!("odd-{i:02}"), schema)));
    let (_files, server) = server(&[("crm", actions)]);
    let client = server.client("ann").open().await;
    let tools = client.tools().await;
    assert_eq!(tools.len(), broken.len() + 1);
    for tool in &tools {
        let schema = &tool["inputSchema"];
        assert_eq!(schema["type"], "object", "{tool}");
        assert!(schema["properties"].is_object(), "{tool}");
        let name = tool["name"].as_str().unwrap();
        assert_eq!(client.output(name, json!({"b": [1]})).await, json!({"b": [1]}), "{tool}");
    }
    for i in [0, 1, 2, 4, 6, 8, 9, 10, 11] {
        server.wait_for_log(&format!("tool=crm_odd-{i:02}"));
    }
    let log = server.log();
    let warned = log.lines().filter(|line| line.contains("published in part"));
    assert!(warned.clone().count() > 0 && !warned.into_iter().any(|line| line.contains("crm_sound")), "{log}");
}

#[tokio::test]
async fn published_schemas_have_no_identity_no_null_and_one_type_each() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://schemas.example.com/one", "type": "object",
        "properties": {
            "cc": {"type": ["string", "null"]},
            "level": {"enum": ["low", "high", null]},
            "country": {"type": "string", "enum": ["DE", "FR"], "allowCustom": true, "nullable": true},
            "list": {"type": "array"},
        },
        "required": ["list", "ghost"],
        "anyOf": [{"required": ["cc"]}, {"required": ["level"]}],
    });
    let same = json!({"type": "object", "$id": "https://schemas.example.com/one", "properties": {}});
    let (_files, server) = server(&[("crm", vec![echo("one", &schema), echo("two", &same)])]);
    let client = server.client("ann").open().await;
    let tools = client.tools().await;
    let published = &tools[0]["inputSchema"];
    let keywords: Vec<_> = published.as_object().unwrap().keys().collect();
    assert_eq!(keywords, ["type", "properties", "required"]);
    assert_eq!(published["required"], json!(["list"]));
    let properties = &published["properties"];
    assert_eq!(properties["cc"], json!({"type": "string"}));
    assert_eq!(properties["level"], json!({"enum": ["low", "high"], "type": "string"}));
    assert_eq!(properties["country"], json!({"type": "string", "description": "Such as: \"DE\", \"FR\"."}));
    assert_eq!(tools[1]["inputSchema"], json!({"type": "object", "properties": {}}));

    for list in [json!(["a"]), json!([{"id": 1}]), json!([[1], ["b"]])] {
        let arguments = json!({"list": list, "level": "low"});
        assert_eq!(client.output("crm_one", arguments.clone()).await, arguments, "elements of any type");
    }
    let refused = client.call("crm_one", json!({"list": []})).await.result();
    assert_eq!(refused["isError"], true, "the action's own anyOf counts: {refused}");
}
