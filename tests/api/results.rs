//! Results: a good run is a success whatever comes of it, and its structured form conforms to the schema that was listed.

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::{
    modern_support::MODERN,
    odd_upstream::{OddUpstream, action, call, first_text},
    support::Client,
};

fn contact() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": {"type": "string", "format": "uuid"}, "name": {"type": "string", "minLength": 3},
            "stage": {"enum": ["lead", "won"]}, "score": {"type": "integer", "maximum": 10},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 1},
            "owner": {"$ref": "#/$defs/owner"}, "at": {"type": "string", "format": "date-time"},
        },
        "required": ["id", "name", "stage"],
        "additionalProperties": false,
        "$defs": {"owner": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}},
    })
}

/// A validator of a tool's listed output schema.
async fn listed(client: &Client<'_>, tool: &str) -> jsonschema::Validator {
    let tools = client.tools().await;
    let tool = tools.iter().find(|other| other["name"] == tool).unwrap();
    jsonschema::validator_for(&tool["outputSchema"]).unwrap()
}

#[tokio::test]
async fn a_good_run_is_never_an_error_and_its_structured_form_conforms() {
    let upstream = OddUpstream::with_actions(&[action("get", json!({}), contact())]);
    let server = upstream.server();
    let client = server.client("ann").open().await;
    let validator = listed(&client, "app_get").await;
    let cases = [
        (r#"{"id":"1","name":null,"stage":"lost","extra":[1],"at":"26.11.2026"}"#, None),
        (r#"{"name":"Al"}"#, None),
        (r#"{"owner":{},"tags":["a","b",null],"score":11}"#, None),
        (r#"{"score":"11","tags":"a","name":"Ann"}"#, Some(r#"{"name":"Ann"}"#)),
        (r#"{"tags":["a",1],"owner":[]}"#, Some(r#"{"tags":["a"]}"#)),
        (r#"[{"id":"1"}]"#, Some(r#"{"value":[{"id":"1"}]}"#)),
        ("\"text\"", Some(r#"{"value":"text"}"#)),
        ("0", Some(r#"{"value":0}"#)),
        ("false", Some(r#"{"value":false}"#)),
        ("{}", None),
    ];
    for (output, structured) in cases {
        upstream.output_is(output);
        let result = call(&client, "app_get", "{}").await;
        assert_eq!(result["isError"], Value::Null, "{output}: {result}");
        assert_eq!(result["content"], json!([{"type": "text", "text": output}]), "the text is the whole output");
        let expected: Value = serde_json::from_str(structured.unwrap_or(output)).unwrap();
        assert_eq!(result["structuredContent"], expected, "{output}");
        assert!(validator.is_valid(&expected), "{output}");
    }
}

#[tokio::test]
async fn a_run_without_an_output_is_a_success() {
    let upstream =
        OddUpstream::with_actions(&[action("get", json!({}), contact()), action("do", json!({}), Value::Null)]);
    let server = upstream.server();
    let client = server.client("ann").open().await;
    for (status, body) in [
        (200, &b""[..]),
        (200, b"\n"),
        (202, b""),
        (202, b" \r\n"),
        (204, b""),
        (201, b"\xef\xbb\xbf"),
        (200, b"{}"),
        (200, b"null"),
        (200, br#"{"output":null}"#),
        (200, br#"{"logs":[]}"#),
    ] {
        let shown = format!("{status} {:?}", String::from_utf8_lossy(body));
        upstream.run_is(status, "", body);
        let with = call(&client, "app_get", "{}").await;
        let text = json!([{"type": "text", "text": "No output"}]);
        assert_eq!(with, json!({"content": text, "structuredContent": {}}), "{shown}");
        assert_eq!(call(&client, "app_do", "{}").await, json!({"content": text}), "{shown}");
    }
}

#[tokio::test]
async fn an_output_schema_that_is_odd_costs_nothing_but_itself() {
    let odd = [
        ("dangling", json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}})),
        ("pattern", json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}})),
        ("any", json!({"type": "object", "properties": {"a": {"type": "any"}}})),
        (
            "draft-4",
            json!({"type": "object", "properties": {"a": {"type": "number", "exclusiveMinimum": true, "minimum": 0}}}),
        ),
        (
            "enum",
            json!({"type": "object", "properties": {"a": {"enum": null}, "b": true, "c": null}, "required": null}),
        ),
        ("id", json!({"$id": "https://x/y", "$schema": "https://x/z", "type": "object"})),
        ("empty", json!({})),
        ("null", json!(null)),
        ("list", json!([])),
        ("text", json!({"type": "string"})),
        ("deep", (0..70).fold(json!({}), |inner, _| json!({"type": "object", "properties": {"a": inner}}))),
    ];
    let actions: Vec<_> = odd.iter().map(|(key, schema)| action(key, json!({}), schema.clone())).collect();
    let upstream = OddUpstream::with_actions(&actions);
    let server = upstream.server();
    let client = server.client("ann").open().await;
    let tools = client.tools().await;
    assert_eq!(tools.len(), odd.len());
    let with = tools.iter().filter_map(|tool| tool.get("outputSchema"));
    for schema in with.clone() {
        assert!(jsonschema::meta::is_valid(schema), "{schema}");
        assert_eq!(schema["type"], "object", "{schema}");
        let text = schema.to_string();
        for keyword in ["$id", "$schema", "$ref", "required", "enum", "pattern", "exclusiveMinimum"] {
            assert!(!text.contains(&format!("\"{keyword}\"")), "{keyword}: {text}");
        }
    }
    assert_eq!(with.count(), odd.len() - 5);
    upstream.output_is(r#"{"a":-1}"#);
    for (key, _) in odd {
        let result = call(&client, &format!("app_{key}"), "{}").await;
        assert_eq!((&result["isError"], first_text(&result)), (&Value::Null, r#"{"a":-1}"#), "{key}");
    }
}

#[tokio::test]
async fn structured_content_of_the_modern_era_conforms_too() {
    let list = json!({"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}});
    let upstream = OddUpstream::with_actions(&[action("list", json!({}), list)]);
    let server = upstream.server();
    let client = server.client("ann");
    let tools = client.modern_list().await;
    let validator = jsonschema::validator_for(&tools["tools"][0]["outputSchema"]).unwrap();
    for (output, expected) in [
        (r#"[{"id":1},{"id":"2"}]"#, json!([{"id": 1}, {}])),
        (r#"{"id":1}"#, json!([{"id": 1}])),
        ("null", json!([])),
        ("7", json!([])),
    ] {
        upstream.output_is(output);
        let result = client.modern_call("app_list", json!({})).send().await.result();
        assert_eq!((&result["isError"], &result["structuredContent"]), (&Value::Null, &expected), "{output} {MODERN}");
        assert!(validator.is_valid(&expected), "{output}");
    }
}

/// What clients and their models see of random outputs by random schemas.
#[tokio::test]
async fn random_outputs_by_random_schemas_are_successes_that_conform() {
    let types = ["object", "array", "string", "number", "integer", "boolean", "null"];
    let leaf = prop_oneof![
        prop::sample::select(types.to_vec()).prop_map(|r#type| json!({"type": r#type, "minLength": 9, "minimum": 9})),
        Just(json!({"enum": ["x"]})),
        Just(json!({"$ref": "#"})),
        Just(json!(true)),
    ];
    let schema = leaf.prop_recursive(3, 24, 3, |inner| {
        (prop::collection::btree_map("[abc]", inner.clone(), 0..3), inner.clone(), prop::collection::vec(inner, 1..3)).prop_map(
            |(properties, items, either)| {
                json!({"type": ["object", "array"], "properties": properties, "items": items, "oneOf": either, "required": ["z"]})
            },
        )
    });
    let leaf = prop_oneof![Just(json!(null)), any::<i16>().prop_map(Value::from), "[a-z]{0,3}".prop_map(Value::from)];
    let output = leaf.prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..3).prop_map(|members| json!(members)),
        ]
    });
    let mut runner = TestRunner::deterministic();
    let mut any = |strategy: &BoxedStrategy<Value>| strategy.new_tree(&mut runner).unwrap().current();
    let (schema, output) = (schema.boxed(), output.boxed());
    let actions: Vec<_> = (0..60)
        .map(|i| action(&format!("do-{i}"), json!({}), json!({"type": "object", "properties": {"a": any(&schema)}})))
        .collect();
    let upstream = OddUpstream::with_actions(&actions);
    let server = upstream.server();
    let client = server.client("ann").open().await;
    for tool in client.tools().await {
        let validator = jsonschema::validator_for(&tool["outputSchema"]).unwrap();
        for _ in 0..5 {
            let output = json!({"a": any(&output)});
            upstream.output_is(&output.to_string());
            let result = call(&client, tool["name"].as_str().unwrap(), "{}").await;
            assert_eq!(result["isError"], Value::Null, "{tool} {output}: {result}");
            assert!(validator.is_valid(&result["structuredContent"]), "{tool} {output}: {result}");
            assert_eq!(first_text(&result), output.to_string());
        }
    }
}

#[tokio::test]
async fn an_event_is_one_line_for_every_reader() {
    let schema = json!({"type": "object"});
    let upstream = OddUpstream::answering(
        "/actions",
        format!("{{\"items\":[{{\"key\":\"get\",\"name\":\"Get\u{2028}it\",\"integrationId\":\"i\",\n\"inputSchema\":{{\r\n\"type\": \"object\"\n}},\"outputSchema\":{schema}}}]}}").into_bytes(),
    );
    let server = upstream.server();
    let client = server.client("ann").open().await.header("accept", "text/event-stream");
    upstream.output_is("{\n\"a\":\r\n\"x\u{2028}y\u{2029}z\u{85}\" }");
    for (method, params) in [("tools/list", json!({})), ("tools/call", json!({"name": "app_get", "arguments": {}}))] {
        let reply = client.ask(method, params).await;
        let data: Vec<_> = reply
            .text
            .split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
            .filter(|line| line.starts_with("data: {"))
            .collect();
        assert_eq!(data.len(), 1, "{method}: {reply:?}");
        let message: Value = serde_json::from_str(data[0].strip_prefix("data: ").unwrap()).unwrap();
        if method == "tools/call" {
            assert_eq!(message["result"]["structuredContent"], json!({"a": "x\u{2028}y\u{2029}z\u{85}"}));
            assert!(reply.text.contains("\"structuredContent\":{\"a\":\"x\\u2028"), "it is compact: {reply:?}");
        } else {
            assert_eq!(message["result"]["tools"][0]["name"], "app_get");
        }
    }
}
