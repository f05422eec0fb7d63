//! Connection requests: links by which users connect apps, and what came of them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Shared,
    failure::{Failure, not_found},
    state::Connection,
    token::Claims,
};

/// How long a user may take to sign in.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// Requests that are remembered. Those beyond are refused until some have ended.
const MAX_REQUESTS: usize = 10_000;

/// Connection requests of all users, by their ids. An id can't be guessed: whoever has the link may answer.
#[derive(Debug, Default)]
pub struct Requests(Mutex<HashMap<String, Request>>);

/// Request for a user to connect an account of an app.
#[derive(Debug, Clone)]
pub struct Request {
    /// Claims of the token that the request was made with.
    pub claims: Claims,
    /// App or account that the user is asked to connect.
    pub wanted: Wanted,
    /// How the user answered, if at all.
    pub outcome: Option<Outcome>,
    since: Instant,
}

/// App that is to be connected, or the account that is to be connected again.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Key of the app.
    pub app: String,
    /// Number of the account; the user chooses where this is missing.
    pub account: Option<usize>,
}

/// Answer of a user to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The account is connected by this connection.
    Success {
        /// Id of the connection.
        connection: String,
    },
    /// The user said no.
    Cancelled,
    /// The account can't be connected any more, for this reason.
    Failed(&'static str),
}

impl Wanted {
    /// Asks for the account of a connection again.
    #[must_use]
    pub fn reconnect(connection: &Connection) -> Self {
        Self { app: connection.integration.key.clone(), account: Some(connection.account) }
    }
}

impl Requests {
    /// Opens a request, and returns its id.
    ///
    /// # Errors
    /// 429, where too many are remembered.
    pub fn open(&self, claims: &Claims, wanted: Wanted) -> Result<String, Failure> {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= MAX_REQUESTS {
            requests.retain(|_, request| request.since.elapsed() < LIFE);
        }
        if requests.len() >= MAX_REQUESTS {
            return Err(Failure::bad_request(429, "rate_limit_exceeded", "Too many connection requests"));
        }
        let id = Uuid::new_v4().to_string();
        let request = Request { claims: claims.clone(), wanted, outcome: None, since: Instant::now() };
        requests.insert(id.clone(), request);
        Ok(id)
    }

    /// Returns a request as it is now.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Request> {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let request = requests.get_mut(id)?;
        if request.outcome.is_none() && request.since.elapsed() >= LIFE {
            request.outcome = Some(Outcome::Failed("The connection request has expired"));
        }
        Some(request.clone())
    }

    /// Notes how a request ended. The first answer counts.
    pub fn end(&self, id: &str, outcome: Outcome) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = requests.get_mut(id) {
            request.outcome.get_or_insert(outcome);
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Claims {
        serde_json::from_value(json!({"id": "ann", "iss": "sandbox"})).unwrap()
    }

    fn notion() -> Wanted {
        Wanted { app: "notion".to_owned(), account: None }
    }

    #[test]
    fn the_first_answer_to_a_request_counts() {
        let requests = Requests::default();
        let id = requests.open(&ann(), notion()).unwrap();
        assert_eq!(requests.get(&id).unwrap().outcome, None);
        requests.end(&id, Outcome::Cancelled);
        requests.end(&id, Outcome::Success { connection: "con-1".to_owned() });
        assert_eq!(requests.get(&id).unwrap().outcome, Some(Outcome::Cancelled));
        assert!(requests.get("another").is_none());
    }

    #[test]
    fn an_hour_is_the_most_that_a_sign_in_may_take() {
        let requests = Requests::default();
        let id = requests.open(&ann(), notion()).unwrap();
        if let Some(start) = Instant::now().checked_sub(LIFE) {
            requests.0.lock().unwrap().get_mut(&id).unwrap().since = start;
            assert!(matches!(requests.get(&id).unwrap().outcome, Some(Outcome::Failed(_))));
        }
    }

    #[test]
    fn requests_do_not_pile_up() {
        let requests = Requests::default();
        for _ in 0..MAX_REQUESTS {
            requests.open(&ann(), notion()).unwrap();
        }
        assert!(requests.open(&ann(), notion()).is_err());
    }
}
