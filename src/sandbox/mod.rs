//! A small imitation of Membrane with sample apps, so that the server can be tried without an account.
//!
//! It is an HTTP server of its own on a loopback port; the product reaches it through the same client as the real one.
//! Actions keep state: what one creates, another lists, for each user apart. Tokens are verified as the real ones are.
//!
//! Apps are connected as there: `POST /connection-requests` gives a link, and the page behind it asks the user.
//!
//! Beyond Membrane's API it has a few paths of its own, for tests: `GET /sandbox/stats`, `PUT /sandbox/webhook`, and `POST`, `PATCH`
//! and `DELETE` on `/connections`; with the feature `lab` also `PUT /sandbox/faults`.

mod api;
pub mod catalog;
mod codes;
mod connecting;
mod connections;
mod failure;
#[cfg(feature = "lab")]
mod faults;
mod oauth;
mod observe;
mod requests;
mod run;
mod shared;
mod sign_in;
mod state;
pub mod token;
mod webhook;

use std::{net::Ipv4Addr, sync::Arc};

use actix_web::{App, HttpServer, dev::ServerHandle, web};

use crate::{config::Settings, secret::Secret};
use catalog::{CatalogError, SampleApps};
use shared::Shared;
pub use token::KeyLife;

/// Sandbox that runs on a thread of the server's process.
#[derive(Debug)]
pub struct Sandbox {
    /// URL of its API, for `membrane.base_url`.
    pub url: String,
    /// The key that signs its tokens.
    pub secret: Secret,
    /// How long that key is in use.
    pub kept: KeyLife,
    /// Name of the app that users of minted tokens have yet to connect, if it has that app.
    pub unconnected: Option<String>,
    handle: ServerHandle,
}

/// Why no sandbox can be had.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The files of its apps can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Its port is taken, or may not be used.
    #[error("the sandbox can't listen on port {port} of 127.0.0.1: {source}")]
    Listen {
        /// Port that `sandbox.port` names.
        port: u16,
        /// Error of the system.
        source: std::io::Error,
    },
}

impl Sandbox {
    /// Starts a sandbox in this process. Where the settings name no key, one is drawn once and kept in the store's folder.
    ///
    /// # Errors
    /// [`SandboxError`].
    pub fn start(settings: &Settings) -> Result<Self, SandboxError> {
        let Settings { sandbox: settings, store, tuning, .. } = settings;
        let (secret, kept) = match settings.secret.is_empty() {
            true => token::draw_and_keep(&store.path),
            false => (settings.secret.clone(), KeyLife::ForGood),
        };
        let catalog = SampleApps::load(&settings.catalog)?;
        let unconnected = catalog.by_key(token::UNCONNECTED).map(|app| app.integration.name.clone());
        let shared = Arc::new(Shared::new(catalog, secret.clone(), tuning.clone()));
        let port = settings.port.port();
        let listen = |source| SandboxError::Listen { port, source };
        let server =
            HttpServer::new(move || App::new().app_data(web::Data::from(Arc::clone(&shared))).configure(api::routes))
                .workers(1)
                .disable_signals()
                .shutdown_timeout(1)
                // Longer than the client keeps a connection, so that none is closed just when a request is sent on it.
                .keep_alive(std::time::Duration::from_secs(75))
                .h1_allow_half_closed(false)
                .bind((Ipv4Addr::LOCALHOST, port))
                .map_err(listen)?;
        let address = server.addrs().first().copied();
        let url = format!("http://127.0.0.1:{}", address.map_or(port, |address| address.port()));
        let server = server.run();
        let handle = server.handle();
        actix::spawn(server);
        Ok(Self { url, secret, kept, unconnected, handle })
    }

    /// Stops the sandbox at once.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}
