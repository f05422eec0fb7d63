//! A panic while a request is handled ends that request alone.

use std::panic::AssertUnwindSafe;

use actix_web::{
    Error as ActixError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    middleware::Next,
};
use futures_util::FutureExt;

use super::{access_log, headers, reply};
use crate::error::Error;

/// Answers with an error where what handles the request panics; the client learns no more than that.
///
/// # Errors
/// That answer, and those of the service around which it stands.
pub async fn answer_panics<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, ActixError> {
    // The request itself can't be kept: routing wants it for itself.
    let (uri, era) = (request.uri().clone(), headers::era(request.request()));
    // What a handler was about to change is dropped with it; what lasts lives in actors, which it only sends messages.
    let Ok(answered) = AssertUnwindSafe(next.call(request)).catch_unwind().await else {
        log::error!(path = access_log::shown(uri.path()); "a request was not answered, because its handler panicked");
        let response = reply::error(None, &Error::Internal.into(), era);
        return Err(InternalError::from_response(Error::Internal, response).into());
    };
    answered
}

/// Turns a panic of what comes to an answer into an error, for answers that nothing else watches over.
pub(super) fn or_internal<T>(answer: impl Future<Output = Result<T, Error>>) -> impl Future<Output = Result<T, Error>> {
    // It owns what it changes, as in `answer_panics`. No `async fn`, which would have room for the answer twice.
    AssertUnwindSafe(answer).catch_unwind().map(|caught| caught.unwrap_or(Err(Error::Internal)))
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App, HttpResponse, body::to_bytes, http::StatusCode, middleware::from_fn, rt::task::yield_now, test, web,
    };

    use super::*;

    async fn panic_late() -> HttpResponse {
        yield_now().await;
        panic!("on purpose")
    }

    #[actix_web::test]
    async fn a_panic_on_the_way_to_an_answer_is_an_answer() {
        let outcome = or_internal(async {
            yield_now().await;
            if true { panic!("on purpose") } else { Ok(()) }
        });
        assert_eq!(outcome.await, Err(Error::Internal));
        assert_eq!(or_internal(async { Ok(1) }).await, Ok(1));
    }

    #[actix_web::test]
    async fn a_panic_ends_its_own_request_alone() {
        let app = App::new()
            .wrap(from_fn(answer_panics))
            .route("/panic", web::get().to(panic_late))
            .route("/", web::get().to(HttpResponse::Ok));
        let app = test::init_service(app).await;
        let get = |path| test::try_call_service(&app, test::TestRequest::get().uri(path).to_request());
        let answer = get("/panic").await.unwrap_err().error_response();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(answer.into_body()).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("on purpose"), "{body:?}");
        assert_eq!(get("/").await.unwrap().status(), StatusCode::OK);
    }
}
