//! What the same bytes cost at least: bare actix-web that answers with lists written beforehand and passes calls on, and the
//! floor, which besides verifies a token and asks an actor for each request.

use std::{cell::RefCell, collections::HashMap, path::Path, time::Duration};

use actix::{Actor, Addr, Context, Handler, Message};
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    body::SizedStream,
    http::header::{AUTHORIZATION, ContentType, HeaderValue},
    web::{self, Bytes, Data},
};
use futures_util::{StreamExt, stream};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{process::announce, work};

/// Longest slice handed to the connection at once.
const SLICE_BYTES: usize = 256 * 1024;

/// The lists by their number of tools.
pub type Lists = HashMap<usize, Bytes>;

/// Reads the lists that the parent has taken from the server.
pub fn read_lists(folder: &str) -> Lists {
    let list =
        |tools: usize| Some((tools, std::fs::read(Path::new(folder).join(format!("{tools}.json"))).ok()?.into()));
    work::SIZES.into_iter().filter_map(list).collect()
}

struct Bare {
    lists: Lists,
    client: awc::Client,
    upstream: String,
    is_floor: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    method: &'a str,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    name: &'a str,
    #[serde(borrow)]
    arguments: &'a RawValue,
}

/// Serves until the parent ends. The arguments: the folder of the lists, the upstream, the number of workers, and whether
/// this is the floor.
pub fn run(arguments: &[String]) {
    let [folder, upstream, workers, is_floor] = arguments else { panic!("the arguments of a baseline") };
    let (lists, upstream, is_floor) = (read_lists(folder), upstream.clone(), is_floor == "floor");
    let workers = workers.parse().expect("a number of workers");
    integration_app_mcp_server::server::install_tls();
    let serve = async move {
        let server = HttpServer::new(move || {
            let connector = awc::Connector::new().limit(128).conn_keep_alive(Duration::from_secs(4));
            let client = awc::Client::builder().connector(connector).disable_timeout().finish();
            let bare = Bare { lists: lists.clone(), client, upstream: upstream.clone(), is_floor };
            App::new()
                .app_data(Data::new(bare))
                .app_data(web::PayloadConfig::new(1 << 20))
                .route("/{tools}", web::post().to(post))
                .route("/{tools}", web::get().to(events))
                .route("/{tools}", web::delete().to(async || HttpResponse::Ok().finish()))
        })
        .workers(workers)
        .keep_alive(Duration::from_secs(75))
        .tcp_nodelay(true)
        .backlog(4096)
        .bind("127.0.0.1:0")
        .expect("a port");
        announce(server.addrs()[0]);
        server.run().await.expect("the baseline runs");
    };
    actix_web::rt::System::new().block_on(serve);
}

fn json(chunks: Vec<Bytes>) -> HttpResponse {
    let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let body = SizedStream::new(bytes, stream::iter(chunks.into_iter().map(Ok::<_, std::convert::Infallible>)));
    HttpResponse::Ok().content_type(ContentType::json()).body(body)
}

fn result(id: &RawValue, result: impl IntoIterator<Item = Bytes>) -> HttpResponse {
    let mut chunks = vec![format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":").into()];
    chunks.extend(result);
    chunks.push(Bytes::from_static(b"}"));
    json(chunks)
}

async fn post(http: HttpRequest, tools: web::Path<usize>, body: Bytes, bare: Data<Bare>) -> HttpResponse {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(&body) else { return HttpResponse::BadRequest().finish() };
    if bare.is_floor && !is_verified(&http) {
        return HttpResponse::Unauthorized().finish();
    }
    let Some(id) = envelope.id else { return HttpResponse::Accepted().finish() };
    match envelope.method {
        "initialize" => {
            let info = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"bare","version":"1"}}"#;
            let mut response = result(id, [Bytes::from_static(info.as_bytes())]);
            let session = uuid::Uuid::new_v4().to_string();
            let session = HeaderValue::from_str(&session).expect("a UUID is a header");
            response.headers_mut().insert("mcp-session-id".parse().expect("a name"), session);
            response
        }
        "tools/list" => {
            let list = if bare.is_floor { ask_session(&http, &bare, *tools).await } else { bare.list(*tools) };
            let slices = (0..list.len()).step_by(SLICE_BYTES);
            result(id, slices.map(|start| list.slice(start..list.len().min(start + SLICE_BYTES))))
        }
        "tools/call" => match bare.call(&http, envelope.params).await {
            Some(output) => result(id, [output]),
            None => HttpResponse::BadGateway().finish(),
        },
        _ => HttpResponse::NotFound().finish(),
    }
}

impl Bare {
    fn list(&self, tools: usize) -> Bytes {
        self.lists.get(&tools).cloned().unwrap_or_default()
    }

    /// Passes a call on, and what comes back as it is.
    async fn call(&self, http: &HttpRequest, params: Option<&RawValue>) -> Option<Bytes> {
        let call: Call = serde_json::from_str(params?.get()).ok()?;
        let (app, action) = call.name.split_once('_')?;
        let url = format!(
            "http://{}/action-instance/run?autoCreate=true&integrationKey={app}&parentKey={action}",
            self.upstream
        );
        let request = self.client.post(url).content_type("application/json");
        let request = request.insert_header((AUTHORIZATION, http.headers().get(AUTHORIZATION)?.clone()));
        let mut response = request.send_body(call.arguments.get().to_owned()).await.ok()?;
        let body = response.body().await.ok()?;
        response.status().is_success().then_some(body)
    }
}

/// An idle stream: one comment, and then nothing.
async fn events() -> HttpResponse {
    let comment = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(b": \n\n"))]);
    HttpResponse::Ok().content_type("text/event-stream").streaming(comment.chain(stream::pending()))
}

fn is_verified(http: &HttpRequest) -> bool {
    thread_local! {
        static KEY: DecodingKey = {
            integration_app_mcp_server::signing::install();
            DecodingKey::from_secret(work::SECRET)
        };
    }
    let token = http.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let validation = Validation::new(Algorithm::HS256);
    token
        .is_some_and(|token| KEY.with(|key| jsonwebtoken::decode::<serde_json::Value>(token, key, &validation)).is_ok())
}

/// A session that does no more than answer.
struct Session(Lists);

#[derive(Message)]
#[rtype(result = "Bytes")]
struct List(usize);

impl Actor for Session {
    type Context = Context<Self>;
}

impl Handler<List> for Session {
    type Result = actix::MessageResult<List>;

    fn handle(&mut self, List(tools): List, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(self.0.get(&tools).cloned().unwrap_or_default())
    }
}

async fn ask_session(http: &HttpRequest, bare: &Bare, tools: usize) -> Bytes {
    thread_local! {
        static SESSIONS: RefCell<HashMap<String, Addr<Session>>> = RefCell::default();
    }
    let id = http.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let session = SESSIONS.with_borrow_mut(|sessions| match sessions.get(id) {
        Some(session) => session.clone(),
        None => sessions.entry(id.to_owned()).or_insert(Session(bare.lists.clone()).start()).clone(),
    });
    session.send(List(tools)).await.unwrap_or_default()
}
