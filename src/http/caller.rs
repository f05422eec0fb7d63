//! Caller of a request: its token, and the user that the upstream names for it.

use std::{rc::Rc, time::SystemTime};

use actix_web::HttpRequest;

use super::{access_log, address, connections::Connection, headers, query::Query, worker::Worker};
use crate::{
    error::Error,
    http::error::HttpError,
    membrane::{Caller, Proof},
    token::{AccessToken, TokenProblem},
};

/// Finds out who is asking. Nothing is told or done for a caller that the upstream has not accepted.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`HttpError::BadRequest`] for two tokens; [`Error::UpstreamUnavailable`];
/// [`Error::TooManyFailures`].
pub async fn authenticate(
    request: &HttpRequest,
    query: &Query,
    worker: &Worker,
    proof: Proof,
) -> Result<Caller, HttpError> {
    let (text, now) = (token(request, query)?.ok_or(TokenProblem::Missing)?, SystemTime::now());
    let caller = if let Some(caller) = worker.auth.recognise(text, now) {
        caller
    } else {
        let token = AccessToken::parse(text, now)?;
        let address = address::of(request, worker.settings.server.proxies.get());
        worker.auth.authenticate(token, proof, address).await?
    };
    access_log::note(request, |line| line.user = Some(caller.user().clone()));
    if let Some(connection) = request.conn_data::<Rc<Connection>>() {
        connection.let_in();
    }
    Ok(caller)
}

/// Returns the token of the header or the query; both may carry it if they agree.
fn token<'a>(request: &'a HttpRequest, query: &'a Query) -> Result<Option<&'a str>, HttpError> {
    match (headers::bearer(request), query.token()?) {
        (Ok(Some(header)), Some(query)) if header != query => {
            Err(HttpError::BadRequest("the Authorization header and ?token= carry different tokens".to_owned()))
        }
        // A header of another scheme may be meant for a proxy before this server.
        (Ok(token @ Some(_)), _)
        | (Ok(None), token)
        | (Err(HttpError::Other(Error::Unauthenticated(_))), token @ Some(_)) => Ok(token),
        (Err(error), _) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{http::header::AUTHORIZATION, test::TestRequest};

    #[test]
    fn a_token_comes_by_header_or_query() {
        let cases = [
            (None, "/mcp", Ok(None)),
            (Some("Bearer a.b.c"), "/mcp", Ok(Some("a.b.c"))),
            (Some("bearer  a.b.c "), "/mcp", Ok(Some("a.b.c"))),
            (Some("Bearer a.b.c, Bearer a.b.c"), "/mcp", Ok(Some("a.b.c"))),
            (Some("Bearer a.b.c, bearer d"), "/mcp", Err(400)),
            (Some("Basic a.b.c"), "/mcp", Err(401)),
            (Some("Basic a.b.c"), "/mcp?token=d", Ok(Some("d"))),
            (Some("Bearer"), "/mcp", Ok(None)),
            (Some("a.b.c"), "/mcp", Err(401)),
            (Some(""), "/mcp", Ok(None)),
            (None, "/mcp?token=a&token=a", Ok(Some("a"))),
            (None, "/mcp?token=a&token=b", Err(400)),
            (None, "/mcp?mode=static&token=a%2Bb", Ok(Some("a+b"))),
            (None, "/mcp?token=", Ok(None)),
            (Some("Bearer a"), "/mcp?token=a", Ok(Some("a"))),
            (Some("Bearer a"), "/mcp?token=b", Err(400)),
        ];
        for (header, uri, expected) in cases {
            let mut request = TestRequest::with_uri(uri);
            if let Some(value) = header {
                request = request.insert_header((AUTHORIZATION, value));
            }
            let request = request.to_http_request();
            let query = Query::of(&request);
            let status = |error| if matches!(error, HttpError::Other(Error::Unauthenticated(_))) { 401 } else { 400 };
            assert_eq!(token(&request, &query).map_err(status), expected, "{header:?} {uri}");
        }
    }
}
