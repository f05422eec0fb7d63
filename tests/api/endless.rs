//! An upstream whose lists have no end.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use crate::support::{Server, eventually, sign};

/// More than any list may cost.
const MANY: u64 = 500;

/// Everyone has the apps `a` and `b`. A fresh cursor is on every page of the list that `endless` names.
struct Upstream {
    url: String,
    asked: Arc<AtomicU64>,
}

impl Upstream {
    fn start(endless: &'static str) -> Self {
        let asked = Arc::<AtomicU64>::default();
        let (tell, address) = mpsc::channel();
        let data = web::Data::from(Arc::clone(&asked));
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let answer = move |request: HttpRequest, asked: web::Data<AtomicU64>| async move {
                    HttpResponse::Ok().json(answer(&request, endless, asked.fetch_add(1, Ordering::Relaxed)))
                };
                let app = move || App::new().app_data(data.clone()).default_service(web::to(answer));
                let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
                tell.send(server.addrs()[0]).unwrap();
                server.run().await
            })
        });
        Self { url: format!("http://{}", address.recv().unwrap()), asked }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn answer(request: &HttpRequest, endless: &str, number: u64) -> Value {
    let of = |app: &str| request.query_string().contains(&format!("integrationId={app}"));
    let mut page = match request.path() {
        "/connections" => {
            let connection = |key: &str| json!({"integration": {"id": key, "key": key, "name": key}});
            json!({"items": [connection("a"), connection("b")]})
        }
        "/actions" if of("a") => {
            json!({"items": [{"key": format!("do-{number}"), "name": "Do", "integrationId": "a"}]})
        }
        "/actions" => json!({"items": [{"key": "do", "name": "Do", "integrationId": "b"}]}),
        _ => json!({"id": "customer"}),
    };
    let is_endless = request.path() == endless && (endless != "/actions" || of("a"));
    if is_endless {
        page["cursor"] = json!(format!("cursor-{number}"));
        if request.query_string().contains("cursor") {
            page["items"] = json!([]);
        }
    }
    page
}

fn ann() -> String {
    sign(&json!({"id": "ann", "iss": "w"}), "any key")
}

#[tokio::test]
async fn an_app_whose_list_has_no_end_costs_its_own_tools() {
    let upstream = Upstream::start("/actions");
    let server = Server::before(&upstream.url).env("MCP__TUNING__STREAM_AFTER_MS", "60000").start();
    let client = server.client_with(&ann()).open().await;
    assert_eq!(client.tool_names().await, ["b_do"]);
    server.wait_for_log("its actions can't be loaded, its tools are missing");
    assert!(upstream.asked() < MANY, "{} requests", upstream.asked());
}

#[tokio::test]
async fn connections_without_an_end_are_given_up() {
    let upstream = Upstream::start("/connections");
    let server = Server::before(&upstream.url).env("MCP__TUNING__STREAM_AFTER_MS", "60000").start();
    let client = server.client_with(&ann()).open().await;
    let reply = client.ask("tools/list", json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, -32603), "{reply:?}");
    assert!(reply.text.contains("has no end"), "{reply:?}");
    assert!(upstream.asked() < MANY, "{} requests", upstream.asked());
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up_when_its_client_has_left() {
    let upstream = Upstream::start("/connections");
    let server = Server::before(&upstream.url).start();
    let client = server.client_with(&ann());
    tokio::select! {
        _ = async { client.open().await.tools().await } => {}
        () = eventually("the list is read", async || upstream.asked() > 3) => {}
    }
    server.wait_for_log("a user's tools can't be loaded");
    assert!(upstream.asked() < MANY, "{} requests", upstream.asked());
}

#[tokio::test]
async fn a_token_that_names_no_workspace_is_asked_about() {
    let upstream = Upstream::start("");
    let server = Server::before(&upstream.url).start();
    let token = sign(&json!({"id": "ann"}), "any key");
    assert_eq!(server.client_with(&token).open().await.tool_names().await.len(), 2);
    let expired = sign(&json!({"id": "ann", "exp": 1000}), "any key");
    assert_eq!(server.client_with(&expired).initialize("2025-11-25").await.status, 401);
}
