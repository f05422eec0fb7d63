//! The HTTP surface. Handlers are thin: they read a request into types, ask once, and write the answer.

mod access_log;
mod address;
mod admin;
mod base;
mod bodies;
mod body;
mod caller;
mod card;
mod chats;
mod connect;
mod connect_pages;
pub mod connections;
mod document;
pub mod error;
pub mod headers;
mod health;
mod in_session;
mod known_host;
mod limits;
mod oauth;
mod origin;
mod pages;
mod panics;
pub mod param_headers;
mod post;
mod posted;
pub mod query;
mod reply;
mod respond;
mod spans;
mod sse;
mod stateless;
mod streamable;
mod webhooks;
mod worker;

use std::sync::Arc;

use actix_web::{
    App, Resource, Route,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    guard,
    http::header,
    middleware::{Condition, NormalizePath, from_fn},
    web::{self, Data, ServiceConfig},
};

use crate::{config::Discovery, http::error::HttpError, protocol::revision::Era};

pub use access_log::log_requests;
pub use admin::{Admin, admin_app};
pub use bodies::PendingBodies;
pub use known_host::KnownHost;
pub use worker::Worker;

/// Doubled slash, of which paths are freed.
const DOUBLED: &str = "//";

/// Returns the server of one worker: the routes, and what surrounds each of them.
pub fn app(
    worker: Worker,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let settings = Arc::clone(&worker.settings);
    // Most paths are written as the routes are, and spared the search for what is to be trimmed.
    let is_plain = guard::fn_guard(|request| {
        let path = request.head().uri.path();
        !path.contains(DOUBLED) && (path.len() == 1 || !path.ends_with('/'))
    });
    App::new()
        .app_data(Data::new(worker))
        .wrap(Condition::new(settings.oauth.enabled != Discovery::Off, from_fn(oauth::point_to_metadata)))
        .wrap(from_fn(panics::answer_panics))
        .wrap(from_fn(limits::refuse_at_once))
        // A page that may ask can read whatever is answered, the refusals and failures above included.
        .wrap(origin::cors(&settings))
        .wrap(from_fn(origin::refuse_foreign))
        .wrap(from_fn(log_requests))
        .service(web::scope("").guard(is_plain).configure(routes))
        .service(web::scope("").wrap(NormalizePath::trim()).configure(routes))
}

fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/mcp")
                .route(web::post().to(post::post))
                .route(web::get().to(streamable::get))
                .route(web::delete().to(streamable::delete))
                .default_service(refuse_method("GET, POST, DELETE")),
        )
        .service(page("/mcp/sessions", read().to(chats::list)))
        .service(web::resource("/sse").route(web::get().to(sse::open)).default_service(refuse_method("GET")))
        .service(web::resource("/sse/messages").route(web::post().to(sse::post)).default_service(refuse_method("POST")))
        .service(
            web::resource("/webhooks/membrane")
                .route(web::post().to(webhooks::post))
                .default_service(refuse_method("POST")),
        )
        .service(page("/connect/signed-in", read().to(connect::signed_in)))
        .service(
            web::resource("/connect/{link}")
                .route(read().to(connect::show))
                .route(web::post().to(connect::answer))
                .default_service(refuse_method("GET, HEAD, POST")),
        )
        .service(page("/.well-known/oauth-protected-resource", read().to(oauth::resource)))
        .service(page("/.well-known/oauth-protected-resource/{endpoint:mcp|sse}", read().to(oauth::resource)))
        .service(page("/.well-known/oauth-authorization-server", read().to(oauth::authorization_server)))
        .service(page("/.well-known/openid-configuration", read().to(oauth::openid_configuration)))
        .service(page("/.well-known/jwks.json", read().to(oauth::keys)))
        .service(page("/oauth/authorize", read().to(oauth::authorize)))
        .service(page("/healthz", read().to(async |worker: Data<Worker>| health::alive(&worker.runtime).await)))
        .service(page("/readyz", read().to(async |worker: Data<Worker>| health::ready(&worker.runtime).await)))
        .service(page(origin::CARD, read().to(card::card)))
        .service(page("/icon.svg", read().to(pages::icon)))
        .service(page("/me", read().to(pages::me)))
        .service(page("/", read().to(pages::front)))
        .default_service(web::to(reply::no_such_path));
}

/// Returns a route for GET, and for HEAD, whose answer has no body (RFC 9110 § 9.3.2).
fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Returns a resource that is only read.
fn page(path: &str, route: Route) -> Resource {
    web::resource(path).route(route).default_service(refuse_method("GET, HEAD"))
}

/// 405 with the methods that are allowed (RFC 9110 § 15.5.6).
fn refuse_method(allowed: &'static str) -> Route {
    web::to(move || async move {
        let mut response = reply::error(None, &HttpError::MethodNotAllowed, Era::Legacy);
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
        response
    })
}
