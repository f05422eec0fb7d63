//! The paths of connection requests: links by which users connect apps, and what came of them.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    failure::{Failure, not_found},
    requests::{Outcome, Wanted},
    shared::Shared,
};

/// Returns the address of the page on which a request is answered, as a browser on this machine reaches it.
#[must_use]
pub fn url_of(request: &HttpRequest, id: &str) -> String {
    format!("http://{}/sign-in/{id}", request.app_config().local_addr())
}

/// Selectors by which an app or an account is asked for. Others that Membrane knows are taken and ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selectors {
    integration_key: Option<String>,
    integration_id: Option<String>,
    connection_id: Option<String>,
    connection_key: Option<String>,
}

/// `POST /connection-requests`: a link for the user.
pub async fn create(http: HttpRequest, shared: Data<Shared>, body: Json<Selectors>) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&http)?;
    let Selectors { integration_key, integration_id, connection_id, connection_key } = body.into_inner();
    let wanted = if let Some(connection) = connection_id.or(connection_key) {
        let connection = shared.state.of(&claims, &shared.catalog, |own| own.connection(&connection).cloned());
        Wanted::reconnect(&connection.ok_or_else(|| not_found("Connection not found"))?)
    } else {
        let by_key = integration_key.and_then(|key| shared.catalog.by_key(&key));
        let app = by_key.or_else(|| shared.catalog.by_id(&integration_id?));
        let app = app.ok_or_else(|| not_found("Integration not found"))?;
        Wanted { app: app.integration.key.clone(), account: None }
    };
    let id = shared.requests.open(&claims, wanted)?;
    Ok(HttpResponse::Created().json(described(&http, &id, None)))
}

/// `GET /connection-requests/{id}`: what has come of it, for the user who asked.
pub async fn one(http: HttpRequest, shared: Data<Shared>, id: Path<String>) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&http)?;
    let request = shared.requests.get(&id).filter(|request| request.claims.id == claims.id);
    let request = request.ok_or_else(|| not_found("Connection request not found"))?;
    Ok(HttpResponse::Ok().json(described(&http, &id, request.outcome.as_ref())))
}

/// Connection request as the API gives it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Described<'a> {
    request_id: &'a str,
    url: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_connection_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_error: Option<Value>,
}

fn described<'a>(http: &HttpRequest, id: &'a str, outcome: Option<&'a Outcome>) -> Described<'a> {
    let (status, connection, error) = match outcome {
        None => ("pending", None, None),
        Some(Outcome::Success { connection }) => ("success", Some(connection.as_str()), None),
        Some(Outcome::Cancelled) => ("cancelled", None, None),
        Some(Outcome::Failed(message)) => ("error", None, Some(json!({"message": message}))),
    };
    Described { request_id: id, url: url_of(http, id), status, result_connection_id: connection, result_error: error }
}
