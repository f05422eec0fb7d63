//! An answer reaches the request it belongs to, whatever the upstream sends on its connections.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::{
    raw_upstream::{Act, Asked, RawUpstream, response},
    support::{Client, Server, ServerBuilder, claims, sign},
    tls_support::{Authority, Http2Upstream},
};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// A server with one worker, so that all users share its connections.
fn server(upstream: &str) -> ServerBuilder {
    Server::before(upstream).env("MCP__SERVER__WORKERS", "1").env("MCP__TUNING__RETRIES", "0")
}

/// Asserts that a user is listed their own tool and gets their own output.
async fn assert_gets_their_own(client: &Client<'_>, user: &str) {
    let tools = client.tools().await;
    assert_eq!(tools[0]["title"], format!("{user}: Do for {user}"), "{tools:?}");
    for number in 0..3 {
        let output = client.output("app_do", json!({"number": number})).await;
        assert_eq!(output, json!({"user": user, "input": {"number": number}}));
    }
}

/// Asserts the same of several users that take turns, and that a forged token lets nobody in.
async fn assert_nothing_crosses(server: &Server) {
    let users = ["ann", "bob", "eve"];
    let mut clients = Vec::new();
    for user in users {
        clients.push(server.client(user).open().await);
        let mut claims = claims("ann");
        claims["forged"] = json!(true);
        let forged = server.client_with(&sign(&claims, user)).initialize("2025-11-25").await;
        assert_eq!(forged.status, 401, "{forged:?}");
    }
    for (client, user) in clients.iter().zip(users).chain(clients.iter().zip(users)) {
        assert_gets_their_own(client, user).await;
    }
    // Opaque tokens are asked about at /self.
    let opaque = server.client_with("pat-of-nobody").initialize("2025-11-25").await;
    assert_eq!(opaque.status, 401, "{opaque:?}");
}

/// A way to put interim responses before an answer.
type Before = fn(&Asked) -> Vec<Act>;

fn ways() -> Vec<(&'static str, Before)> {
    fn send(text: &str) -> Act {
        Act::Send(text.as_bytes().to_vec())
    }
    vec![
        ("none", |asked| vec![Act::Send(asked.answer())]),
        ("one, and the answer later", |asked| {
            vec![send(HINTS), Act::Pause(Duration::from_millis(5)), Act::Send(asked.answer())]
        }),
        ("one, glued to the answer", |asked| vec![Act::Send([HINTS.as_bytes(), &asked.answer()].concat())]),
        ("several kinds", |asked| {
            vec![
                send(CONTINUE),
                send(PROCESSING),
                Act::Pause(Duration::from_millis(2)),
                send(HINTS),
                send(PROCESSING),
                Act::Send(asked.answer()),
            ]
        }),
        ("byte by byte", |asked| vec![Act::Dribble([HINTS.as_bytes(), CONTINUE.as_bytes(), &asked.answer()].concat())]),
        ("cut within the answer's head", |asked| {
            let bytes = [PROCESSING.as_bytes(), &asked.answer()].concat();
            let (one, two) = bytes.split_at(PROCESSING.len() + 12);
            vec![Act::Send(one.to_vec()), Act::Pause(Duration::from_millis(2)), Act::Send(two.to_vec())]
        }),
    ]
}

#[tokio::test]
async fn interim_responses_are_no_answers() {
    for (name, way) in ways() {
        let upstream = RawUpstream::start(way);
        let server = server(&upstream.url).start();
        assert_nothing_crosses(&server).await;
        // Each token has connections of its own, which go on being used.
        let (connections, asked) = (upstream.connections(), upstream.asked().len());
        assert!(connections * 2 < asked, "{name}: {connections} connections for {asked} requests");
    }
}

#[tokio::test]
async fn interim_responses_are_no_answers_within_tls() {
    let authority = Authority::new();
    for (_, way) in ways() {
        let upstream = RawUpstream::start_tls(authority.server(&[b"http/1.1"]), way);
        let server = server(&upstream.url).env("MCP__MEMBRANE__CA_FILE", &authority.file()).start();
        assert_nothing_crosses(&server).await;
    }
}

#[tokio::test]
async fn interim_responses_are_no_answers_over_http_2() {
    let authority = Authority::new();
    for interim in [0, 1, 3] {
        let upstream = Http2Upstream::start(&authority, interim);
        let server = server(&upstream.url).env("MCP__MEMBRANE__CA_FILE", &authority.file()).start();
        assert_nothing_crosses(&server).await;
        assert!(upstream.requests() > 10, "{}", upstream.requests());
    }
}

