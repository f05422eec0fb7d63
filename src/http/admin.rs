//! What operators ask, on a listener of its own that clients need not reach.

use actix_web::{
    HttpResponse,
    web::{self, Data, ServiceConfig},
};

use metrics::gauge;

use super::{connections::Traffic, health};
use crate::{metrics::Exporter, session::Shards};

/// What the admin listener tells of.
#[derive(Clone)]
pub struct Admin {
    /// All shards.
    pub shards: Shards,
    /// What Prometheus reads.
    pub exporter: Exporter,
    /// Connections of clients.
    pub traffic: Traffic,
}

/// The routes of the admin listener.
pub fn admin_routes(admin: &Admin, config: &mut ServiceConfig) {
    config
        .app_data(Data::new(admin.clone()))
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(async |admin: Data<Admin>| health::alive(&admin.shards).await))
        .route("/readyz", web::get().to(async |admin: Data<Admin>| health::ready(&admin.shards).await));
}

/// `GET /metrics`, in the text format of Prometheus.
async fn metrics(admin: Data<Admin>) -> HttpResponse {
    admin.shards.feel_pulse(health::PATIENCE).await;
    let connections = u32::try_from(admin.traffic.connections()).unwrap_or(u32::MAX);
    gauge!("mcp_connections").set(connections);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(admin.exporter.render())
}
