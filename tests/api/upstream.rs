//! An upstream that is no sandbox: it lets everyone in, has one app, and notes what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header::HeaderMap, web};
use serde_json::json;

/// See the [module](self). Its tool is `app_do`, unless a test says otherwise.
pub struct Upstream {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request.
struct Seen {
    path: String,
    headers: HeaderMap,
    body_bytes: usize,
}

/// What it answers: the JSON for a request in place of the usual.
type Answers = Arc<dyn Fn(&HttpRequest) -> Option<String> + Send + Sync>;

struct State {
    seen: Arc<Mutex<Vec<Seen>>>,
    answers: Answers,
}

impl Upstream {
    pub fn start() -> Self {
        Self::answering(|_| None)
    }

    /// An upstream that answers some requests as a test has it.
    pub fn answering(answers: impl Fn(&HttpRequest) -> Option<String> + Send + Sync + 'static) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (tell, address) = mpsc::channel::<SocketAddr>();
        let data = web::Data::new(State { seen: Arc::clone(&seen), answers: Arc::new(answers) });
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    let any_size = web::PayloadConfig::new(usize::MAX);
                    App::new().app_data(data.clone()).app_data(any_size).default_service(web::to(answer))
                };
                let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
                tell.send(server.addrs()[0]).unwrap();
                server.run().await
            })
        });
        Self { url: format!("http://{}", address.recv().unwrap()), seen }
    }

    /// A header of each request for a path, in their order; empty where there was none.
    pub fn headers(&self, path: &str, name: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let asked = seen.iter().filter(|seen| seen.path == path);
        let value = |headers: &HeaderMap| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        asked.map(|seen| value(&seen.headers).unwrap_or_default()).collect()
    }

    /// The size of the body of each request for a path, in their order.
    pub fn body_bytes(&self, path: &str) -> Vec<usize> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.path == path).map(|seen| seen.body_bytes).collect()
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, state: web::Data<State>) -> HttpResponse {
    let (path, headers) = (request.path().to_owned(), request.headers().clone());
    state.seen.lock().unwrap().push(Seen { path, headers, body_bytes: body.len() });
    if let Some(json) = (state.answers)(&request) {
        return HttpResponse::Ok().content_type("application/json").body(json);
    }
    HttpResponse::Ok().json(match request.path() {
        "/self" => json!({"id": "customer-ann"}),
        "/connections" => json!({"items": [{"id": "c", "integration": {"id": "i", "key": "app", "name": "App"}}]}),
        "/actions" => json!({"items": [{"key": "do", "name": "Do", "integrationId": "i"}]}),
        _ => json!({"output": "done"}),
    })
}
