//! The sandbox's HTTP API: that part of Membrane's which the product uses.

use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web::{self, Data, Json, Path, Query, ServiceConfig},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

#[cfg(feature = "lab")]
use super::faults;
use super::{
    catalog::{Action, App},
    connecting,
    connections::{self, Filter, page},
    failure::{Failure, not_found},
    oauth,
    run::run,
    shared::Shared,
    sign_in,
    state::Connection,
    token::Claims,
    webhook::{self, Webhook},
};

/// Registers the routes of the imitated API.
pub fn routes(config: &mut ServiceConfig) {
    let api = web::scope("")
        .app_data(web::JsonConfig::default().limit(32 * 1024 * 1024))
        .route("/self", web::get().to(customer))
        .route("/integrations", web::get().to(connections::integrations))
        .route("/connections", web::get().to(connections::list))
        .route("/connections", web::post().to(connections::connect))
        .route("/connections/{id}", web::get().to(connections::one))
        .route("/connections/{id}", web::patch().to(connections::change))
        .route("/connections/{id}", web::delete().to(connections::disconnect))
        .route("/connections/{id}/actions/{key}/run", web::post().to(run_of_connection))
        .route("/connection-requests", web::post().to(connecting::create))
        .route("/connection-requests/{id}", web::get().to(connecting::one))
        .route("/sign-in/{id}", web::get().to(sign_in::show))
        .route("/sign-in/{id}", web::post().to(sign_in::answer))
        .route("/actions", web::get().to(actions))
        .route("/action", web::get().to(action))
        .route("/action-instance/run", web::post().to(run_instance))
        .route("/act", web::post().to(act))
        .route("/.well-known/oauth-authorization-server", web::get().to(oauth::metadata))
        .route("/oauth/register", web::post().to(oauth::register))
        .route("/oauth/authorize", web::get().to(oauth::authorize))
        .route("/oauth/token", web::post().to(oauth::redeem))
        .route("/sandbox/stats", web::get().to(stats))
        .route("/sandbox/webhook", web::put().to(set_webhook));
    #[cfg(feature = "lab")]
    let api = {
        config.app_data(Data::new(faults::Faults::default()));
        api.route("/sandbox/faults", web::put().to(faults::order)).wrap(from_fn(faults::spoil))
    };
    // Around the faults, so that a request that one of them keeps waiting is in flight.
    config.service(api.wrap(from_fn(observe)));
}

/// Stands around every request to the API.
async fn observe<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let shared = request.app_data::<Data<Shared>>().cloned();
    match shared.filter(|_| !request.path().starts_with("/sandbox/")) {
        Some(shared) => shared.observer.stand_around(request, next).await,
        None => next.call(request).await,
    }
}

async fn customer(request: HttpRequest, shared: Data<Shared>) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    Ok(HttpResponse::Ok().json(json!({
        "id": webhook::customer_id(&claims),
        "internalId": claims.id,
        "name": claims.name,
        "workspaceKey": super::token::WORKSPACE,
    })))
}

async fn actions(request: HttpRequest, shared: Data<Shared>, filter: Query<Filter>) -> Result<HttpResponse, Failure> {
    shared.claims(&request)?;
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
    #[serde(default)]
    connection_id: Option<String>,
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
    shared.claims(&request)?;
    let (_, action) = selector.find(&shared)?;
    Ok(HttpResponse::Ok().json(&action.json))
}

async fn run_instance(
    request: HttpRequest,
    shared: Data<Shared>,
    selector: Query<Selector>,
    input: Json<Box<RawValue>>,
) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    // As upstream, a key that is unknown is told before the account that is missing.
    selector.find(&shared)?;
    let connection = selector.connection_id.as_deref().unwrap_or(&selector.integration_key);
    run_by(&shared, &claims, connection, &selector.key, &input).await
}

/// Runs an action by the connection, which may be named by its id, its key or its integration's key.
async fn run_of_connection(
    request: HttpRequest,
    shared: Data<Shared>,
    selectors: Path<(String, String)>,
    input: Json<Box<RawValue>>,
) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    let (connection, action) = selectors.into_inner();
    run_by(&shared, &claims, &connection, &action, &input).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Act {
    key: String,
    #[serde(default)]
    integration_key: Option<String>,
    #[serde(default)]
    connection_id: Option<String>,
    #[serde(default)]
    connection_key: Option<String>,
    #[serde(default)]
    input: Box<RawValue>,
}

async fn act(request: HttpRequest, shared: Data<Shared>, act: Json<Act>) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    let Act { key, integration_key, connection_id, connection_key, input } = act.into_inner();
    if let Some(integration_key) = &integration_key {
        let selector = Selector { integration_key: integration_key.clone(), key: key.clone(), connection_id: None };
        selector.find(&shared)?;
    }
    let connection = connection_id.or(connection_key).or(integration_key);
    let connection = connection.ok_or_else(|| not_found("Action not found"))?;
    run_by(&shared, &claims, &connection, &key, &input).await
}

async fn run_by(
    shared: &Shared,
    claims: &Claims,
    connection: &str,
    action: &str,
    input: &RawValue,
) -> Result<HttpResponse, Failure> {
    let connection = shared.state.of(claims, &shared.catalog, |own| own.connection(connection).cloned());
    let connection = connection.ok_or_else(|| not_found("Connection not found"))?;
    let app = shared.catalog.by_key(&connection.integration.key);
    let app = app.ok_or_else(|| not_found("Integration not found"))?;
    let action = app.action(action).ok_or_else(|| not_found("Action not found"))?;
    if connection.is_lost() {
        return Err(credentials_lost(&connection));
    }
    run(shared, claims, (app, connection.account), &action.run, input).await
}

fn credentials_lost(connection: &Connection) -> Failure {
    let data = json!({"connectionId": connection.id, "connectorKey": connection.integration.key});
    let body = json!({
        "type": "connection",
        "key": "access_token_expired",
        "message": "Access token is expired",
        "data": data,
    });
    Failure::new(400, body)
}

async fn stats(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.observer.stats())
}

async fn set_webhook(shared: Data<Shared>, webhook: Json<Webhook>) -> HttpResponse {
    shared.webhooks.set(webhook.into_inner());
    HttpResponse::NoContent().finish()
}
