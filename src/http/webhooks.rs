//! `POST /webhooks/membrane`: Membrane's word that a user's connections have changed.
//!
//! A webhook does no more than let the user's tools be loaded anew when they are next asked for, so that one which comes
//! twice, or late, does no harm.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

use super::{address, headers, reply, worker::Worker};
use crate::{
    error::Error, http::error::HttpError, membrane::webhook::Senders, protocol::revision::Era, token::TokenProblem,
};

/// The token by which Membrane shows that a request is its own, by its newer and its older name.
const SIGNED: [&str; 2] = ["x-membrane-token", "x-integration-app-token"];

pub(super) async fn post(http: HttpRequest, payload: Payload, worker: Data<Worker>) -> HttpResponse {
    match take(&http, payload, &worker).await {
        // Whoever gets no success sends it again.
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => reply::error(None, &error, Era::Legacy),
    }
}

async fn take(http: &HttpRequest, payload: Payload, worker: &Worker) -> Result<(), HttpError> {
    let senders = Senders::of(&worker.settings).ok_or(HttpError::NoSuchPath)?;
    let signed =
        SIGNED.iter().find_map(|name| http.headers().get(*name)).map(|token| token.to_str().unwrap_or_default());
    let sender = match senders.find(signed, headers::bearer(http).ok().flatten()) {
        Ok(sender) => sender,
        Err(Error::Unauthenticated(TokenProblem::Missing)) => return Err(TokenProblem::Missing.into()),
        Err(refused) => {
            // Guesses are those of tokens: an address has so many. Membrane itself gets in from anywhere.
            let address = address::of(http, worker.settings.server.proxies.get());
            worker.auth.charge_guess(address)?;
            return Err(refused.into());
        }
    };
    let body = worker.bodies.read(http, payload, None, &worker.settings.tuning, worker.pool()).await?;
    let changed = sender.read(&body).map_err(|error| HttpError::BadRequest(error.to_string()))?;
    if let Some(changed) = changed {
        worker.runtime.refresh(changed).await;
    }
    Ok(())
}
