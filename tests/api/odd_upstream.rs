//! An upstream whose actions and answers a test writes, byte for byte, and a server before it.

use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::{Client, Reply},
    raw_upstream::{Act, Asked, RawUpstream, right_answer},
    support::Server,
};

/// See the [module](self). It lets everyone in; its app is `app`.
pub struct OddUpstream {
    pub raw: RawUpstream,
    run: Arc<Mutex<Vec<Act>>>,
}

/// A response of these bytes.
pub fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// An action with these schemas.
pub fn action(key: &str, input: Value, output: Value) -> Value {
    json!({"key": key, "name": key, "integrationId": "i", "inputSchema": input, "outputSchema": output})
}

impl OddUpstream {
    /// An upstream with these actions, which answers a run by `{"output":"done"}` until it is told otherwise.
    pub fn with_actions(actions: &[Value]) -> Self {
        Self::answering("/actions", json!({"items": actions}).to_string().into_bytes())
    }

    /// An upstream that answers requests for `path` by these bytes.
    pub fn answering(path: &'static str, body: Vec<u8>) -> Self {
        let run = Arc::new(Mutex::new(vec![Act::Send(response(200, "", br#"{"output":"done"}"#))]));
        let acts = Arc::clone(&run);
        let raw = RawUpstream::start(move |asked: &Asked| match asked.path.as_str() {
            asked if asked == path => vec![Act::Send(response(200, "", &body))],
            "/action-instance/run" => acts.lock().unwrap().clone(),
            path => {
                let (status, body) = right_answer(path, &asked.user, true, &asked.body);
                vec![Act::Send(response(status, "", body.to_string().as_bytes()))]
            }
        });
        Self { raw, run }
    }

    /// Sets how runs are answered from now on.
    pub fn runs(&self, acts: Vec<Act>) {
        *self.run.lock().unwrap() = acts;
    }

    /// Sets the answer of runs from now on.
    pub fn run_is(&self, status: u16, headers: &str, body: &[u8]) {
        self.runs(vec![Act::Send(response(status, headers, body))]);
    }

    /// Sets the output of runs from now on.
    pub fn output_is(&self, output: &str) {
        self.run_is(200, "", format!(r#"{{"output":{output}}}"#).as_bytes());
    }

    /// The input of each run so far.
    pub fn inputs(&self) -> Vec<String> {
        let runs = self.raw.asked().into_iter().filter(|asked| asked.path == "/action-instance/run");
        runs.map(|run| String::from_utf8(run.body).unwrap()).collect()
    }

    pub fn server(&self) -> Server {
        Server::before(&self.raw.url).start()
    }
}

/// Calls a tool with arguments as they are written.
pub async fn call(client: &Client<'_>, tool: &str, arguments: &str) -> Value {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"TOOL","arguments":ARGUMENTS}}"#;
    let reply = client.post_text(&body.replace("TOOL", tool).replace("ARGUMENTS", arguments)).await;
    // What takes its time comes as an event.
    if reply.text.starts_with('{') { reply.result() } else { reply.events().pop().unwrap()["result"].take() }
}

/// POSTs bytes that need be no text.
pub async fn post_bytes(client: &Client<'_>, body: Vec<u8>) -> Reply {
    let request = client.request(Method::POST).header("accept", "application/json, text/event-stream");
    Reply::read(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
}

/// The first text of a result, where clients look that show no other.
pub fn first_text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}"))
}
