//! One log line for each request: method, path without query, status, milliseconds until the answer begins, and who asked
//! for what.

use std::time::Instant;

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use crate::ids::{ChatId, SessionId, UserKey};

/// What handlers add to the line of their request.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// Who asked, once that is known.
    pub user: Option<UserKey>,
    /// In which chat.
    pub chat: Option<ChatId>,
    /// In which session.
    pub session: Option<SessionId>,
    /// The JSON-RPC method.
    pub rpc: Option<String>,
}

/// Adds to the line of a request.
pub fn note(request: &HttpRequest, add: impl FnOnce(&mut Line)) {
    let mut extensions = request.extensions_mut();
    if extensions.get::<Line>().is_none() {
        extensions.insert(Line::default());
    }
    if let Some(line) = extensions.get_mut() {
        add(line);
    }
}

/// Writes the line when the answer begins.
///
/// # Errors
/// Those of the service around which it stands.
pub async fn log_requests<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let begin = Instant::now();
    let response = next.call(request).await?;
    let request = response.request();
    let line = request.extensions().get::<Line>().cloned().unwrap_or_default();
    log::info!(
        target: "access",
        method = request.method().as_str(),
        path = request.path(),
        status = response.status().as_u16(),
        ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
        user = line.user.map(|user| user.to_string()),
        chat = line.chat.as_ref().map(ChatId::as_str),
        session = line.session.map(|session| session.to_string()),
        rpc = line.rpc;
        "request"
    );
    Ok(response)
}
