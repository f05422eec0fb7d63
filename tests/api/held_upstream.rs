//! An upstream that answers when a test says so, and counts what waits for that.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, mpsc},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{SECRET, Server, ServerBuilder, eventually};

/// See the [module](self). Each user has the same apps, with one action each.
pub struct HeldUpstream {
    url: String,
    requests: Arc<Mutex<Requests>>,
}

#[derive(Default)]
struct Requests {
    apps: usize,
    /// Whether requests are answered as they come.
    is_open: bool,
    waiting: Vec<oneshot::Sender<Answer>>,
    in_flight: usize,
    most: usize,
    /// Path and user of each request.
    seen: Vec<(String, String)>,
}

/// Answer to a request: the usual one, or 429 with this header.
enum Answer {
    Usual,
    Limited(Option<u64>),
}

impl HeldUpstream {
    /// An upstream that holds all requests.
    pub fn start(apps: usize) -> Self {
        let requests = Arc::new(Mutex::new(Requests { apps, ..Requests::default() }));
        let (tell, address) = mpsc::channel::<SocketAddr>();
        let data = web::Data::from(Arc::clone(&requests));
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(data.clone()).default_service(web::to(answer));
                let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
                tell.send(server.addrs()[0]).unwrap();
                server.run().await
            })
        });
        Self { url: format!("http://{}", address.recv().unwrap()), requests }
    }

    /// A server that knows the secret of the workspace `sandbox`, so that its users cost no request of their own.
    pub fn server(&self) -> ServerBuilder {
        Server::before(&self.url)
            .env("MCP__AUTH__WORKSPACE_KEY", "sandbox")
            .env("MCP__AUTH__WORKSPACE_SECRET", SECRET)
            .env("MCP__TUNING__STREAM_AFTER_MS", "60000")
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap()
    }

    /// Waits until so many requests wait for their answer.
    pub async fn wait_for(&self, count: usize) {
        let what = format!("{count} requests wait");
        eventually(&what, async || self.requests().waiting.len() == count).await;
    }

    /// Answers all requests that wait.
    pub fn answer(&self) {
        for request in std::mem::take(&mut self.requests().waiting) {
            // The server may have given it up.
            let _ = request.send(Answer::Usual);
        }
    }

    /// Refuses some of those that wait.
    pub fn refuse(&self, count: usize, retry_after: Option<u64>) {
        for request in self.requests().waiting.drain(..count) {
            let _ = request.send(Answer::Limited(retry_after));
        }
    }

    /// Waits for so many requests, refuses them, and answers all others as they come.
    pub async fn refuse_first(&self, count: usize, retry_after: Option<u64>) {
        self.wait_for(count).await;
        self.refuse(count, retry_after);
        self.open(true);
    }

    /// Answers requests as they come, or holds them.
    pub fn open(&self, is_open: bool) {
        self.requests().is_open = is_open;
        if is_open {
            self.answer();
        }
    }

    /// The most requests that have waited at once since this was last asked.
    pub fn most(&self) -> usize {
        let mut requests = self.requests();
        let in_flight = requests.in_flight;
        std::mem::replace(&mut requests.most, in_flight)
    }

    /// Number of requests that are not answered yet.
    pub fn in_flight(&self) -> usize {
        self.requests().in_flight
    }

    /// Number of requests for a path; of one user, where one is named.
    pub fn seen(&self, path: &str, user: Option<&str>) -> usize {
        let requests = self.requests();
        let is_meant = |(at, by): &&(String, String)| at == path && user.is_none_or(|user| user == by);
        requests.seen.iter().filter(is_meant).count()
    }
}

/// Request that is being answered, or whose client has left.
struct InFlight(web::Data<Mutex<Requests>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().unwrap().in_flight -= 1;
    }
}

async fn answer(request: HttpRequest, requests: web::Data<Mutex<Requests>>) -> HttpResponse {
    let user = user_of(&request);
    let (apps, held) = {
        let mut requests = requests.lock().unwrap();
        requests.seen.push((request.path().to_owned(), user.clone()));
        requests.in_flight += 1;
        requests.most = requests.most.max(requests.in_flight);
        let held = (!requests.is_open).then(|| {
            let (answer, held) = oneshot::channel();
            requests.waiting.push(answer);
            held
        });
        (requests.apps, held)
    };
    let _in_flight = InFlight(requests);
    let answer = match held {
        Some(held) => held.await.unwrap_or(Answer::Usual),
        None => Answer::Usual,
    };
    if let Answer::Limited(retry_after) = answer {
        let mut response = HttpResponse::TooManyRequests();
        if let Some(seconds) = retry_after {
            response.insert_header(("retry-after", seconds.to_string()));
        }
        return response.json(json!({"type": "bad_request", "key": "rate_limit_exceeded", "message": "Too many"}));
    }
    let app = |i: usize| json!({"id": format!("c-{i}"), "integration": {"id": format!("i-{i}"), "key": format!("app-{i:02}"), "name": "App"}});
    HttpResponse::Ok().json(match request.path() {
        "/self" => json!({"id": user}),
        "/connections" => json!({"items": (0..apps).map(app).collect::<Vec<_>>()}),
        "/actions" => json!({"items": [{"key": "do", "name": "Do", "integrationId": "i"}]}),
        _ => json!({}),
    })
}

/// The user that a request's token claims.
fn user_of(request: &HttpRequest) -> String {
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let claims = token.and_then(|token| URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok());
    let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    claims["id"].as_str().unwrap_or_default().to_owned()
}