#[tokio::test]
async fn an_authority_that_is_not_known_vouches_for_nobody() {
    let authority = Authority::new();
    let upstream = RawUpstream::start_tls(authority.server(&[b"http/1.1"]), |asked| vec![Act::Send(asked.answer())]);
    let server = server(&upstream.url).start();
    assert_eq!(server.client("ann").initialize("2025-11-25").await.status, 503);
    server.wait_for_log("no secure connection (TLS)");
    assert_eq!(upstream.connections(), 0);
}

/// What another request would take for its answer.
fn evil() -> Vec<u8> {
    response(200, "", &json!({"output": "evil", "items": [], "id": "evil", "internalId": "evil"}))
}

#[tokio::test]
async fn bytes_behind_an_answer_reach_nobody() {
    let kinds: [(&str, Before); 3] = [
        ("an answer", |asked| vec![Act::Send([asked.answer(), evil()].concat())]),
        ("not even a response", |asked| vec![Act::Send([asked.answer(), b"\r\n".to_vec()].concat())]),
        ("an interim one", |asked| vec![Act::Send([asked.answer(), HINTS.as_bytes().to_vec()].concat())]),
    ];
    for (name, kind) in kinds {
        let upstream = RawUpstream::start(kind);
        let server = server(&upstream.url).start();
        assert_nothing_crosses(&server).await;
        assert_eq!(upstream.connections(), upstream.asked().len(), "{name}: none is used again");
    }
}

/// An answer that comes while the next request is on its way can't be told from the answer to that. So it reaches the one for
/// whom it was made, at worst, whoever else asks at any time.
#[tokio::test]
async fn an_answer_too_many_reaches_no_other_user() {
    let upstream = RawUpstream::start(|asked| match asked.path.as_str() {
        "/action-instance/run" => {
            let mut again = asked.clone();
            again.body = br#""too late""#.to_vec();
            vec![Act::Send(asked.answer()), Act::Pause(Duration::from_millis(1)), Act::Send(again.answer())]
        }
        _ => vec![Act::Send(asked.answer())],
    });
    let server = server(&upstream.url).start();
    let mut clients = Vec::new();
    for user in ["ann", "bob", "carl", "dora"] {
        clients.push((server.client(user).open().await, user));
    }
    let run = async |client: &Client<'_>, user: &str| {
        for number in 0..50 {
            let result = client.call("app_do", json!({"number": number})).await.result();
            if result["isError"] != true {
                let output: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
                assert_eq!(output["user"], user, "{output}");
            }
        }
    };
    futures_util::future::join_all(clients.iter().map(|(client, user)| run(client, user))).await;
}

#[tokio::test]
async fn bytes_that_come_late_reach_nobody() {
    let upstream = RawUpstream::start(|asked| vec![Act::Send(asked.answer()), Act::Late(evil())]);
    let server = server(&upstream.url).start();
    let (ann, bob) = (server.client("ann").open().await, server.client("bob").open().await);
    // Late bytes that come while tools are still being loaded can't be told from an answer.
    for client in [&ann, &bob] {
        assert_eq!(client.tools().await.len(), 1);
    }
    for number in 0..10 {
        upstream.send_late();
        let (client, user) = if number % 2 == 0 { (&ann, "ann") } else { (&bob, "bob") };
        let output = client.output("app_do", json!({"number": number})).await;
        assert_eq!(output, json!({"user": user, "input": {"number": number}}));
    }
    server.wait_for_log("bytes that no request had asked for");
    let metrics = String::from_utf8(server.metrics().unwrap()).unwrap();
    assert!(metrics.contains("mcp_upstream_connections_refused_total"), "{metrics}");
}

