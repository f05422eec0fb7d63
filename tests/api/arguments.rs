//! Arguments: right ones reach the upstream as they are, wrong ones are repaired once, or refused so that a model can mend them.

use serde_json::{Value, json};

use crate::{
    odd_upstream::{OddUpstream, action, call, first_text, post_bytes},
    support::Server,
};

fn mail() -> Value {
    json!({
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"type": "string"}},
            "subject": {"type": "string"},
            "cc": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "integer"}, "ratio": {"type": "number"}, "urgent": {"type": "boolean"},
            "options": {"type": "object", "properties": {"track": {"type": "boolean"}, "note": {"type": "string"}}},
            "priority": {"type": "string", "enum": ["low", "normal", "high"]},
        },
        "required": ["to"],
    })
}

fn upstream(input: Value) -> OddUpstream {
    OddUpstream::with_actions(&[action("send", input, Value::Null)])
}

#[tokio::test]
async fn arguments_that_are_wrong_in_form_alone_are_repaired_and_that_is_told() {
    let upstream = upstream(mail());
    let server = upstream.server();
    let client = server.client("ann").open().await;
    let cases = [
        (r#"{"to":["a"],"cc":null,"subject":null}"#, r#"{"to":["a"]}"#, &["/cc: null", "/subject: null"][..]),
        (
            r#"{"to":["a"],"options":{"track":null,"note":"n"}}"#,
            r#"{"to":["a"],"options":{"note":"n"}}"#,
            &["/options/track: null"],
        ),
        (r#"{"to":["a"],"count":"5"}"#, r#"{"to":["a"],"count":5}"#, &["/count: "]),
        (r#"{"to":["a"],"ratio":"1.50"}"#, r#"{"to":["a"],"ratio":1.50}"#, &["/ratio: "]),
        (r#"{"to":["a"],"urgent":"true"}"#, r#"{"to":["a"],"urgent":true}"#, &["/urgent: "]),
        (r#"{"to":"[\"a\"]"}"#, r#"{"to":["a"]}"#, &["/to: "]),
        (
            r#"{"to":["a"],"options":"{\"track\": \"false\"}"}"#,
            r#"{"to":["a"],"options":{"track":false}}"#,
            &["/options: ", "/options/track: "],
        ),
        (
            r#"{"to":["a"],"big":12345678901234567890.10,"urgent":"false"}"#,
            r#"{"to":["a"],"big":12345678901234567890.10,"urgent":false}"#,
            &["/urgent: "],
        ),
        (r#""{\"to\": [\"a\"] }""#, r#"{"to": ["a"] }"#, &["/: "]),
        (r#""{\"to\":[\"a\"],\"cc\":null}""#, r#"{"to":["a"]}"#, &["/: ", "/cc: "]),
    ];
    for (arguments, expected, notes) in cases {
        let result = call(&client, "app_send", arguments).await;
        assert_eq!(result["isError"], Value::Null, "{arguments}: {result}");
        assert_eq!(upstream.inputs().last().unwrap(), expected, "{arguments}");
        let mended = result["_meta"]["mended"].as_array().unwrap();
        let told = mended.len() == notes.len()
            && mended.iter().zip(notes).all(|(told, note)| told.as_str().unwrap().starts_with(note));
        assert!(told, "{arguments}: {result}");
    }
    let modern = server.client("ann").modern_call("app_send", json!({"to": ["a"], "cc": null})).send().await.result();
    assert!(modern["_meta"]["mended"][0].as_str().unwrap().starts_with("/cc: "), "{modern}");
    assert!(modern["_meta"]["io.modelcontextprotocol/serverInfo"].is_object(), "{modern}");
}

#[tokio::test]
async fn arguments_that_are_right_are_sent_as_they_are() {
    let upstream = upstream(mail());
    let server = upstream.server();
    let client = server.client("ann").open().await;
    let cases = [
        r#"{ "to" : [ "a" ] , "ratio": 1.50 }"#,
        r#"{"to":["[1]","5","null"],"subject":"true"}"#,
        r#"{"to":[],"extra":null,"other":"5"}"#,
    ];
    for arguments in cases {
        let result = call(&client, "app_send", arguments).await;
        assert_eq!(result, json!({"content": [{"type": "text", "text": "\"done\""}]}), "{arguments}");
        assert_eq!(upstream.inputs().last().unwrap(), arguments);
    }
}

#[tokio::test]
async fn arguments_that_no_repair_makes_right_are_refused_with_path_values_and_schema() {
    let upstream = upstream(mail());
    let server = upstream.server();
    let client = server.client("ann").open().await;
    let cases = [
        (r#"{"to":null}"#, "/to: "),
        (r#"{"to":["a"],"count":"five"}"#, "/count: "),
        (r#"{"to":["a"],"count":"5.5"}"#, "/count: "),
        (r#"{"to":["a"],"urgent":"yes"}"#, "/urgent: "),
        (r#"{"to":"a, b"}"#, "/to: "),
        (r#"{"to":["a"],"options":"[1]"}"#, "/options: "),
        (r#"{"cc":null}"#, "\"to\" is a required property"),
        (r#"{"to":["a"],"priority":"urgent"}"#, r#"/priority: "urgent" is not one of "low", "normal", "high""#),
    ];
    for (arguments, fault) in cases {
        let result = call(&client, "app_send", arguments).await;
        assert_eq!((&result["isError"], &result["_meta"]), (&json!(true), &Value::Null), "{arguments}: {result}");
        let text = first_text(&result);
        for part in ["app_send", fault, "was not run", r#""priority":{"type":"string""#] {
            assert!(text.contains(part), "{arguments}: {part} is missing in {text}");
        }
    }
    assert_eq!(upstream.inputs(), [""; 0], "none is sent");
}

#[tokio::test]
async fn a_refusal_names_values_of_every_kind_and_keeps_within_bounds() {
    let many: Vec<_> = (0..500).map(|i| format!("value-{i}-{}", "x".repeat(200))).collect();
    let few: Vec<_> = (0..18).map(|i| json!({"const": format!("c{i}"), "title": "T".repeat(500)})).collect();
    let schema = json!({"type": "object", "properties": {
        "many": {"enum": many}, "few": {"oneOf": few},
        "either": {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]},
    }});
    let upstream = upstream(schema);
    let server = upstream.server();
    let client = server.client("ann").open().await;
    for (arguments, parts) in [
        (r#"{"many":"x"}"#, &["value-0-", "value-19-", "500"][..]),
        (r#"{"few":"x"}"#, &[r#""c0""#, r#""c17""#]),
        (r#"{"either":"x"}"#, &[r#""a", "b", null"#]),
    ] {
        let result = call(&client, "app_send", arguments).await;
        let text = first_text(&result);
        assert!(parts.iter().all(|part| text.contains(part)), "{arguments}: {text}");
        assert!(text.len() < 8_000, "{arguments}: {} bytes", text.len());
    }
}

#[tokio::test]
async fn membranes_own_keywords_and_names_that_are_no_property_are_honoured() {
    let schema = json!({
        "type": "object",
        "properties": {
            "stage": {"type": "string", "enum": ["a"], "allowCustom": true},
            "owner": {"type": "string", "nullable": true},
            "due": {"type": "string", "format": "date-time"},
            "mail": {"type": "string", "format": "email"},
            "part": {"$ref": "#/$defs/part"},
        },
        "$defs": {"part": {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["ghost"]}},
        "allOf": [{"required": ["spirit"]}],
        "required": ["phantom"],
        "$schema": "http://json-schema.org/draft-07/schema#",
    });
    let upstream = upstream(schema);
    let server = upstream.server();
    let client = server.client("ann").open().await;
    for arguments in [
        r#"{"stage":"new one"}"#,
        r#"{"owner":null}"#,
        r#"{"due":"2026-11-26T07:00:00"}"#,
        r#"{"due":"tomorrow"}"#,
        r#"{"mail":"ann at work"}"#,
        r#"{"part":{"x":"y"}}"#,
        "{}",
    ] {
        let result = call(&client, "app_send", arguments).await;
        assert_eq!((&result["isError"], &result["_meta"]), (&Value::Null, &Value::Null), "{arguments}: {result}");
        assert_eq!(upstream.inputs().last().unwrap(), arguments);
    }
    let refused = call(&client, "app_send", r#"{"part":{"x":1}}"#).await;
    assert!(first_text(&refused).contains("/part/x: "), "{refused}");
}

#[tokio::test]
async fn parameters_that_are_none_count_as_absent() {
    let server = Server::start();
    let client = server.client("ann").open().await;
    for params in ["null", "[]", r#"{"cursor":""}"#, r#"{"cursor":null}"#] {
        for method in ["tools/list", "ping"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
            let result = client.post_text(&body).await.result();
            assert_eq!(result["tools"].is_array(), method == "tools/list", "{body}: {result}");
        }
    }
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":null}"#;
    assert_eq!(client.post_text(notification).await.status, 202);
    for params in ["[1]", "7", r#""{}""#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#);
        assert_eq!(client.post_text(&body).await.code(), -32600, "{params}");
    }
    for arguments in ["null", r#""""#, r#""{}""#] {
        assert_eq!(first_text(&call(&client, "sandbox-faults_echo", arguments).await), "{}", "{arguments}");
    }
}

#[tokio::test]
async fn a_client_may_send_what_is_no_unicode() {
    let upstream = upstream(mail());
    let server = upstream.server();
    let client = server.client("ann").open().await;
    let call = |arguments: &[u8]| {
        let begin = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"app_send","arguments":"#;
        [&begin[..], arguments, b"}}"].concat()
    };
    let cases: [(&[u8], &str); 5] = [
        (br#"{"to":["cut \ud83d"]}"#, r#"{"to":["cut \ufffd"]}"#),
        (br#"{"to":["\ude00\ud83d\ude00"]}"#, r#"{"to":["\ufffd\ud83d\ude00"]}"#),
        (b"{\"to\":[\"\xff\xc3\"]}", "{\"to\":[\"\u{fffd}\u{fffd}\"]}"),
        (br#""{\"to\":[\"\\ud83d\"]}""#, r#"{"to":["\ufffd"]}"#),
        (br#"{"to":"[\"\\udead\"]"}"#, r#"{"to":["\ufffd"]}"#),
    ];
    for (arguments, expected) in cases {
        let shown = String::from_utf8_lossy(arguments);
        let reply = post_bytes(&client, call(arguments)).await;
        assert_eq!(first_text(&reply.result()), "\"done\"", "{shown}");
        assert_eq!(upstream.inputs().last().unwrap(), expected, "{shown}");
    }
    let marked = [b"\xef\xbb\xbf", &call(br#"{"to":[]}"#)[..]].concat();
    assert_eq!(first_text(&post_bytes(&client, marked).await.result()), "\"done\"");
}
