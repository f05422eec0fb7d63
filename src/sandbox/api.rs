//! The sandbox's HTTP API: that part of Membrane's which the product uses.

use std::fmt;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{StatusCode, header::AUTHORIZATION},
    middleware::from_fn,
    web::{self, Data, Json, Path, Query, ServiceConfig},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    Shared,
    catalog::{Action, App},
    oauth,
    observe::{Fault, observe},
    run::run,
    token::{self, Claims},
};

/// Registers the routes of the imitated API.
pub fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("")
            .wrap(from_fn(observe))
            .app_data(web::JsonConfig::default().limit(32 * 1024 * 1024))
            .route("/self", web::get().to(customer))
            .route("/connections", web::get().to(connections))
            .route("/connections", web::post().to(connect))
            .route("/connections/{id}", web::patch().to(change_connection))
            .route("/connections/{id}", web::delete().to(disconnect))
            .route("/actions", web::get().to(actions))
            .route("/action", web::get().to(action))
            .route("/action-instance/run", web::post().to(run_instance))
            .route("/act", web::post().to(act))
            .route("/oauth/register", web::post().to(oauth::register))
            .route("/oauth/authorize", web::get().to(oauth::authorize))
            .route("/oauth/token", web::post().to(oauth::redeem))
            .route("/sandbox/stats", web::get().to(stats))
            .route("/sandbox/faults", web::put().to(set_faults)),
    );
}

/// An answer that is an error.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    body: Value,
}

impl Failure {
    /// Returns an error with a status and the API's error object.
    pub fn new(status: u16, body: Value) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body }
    }

    fn bad_request(status: u16, key: &str, message: &str) -> Self {
        Self::new(status, json!({"type": "bad_request", "key": key, "message": message}))
    }
}

/// Returns the failure for an input that can't be read.
pub fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(400, json!({"type": "bad_request", "message": error.to_string()}))
}

/// Returns the failure for something that is not there.
pub fn not_found(message: &str) -> Failure {
    Failure::bad_request(404, "not_found", message)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(&self.body)
    }
}

fn claims(request: &HttpRequest, shared: &Shared) -> Result<Claims, Failure> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    token::verify(token, &shared.secret).map_err(|message| Failure::bad_request(401, "not_authenticated", message))
}

