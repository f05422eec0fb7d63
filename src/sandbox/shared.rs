//! State that the sandbox's handlers share.

use actix_web::{HttpRequest, http::header::AUTHORIZATION};

use super::{
    catalog::SampleApps,
    codes::Codes,
    failure::Failure,
    observe::Observer,
    requests::Requests,
    state::State,
    token::{self, Claims},
    webhook::Webhooks,
};
use crate::{config::Tuning, secret::Secret};

/// Parts of the sandbox, for one handler after the other.
pub(super) struct Shared {
    pub(super) catalog: SampleApps,
    pub(super) state: State,
    pub(super) requests: Requests,
    pub(super) webhooks: Webhooks,
    pub(super) observer: Observer,
    pub(super) codes: Codes,
    pub(super) secret: Secret,
    pub(super) tuning: Tuning,
}

impl Shared {
    /// Returns the state of a sandbox that nobody has asked anything yet.
    pub(super) fn new(catalog: SampleApps, secret: Secret, tuning: Tuning) -> Self {
        Self {
            catalog,
            state: State::default(),
            requests: Requests::default(),
            webhooks: Webhooks::default(),
            observer: Observer::default(),
            codes: Codes::default(),
            secret,
            tuning,
        }
    }

    /// Returns the claims of the token that a request carries.
    pub(super) fn claims(&self, request: &HttpRequest) -> Result<Claims, Failure> {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        token::verify(token, &self.secret).map_err(|message| Failure::bad_request(401, "not_authenticated", message))
    }
}
