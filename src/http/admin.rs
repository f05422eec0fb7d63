//! Endpoints for operators, on a listener of its own that clients need not reach.

use actix_web::{
    App, Error as ActixError, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web::Data,
};
use metrics::gauge;

use super::{connections::Traffic, health, origin::Names, page, read, reply};
use crate::{
    config,
    metrics::MetricsExporter,
    protocol::revision::Era,
    session::{Runtime, health::check_health},
};

/// State that the handlers of the admin listener share.
#[derive(Clone)]
pub struct Admin {
    /// Workers of the process, for their health.
    pub runtime: Runtime,
    /// Metrics, as Prometheus reads them.
    pub exporter: MetricsExporter,
    /// Numbers of the connections of clients.
    pub traffic: Traffic,
}

/// Returns the server of the admin listener.
pub fn admin_app(
    admin: Admin,
    settings: config::Admin,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = ActixError,
        InitError = (),
    >,
> {
    App::new()
        .app_data(Data::new(admin))
        .app_data(Data::new(settings))
        .wrap(from_fn(refuse_foreign))
        .service(page("/metrics", read().to(metrics)))
        .service(page("/healthz", read().to(async |admin: Data<Admin>| health::alive(&admin.runtime).await)))
        .service(page("/readyz", read().to(async |admin: Data<Admin>| health::ready(&admin.runtime).await)))
}

/// Refuses what a page could have sent: the metrics tell what this server is used for.
async fn refuse_foreign<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, ActixError> {
    let settings = request.app_data::<Data<config::Admin>>();
    let refusal = settings.and_then(|admin| Names::for_operators(admin).refusal(request.uri(), request.headers()));
    match refusal {
        None => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Some(error) => Ok(request.into_response(reply::error(None, &error, Era::Legacy)).map_into_right_body()),
    }
}

/// `GET /metrics`, in the text format of Prometheus.
async fn metrics(admin: Data<Admin>) -> HttpResponse {
    check_health(&admin.runtime, health::TIMEOUT).await;
    let connections = u32::try_from(admin.traffic.connections()).unwrap_or(u32::MAX);
    gauge!("mcp_connections").set(connections);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(admin.exporter.render())
}