async fn customer(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Failure> {
    let claims = claims(&request, &shared)?;
    Ok(HttpResponse::Ok().json(json!({
        "id": format!("customer-{}", claims.id),
        "internalId": claims.id,
        "name": claims.name,
        "workspaceKey": token::WORKSPACE,
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    integration_key: Option<String>,
    integration_id: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Returns a page of a list, whose cursor is the place of its first item.
fn page<T: Serialize>(items: &[T], filter: &Filter, shared: &Shared) -> HttpResponse {
    #[derive(Serialize)]
    struct Page<'a, T> {
        items: &'a [T],
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    }
    let start = filter.cursor.as_ref().and_then(|cursor| cursor.parse().ok()).unwrap_or(0).min(items.len());
    let size = filter.limit.unwrap_or(25).min(shared.settings.page_size.get());
    let end = (start + size).min(items.len());
    HttpResponse::Ok().json(Page {
        items: items.get(start..end).unwrap_or_default(),
        cursor: (end < items.len()).then(|| end.to_string()),
    })
}

async fn connections(
    request: HttpRequest,
    shared: Data<Shared>,
    filter: Query<Filter>,
) -> Result<HttpResponse, Failure> {
    let claims = claims(&request, &shared)?;
    let mut connections = shared.state.of(&claims, &shared.catalog, |own| own.connections.clone());
    if let Some(key) = &filter.integration_key {
        connections.retain(|connection| connection.integration.key == *key);
    }
    Ok(page(&connections, &filter, &shared))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connect {
    integration_key: String,
}

async fn connect(request: HttpRequest, shared: Data<Shared>, body: Json<Connect>) -> Result<HttpResponse, Failure> {
    let claims = claims(&request, &shared)?;
    let app = shared.catalog.by_key(&body.integration_key).ok_or_else(|| not_found("Integration not found"))?;
    let connection = shared.state.of(&claims, &shared.catalog, |own| own.connect(&claims.id, app));
    Ok(HttpResponse::Created().json(connection))
}

#[derive(Deserialize)]
struct Change {
    disconnected: bool,
}

/// By id or by integration key.
async fn change_connection(
    request: HttpRequest,
    shared: Data<Shared>,
    selector: Path<String>,
    change: Json<Change>,
) -> Result<HttpResponse, Failure> {
    let claims = claims(&request, &shared)?;
    shared.state.of(&claims, &shared.catalog, |own| {
        let connection = own
            .connections
            .iter_mut()
            .find(|connection| connection.id == *selector || connection.integration.key == *selector)
            .ok_or_else(|| not_found("Connection not found"))?;
        connection.disconnected = change.disconnected;
        Ok(HttpResponse::Ok().json(connection))
    })
}

/// By id or by integration key.
async fn disconnect(
    request: HttpRequest,
    shared: Data<Shared>,
    selector: Path<String>,
) -> Result<HttpResponse, Failure> {
    let claims = claims(&request, &shared)?;
    shared.state.of(&claims, &shared.catalog, |own| {
        own.connections.retain(|connection| connection.id != *selector && connection.integration.key != *selector);
    });
    Ok(HttpResponse::NoContent().finish())
}

async fn actions(request: HttpRequest, shared: Data<Shared>, filter: Query<Filter>) -> Result<HttpResponse, Failure> {
    claims(&request, &shared)?;
    let app = match (&filter.integration_id, &filter.integration_key) {
        (Some(id), _) => shared.catalog.by_id(id),
        (None, Some(key)) => shared.catalog.by_key(key),
        (None, None) => None,
    };
    let app = app.ok_or_else(|| not_found("Integration not found"))?;
    let actions: Vec<_> = app.actions.iter().map(|action| &*action.json).collect();
    Ok(page(&actions, &filter, &shared))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    integration_key: String,
    #[serde(alias = "parentKey")]
    key: String,
}

impl Selector {
    fn find<'a>(&self, shared: &'a Shared) -> Result<(&'a App, &'a Action), Failure> {
        let app = shared.catalog.by_key(&self.integration_key).ok_or_else(|| not_found("Integration not found"))?;
        let action = app.action(&self.key).ok_or_else(|| not_found("Action not found"))?;
        Ok((app, action))
    }
}

async fn action(
    request: HttpRequest,
    shared: Data<Shared>,
    selector: Query<Selector>,
) -> Result<HttpResponse, Failure> {
    claims(&request, &shared)?;
    let (_, action) = selector.find(&shared)?;
    Ok(HttpResponse::Ok().json(&action.json))
}

async fn run_instance(
    request: HttpRequest,
    shared: Data<Shared>,
    selector: Query<Selector>,
    input: Json<Box<RawValue>>,
) -> Result<HttpResponse, Failure> {
    let claims = claims(&request, &shared)?;
    run_selected(&shared, &claims, &selector, &input).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Act {
    key: String,
    integration_key: String,
    #[serde(default)]
    input: Box<RawValue>,
}

async fn act(request: HttpRequest, shared: Data<Shared>, act: Json<Act>) -> Result<HttpResponse, Failure> {
    let claims = claims(&request, &shared)?;
    let Act { key, integration_key, input } = act.into_inner();
    run_selected(&shared, &claims, &Selector { integration_key, key }, &input).await
}

async fn run_selected(
    shared: &Shared,
    claims: &Claims,
    selector: &Selector,
    input: &RawValue,
) -> Result<HttpResponse, Failure> {
    let (app, action) = selector.find(shared)?;
    let connection = shared.state.of(claims, &shared.catalog, |own| {
        let mut connections = own.connections.iter();
        connections.find(|connection| connection.integration.key == app.integration.key).cloned()
    });
    match connection {
        None => Err(not_found("Connection not found")),
        Some(connection) if connection.disconnected => Err(Failure::new(
            400,
            json!({"type": "connection", "key": "access_token_expired", "message": "Access token is expired", "data": {"connectionId": connection.id}}),
        )),
        Some(_) => run(shared, claims, app, &action.run, input).await,
    }
}

async fn stats(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.observer.stats())
}

async fn set_faults(shared: Data<Shared>, faults: Json<Vec<Fault>>) -> HttpResponse {
    shared.observer.set_faults(faults.into_inner());
    HttpResponse::NoContent().finish()
}
