//! Requests refused before anything else is done for them: their head is too large, or the server is about to end.

use std::rc::Rc;

use actix_web::{
    Error as ActixError,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web::Data,
};

use super::{connections::Connection, headers, reply, worker::Worker};
use crate::{config::Tuning, error::Error, http::error::HttpError};

/// Refuses a request whose URL or headers are too large, and any when no answer can be promised because the server is about to
/// end. A head that is far larger does not even come so far.
///
/// # Errors
/// Those of the service around which it stands.
pub async fn refuse_at_once<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, ActixError> {
    let worker = request.app_data::<Data<Worker>>();
    match worker.and_then(|worker| refusal(&request, &worker.settings.tuning)) {
        None => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Some(error) => {
            let response = reply::error(None, &error, headers::era(request.request()));
            Ok(request.into_response(response).map_into_right_body())
        }
    }
}

fn refusal(request: &ServiceRequest, tuning: &Tuning) -> Option<HttpError> {
    if request.conn_data::<Rc<Connection>>().is_some_and(|connection| connection.is_closing()) {
        return Some(Error::Stopping.into());
    }
    let (max_url, max_head) = (tuning.max_url_bytes, tuning.max_header_bytes);
    let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    if url > max_url {
        return Some(HttpError::UrlTooLong { limit: max_url });
    }
    // As on the wire: a name, a colon and a space, a value, and the line's end.
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let head: usize = url + request.headers().iter().map(line).sum::<usize>();
    (head > max_head).then_some(HttpError::HeadersTooLarge { limit: max_head })
}
