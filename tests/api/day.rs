//! A day in the life of a client: restarts, idle spells, new tokens and changes, through which it listens and calls on.

use reqwest::Method;
use serde_json::json;

use crate::{
    files::Folder,
    sockets::{Wire, get, sleep},
    support::{Client, Reply, SECRET, Server, claims, eventually, sign},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The server is killed.
    Kill,
    /// The server is told to stop while a call runs, and started again.
    Deploy,
    /// The session leaves memory.
    Idle,
    /// The client gets another token.
    Renew,
    /// The list of tools changes.
    Change,
}

use Step::{Change, Deploy, Idle, Kill, Renew};

/// Twenty restarts, three idle spells, two renewals and five changes.
const DAY: [Step; 30] = [
    Change, Kill, Deploy, Renew, Kill, Kill, Idle, Change, Deploy, Kill, Deploy, Kill, Deploy, Idle, Kill, Change,
    Kill, Deploy, Kill, Deploy, Renew, Kill, Idle, Change, Kill, Deploy, Kill, Kill, Change, Deploy,
];

const PING: &str = "acme_crm_ping";

/// What the client keeps through the day.
struct Day {
    folder: Folder,
    session: String,
    token: String,
    /// The last event that it has seen of its listening stream.
    last: String,
    /// Changes so far, each of which adds or takes away a tool.
    changes: usize,
}

impl Day {
    fn server(&self) -> Server {
        Server::builder().env("MCP__STORE__PATH", self.folder.as_str()).env("MCP__TUNING__SESSION_IDLE_S", "1").start()
    }

    fn client<'a>(&self, server: &'a Server) -> Client<'a> {
        server.client_with(&self.token).query("mode=dynamic").in_session(&self.session)
    }

    fn tools(&self) -> Vec<&'static str> {
        if self.changes.is_multiple_of(2) { vec![PING] } else { vec![PING, "gmail_list-emails"] }
    }

    /// Hears of a change, and lists as it is told to.
    async fn hear(&mut self, server: &Server, wire: &mut Wire) {
        let event = loop {
            let event = wire.next().await.expect("word of a change");
            event.id().clone_into(&mut self.last);
            if !event.data.is_empty() {
                break event;
            }
        };
        assert_eq!(event.json()["method"], "notifications/tools/list_changed");
        let listed = self.client(server).tool_names().await;
        assert_eq!(listed[1..], self.tools(), "what the list should be by now");
    }

    /// Comes back to listen after what it has seen last.
    async fn listen(&mut self, server: &Server) -> Wire {
        let mut wire = Wire::send(get(&self.client(server), Some(&self.last))).await;
        assert_eq!(wire.status, 200);
        self.hear(server, &mut wire).await;
        wire
    }
}

fn new_token(number: usize) -> String {
    let mut claims = claims("ann");
    claims["jti"] = json!(number);
    sign(&claims, SECRET)
}

#[tokio::test]
async fn a_client_listens_and_calls_on_through_a_whole_day() {
    let (folder, token) = (Folder::new(), new_token(0));
    let mut day = Day { folder, session: String::new(), token, last: String::new(), changes: 0 };
    let mut server = day.server();
    day.session = server.client_with(&day.token).query("mode=dynamic").open().await.session.unwrap();
    day.client(&server).call("enable-tools", json!({"tools": day.tools()})).await.result();
    let mut wire = Wire::send(get(&day.client(&server), None)).await;
    day.hear(&server, &mut wire).await;
    for (number, step) in DAY.into_iter().enumerate() {
        match step {
            Kill => {
                server.kill();
                server = day.server();
                wire = day.listen(&server).await;
            }
            Deploy => {
                let outside = Client { query: String::new(), ..server.client_with(&day.token) }.open().await;
                let call = outside.request(Method::POST).header("accept", "application/json");
                let call = tokio::spawn(call.json(&sleep(json!(1), 300)).send());
                eventually("the call runs", async || server.stats().await["running"] == 1).await;
                assert!(server.stop().success());
                let reply = Reply::read(call.await.unwrap().unwrap()).await;
                assert!(reply.result()["content"].is_array(), "{number}: no call is lost: {reply:?}");
                server = day.server();
                wire = day.listen(&server).await;
            }
            Idle => {
                drop(wire);
                let session = day.session.clone();
                let has_left = async || {
                    let log = server.log();
                    log.lines().any(|line| line.contains("session passivated") && line.contains(&session))
                };
                eventually("the session leaves memory", has_left).await;
                wire = day.listen(&server).await;
            }
            Renew => day.token = new_token(number),
            Change => {
                day.changes += 1;
                day.client(&server).call("enable-tools", json!({"tools": day.tools()})).await.result();
                day.hear(&server, &mut wire).await;
            }
        }
        day.client(&server).output(PING, json!({})).await;
    }
    day.client(&server).delete().await;
    assert_eq!(wire.rest().await, [], "every change was heard once");
}
