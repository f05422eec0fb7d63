//! An upstream that is no sandbox: it lets everyone in, has one app with one action, and notes what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header::HeaderMap, web};
use serde_json::json;

/// See the [module](self). Its tool is `app_do`.
pub struct Upstream {
    pub url: String,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Upstream {
    pub fn start() -> Self {
        let seen = Arc::<Mutex<Vec<(String, HeaderMap)>>>::default();
        let (tell, address) = mpsc::channel::<SocketAddr>();
        let data = web::Data::from(Arc::clone(&seen));
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(data.clone()).default_service(web::to(answer));
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
        let asked = seen.iter().filter(|(other, _)| other == path);
        let value = |headers: &HeaderMap| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        asked.map(|(_, headers)| value(headers).unwrap_or_default()).collect()
    }
}

async fn answer(request: HttpRequest, seen: web::Data<Mutex<Vec<(String, HeaderMap)>>>) -> HttpResponse {
    seen.lock().unwrap().push((request.path().to_owned(), request.headers().clone()));
    HttpResponse::Ok().json(match request.path() {
        "/self" => json!({"id": "customer-ann"}),
        "/connections" => json!({"items": [{"id": "c", "integration": {"id": "i", "key": "app", "name": "App"}}]}),
        "/actions" => json!({"items": [{"key": "do", "name": "Do", "integrationId": "i"}]}),
        _ => json!({"output": "done"}),
    })
}
