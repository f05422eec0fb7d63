//! Integrations and connections of the imitated API, and the lists that it gives in pages.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Path, Query},
};
use serde::{Deserialize, Serialize};

use super::{
    connecting::url_of,
    failure::{Failure, not_found},
    requests::Wanted,
    shared::Shared,
    webhook::Event,
};

/// Filters of a list, and the page of it that is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Items of the integration with this key alone.
    pub integration_key: Option<String>,
    /// Items of the integration with this id alone.
    pub integration_id: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Returns a page of a list, whose cursor is the place of its first item.
pub fn page<T: Serialize>(items: &[T], filter: &Filter, shared: &Shared) -> HttpResponse {
    #[derive(Serialize)]
    struct Page<'a, T> {
        items: &'a [T],
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    }
    let start = filter.cursor.as_ref().and_then(|cursor| cursor.parse().ok()).unwrap_or(0).min(items.len());
    let size = filter.limit.unwrap_or(25).min(shared.tuning.sandbox_page_size.max(1));
    let end = (start + size).min(items.len());
    HttpResponse::Ok().json(Page {
        items: items.get(start..end).unwrap_or_default(),
        cursor: (end < items.len()).then(|| end.to_string()),
    })
}

/// `GET /integrations`: the workspace's apps, connected or not, without the extra ones that the user does not have.
pub async fn integrations(
    request: HttpRequest,
    shared: Data<Shared>,
    filter: Query<Filter>,
) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    let integrations = shared.state.of(&claims, &shared.catalog, |own| {
        let apps = shared.catalog.apps();
        let shown = apps.filter(|app| !app.is_extra || own.connection(&app.integration.key).is_some());
        shown.map(|app| app.integration.clone()).collect::<Vec<_>>()
    });
    Ok(page(&integrations, &filter, &shared))
}

/// `GET /connections`: the user's own.
pub async fn list(request: HttpRequest, shared: Data<Shared>, filter: Query<Filter>) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    let mut connections = shared.state.of(&claims, &shared.catalog, |own| own.connections.clone());
    if let Some(key) = &filter.integration_key {
        connections.retain(|connection| connection.integration.key == *key);
    }
    Ok(page(&connections, &filter, &shared))
}

/// `GET /connections/{selector}`, which is an id, a key or an integration's key, as everywhere below.
pub async fn one(request: HttpRequest, shared: Data<Shared>, selector: Path<String>) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    let connection = shared.state.of(&claims, &shared.catalog, |own| own.connection(&selector).cloned());
    Ok(HttpResponse::Ok().json(connection.ok_or_else(|| not_found("Connection not found"))?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connect {
    integration_key: String,
}

/// `POST /connections`: connects an account at once, as no user of Membrane can.
pub async fn connect(request: HttpRequest, shared: Data<Shared>, body: Json<Connect>) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    let app = shared.catalog.by_key(&body.integration_key).ok_or_else(|| not_found("Integration not found"))?;
    let connection = shared.state.of(&claims, &shared.catalog, |own| own.connect(&claims.id, app));
    shared.webhooks.tell(Event::Created, &claims, &connection, &shared.secret);
    Ok(HttpResponse::Created().json(connection))
}

#[derive(Deserialize)]
pub struct Change {
    disconnected: bool,
}

/// `PATCH /connections/{selector}`: has an account lose its credentials, or get them back.
pub async fn change(
    request: HttpRequest,
    shared: Data<Shared>,
    selector: Path<String>,
    change: Json<Change>,
) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    let connection = shared.state.of(&claims, &shared.catalog, |own| own.connection(&selector).cloned());
    let connection = connection.ok_or_else(|| not_found("Connection not found"))?;
    let (lost_at, event) = match change.disconnected {
        true => {
            let wanted = Wanted::reconnect(&connection);
            let id = shared.requests.open(&claims, wanted)?;
            (Some(url_of(&request, &id)), Event::Disconnected)
        }
        false => (None, Event::Reconnected),
    };
    let connection = shared.state.of(&claims, &shared.catalog, |own| {
        let connection = own.connection_mut(&connection.id).ok_or_else(|| not_found("Connection not found"))?;
        match lost_at {
            Some(url) => connection.lose(url),
            None => connection.restore(),
        }
        Ok::<_, Failure>(connection.clone())
    })?;
    shared.webhooks.tell(event, &claims, &connection, &shared.secret);
    Ok(HttpResponse::Ok().json(connection))
}

/// `DELETE /connections/{selector}`: by an integration's key, all its connections go.
pub async fn disconnect(
    request: HttpRequest,
    shared: Data<Shared>,
    selector: Path<String>,
) -> Result<HttpResponse, Failure> {
    let claims = shared.claims(&request)?;
    let gone = shared.state.of(&claims, &shared.catalog, |own| own.disconnect(&selector));
    for connection in &gone {
        shared.webhooks.tell(Event::Deleted, &claims, connection, &shared.secret);
    }
    Ok(HttpResponse::NoContent().finish())
}
