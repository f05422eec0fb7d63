//! Connection requests that wait for their user's answer, or have it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{failure::Failure, state::Connection, token::Claims};

/// How long a user may take to sign in.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// Requests that are remembered. Those beyond are refused until some have ended.
const MAX_REQUESTS: usize = 10_000;

/// Connection requests of all users, by their ids. An id can't be guessed: whoever has the link may answer.
#[derive(Debug, Default)]
pub struct Requests(Mutex<HashMap<String, ConnectionRequest>>);

/// Request for a user to connect an account of an app.
#[derive(Debug, Clone)]
pub struct ConnectionRequest {
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
        let request = ConnectionRequest { claims: claims.clone(), wanted, outcome: None, since: Instant::now() };
        requests.insert(id.clone(), request);
        Ok(id)
    }

    /// Returns a request as it is now.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<ConnectionRequest> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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