#[tokio::test]
async fn an_answer_that_can_be_read_in_two_ways_is_none() {
    let heads = ["Content-Length: 900", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked"];
    for head in heads {
        let upstream = RawUpstream::start(move |asked| match asked.path.as_str() {
            "/action-instance/run" => vec![Act::Send(asked.answer_with(head))],
            _ => vec![Act::Send(asked.answer())],
        });
        let server = server(&upstream.url).start();
        let ann = server.client("ann").open().await;
        let result = ann.call("app_do", json!({})).await.result();
        assert_eq!(result["isError"], true, "{head}: {result}");
        server.wait_for_log("does not say unambiguously");
    }
}

#[tokio::test]
async fn an_answer_may_end_with_its_connection() {
    let upstream = RawUpstream::start(|asked| {
        let body = String::from_utf8(asked.answer()).unwrap();
        let (_, body) = body.split_once("\r\n\r\n").unwrap();
        vec![Act::Send(format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes()), Act::Close]
    });
    let server = server(&upstream.url).start();
    assert_gets_their_own(&server.client("ann").open().await, "ann").await;
}

#[tokio::test]
async fn an_answer_that_names_another_request_is_none() {
    let first = Arc::new(Mutex::new(None::<String>));
    let upstream = RawUpstream::start(move |asked| {
        let id = first.lock().unwrap().get_or_insert_with(|| asked.id.clone()).clone();
        let id = match asked.body.as_slice() {
            br#"{"as":"own"}"# => "of-the-upstream".to_owned(),
            br#"{"as":"another"}"# => id,
            _ => asked.id.clone(),
        };
        vec![Act::Send(asked.answer_with(&format!("X-Request-Id: {id}")))]
    });
    let server = server(&upstream.url).start();
    let ann = server.client("ann").open().await;
    for (kind, is_error) in [("same", false), ("own", false), ("another", true), ("same", false)] {
        let result = ann.call("app_do", json!({"as": kind})).await.result();
        assert_eq!(result["isError"] == true, is_error, "{kind}: {result}");
    }
    server.wait_for_log("it answers another request");
    let ids: Vec<_> = upstream.asked().into_iter().map(|asked| asked.id).collect();
    assert!(ids.iter().all(|id| !id.is_empty()) && (1..ids.len()).all(|i| !ids[..i].contains(&ids[i])), "{ids:?}");
}

#[tokio::test]
async fn a_token_that_is_accepted_as_anothers_is_refused() {
    // A session's own requests ask by /self.
    let mistaken = [
        json!({"id": "customer", "internalId": "bob"}),
        json!({"id": "c", "internalId": "ann", "workspaceKey": "other"}),
    ];
    for said in mistaken {
        let upstream = RawUpstream::start(move |asked| match (asked.path.as_str(), asked.user.as_str()) {
            ("/self", "ann") => vec![Act::Send(response(200, "", &said))],
            _ => vec![Act::Send(asked.answer())],
        });
        let server = server(&upstream.url).start();
        let session = server.client("bob").open().await.session.unwrap();
        let refused = server.client("ann").in_session(&session).ask("tools/list", json!({})).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        server.wait_for_log("is another's");
    }
}

/// What an upstream does with one request.
#[derive(Debug, Clone)]
struct Manner {
    interim: usize,
    is_dribbled: bool,
    pause_ms: u64,
    /// Sends another's answer behind its own.
    is_doubled: bool,
    has_two_lengths: bool,
}

fn manner() -> impl Strategy<Value = Manner> {
    let often = |percent: f64| proptest::bool::weighted(percent / 100.0);
    (0..3_usize, often(20.0), 0..4_u64, often(20.0), often(5.0)).prop_map(
        |(interim, is_dribbled, pause_ms, is_doubled, has_two_lengths)| Manner {
            interim,
            is_dribbled,
            pause_ms,
            is_doubled,
            has_two_lengths,
        },
    )
}

#[tokio::test]
async fn whatever_the_upstream_sends_and_when_users_never_cross() {
    const USERS: [&str; 5] = ["ann", "bob", "carl", "dora", "eve"];
    let mut runner = TestRunner::new(Config::default());
    let manners: Vec<Manner> = (0..400).map(|_| manner().new_tree(&mut runner).unwrap().current()).collect();
    let script = Arc::new(manners);
    let next = AtomicUsize::new(0);
    let acts = Arc::clone(&script);
    let upstream = RawUpstream::start(move |asked| {
        if asked.path != "/action-instance/run" {
            return vec![Act::Send([HINTS.as_bytes(), &asked.answer()].concat())];
        }
        let manner = &acts[next.fetch_add(1, Ordering::Relaxed) % acts.len()];
        let mut acts = vec![
            Act::Send(HINTS.repeat(manner.interim).into_bytes()),
            Act::Pause(Duration::from_millis(manner.pause_ms)),
        ];
        let answer = asked.answer_with(if manner.has_two_lengths { "Content-Length: 1" } else { "" });
        acts.push(if manner.is_dribbled { Act::Dribble(answer) } else { Act::Send(answer) });
        if manner.is_doubled {
            acts.push(Act::Send(evil()));
        }
        acts
    });
    let server = server(&upstream.url).start();
    let mut clients = Vec::new();
    for user in USERS {
        clients.push((server.client(user).open().await, user));
    }
    let run = async |client: &Client<'_>, user: &str| {
        let mut answered = 0;
        for number in 0..40 {
            let result = client.call("app_do", json!({"number": number})).await.result();
            if result["isError"] != true {
                let output: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
                assert_eq!(output, json!({"user": user, "input": {"number": number}}), "{script:?}");
                answered += 1;
            }
        }
        answered
    };
    let answered = futures_util::future::join_all(clients.iter().map(|(client, user)| run(client, user))).await;
    assert!(answered.iter().sum::<usize>() > 100, "{answered:?}: the sound ones are answered; {script:?}");
}
