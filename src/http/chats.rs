//! `GET /mcp/sessions`: the caller's chats with their sessions.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{caller::authenticate, query::Query, reply, worker::Worker};
use crate::{http::error::HttpError, membrane::Proof, protocol::revision::Era};

/// `{chatId: sessionId}` of the caller; `{}` when there is none.
pub async fn list(request: HttpRequest, worker: web::Data<Worker>) -> HttpResponse {
    let chats = async {
        let caller = authenticate(&request, &Query::of(&request), &worker, Proof::Customer).await?;
        Ok(worker.chats.of(caller.user().clone()).await?)
    };
    let chats: Result<_, HttpError> = chats.await;
    match chats {
        Ok(chats) => reply::json_value(&chats),
        Err(error) => reply::error(None, &error, Era::Legacy),
    }
}
