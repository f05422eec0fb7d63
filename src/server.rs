//! Puts the parts together, runs them, and stops them in order.

use std::{
    ffi::c_int,
    io,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpServer, dev::ServerHandle};
use socket2::SockRef;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{Settings, unsupported_proxy},
    http::{self, Admin, PendingBodies, Worker},
    membrane::{Upstream, UpstreamError},
    metrics::Exporter,
    session::Shards,
    store::{self, StoreError},
};

/// How often the shards are looked after.
const BEAT: Duration = Duration::from_secs(5);

/// Connections that may wait to be accepted, for when many clients come back at once; those beyond it would come a second
/// late. The system may allow fewer.
const BACKLOG: c_int = 4096;

/// What is written to a connection at once, about: each write wakes the reader, for which a large list is no place. A
/// connection at rest keeps no more than this.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// Why the server can't run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be had.
    #[error("can't listen on {address}: {source}; another address is set by {section}.host and {section}.port")]
    Listen {
        /// Of the settings.
        address: String,
        /// Where the settings have it.
        section: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Sessions can't be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The settings of the upstream lead nowhere.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The upstream would have to be asked through a proxy.
    #[error(
        "{0} names a proxy, but this server asks the upstream directly: take the variable away, or except the upstream's \
         host by NO_PROXY"
    )]
    Proxy(&'static str),
    /// Its metrics can't be counted.
    #[error("metrics can't be counted: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// It broke while it ran.
    #[error("the server broke: {0}")]
    Broken(#[from] io::Error),
}

/// A server that listens.
pub struct Server {
    address: SocketAddr,
    server: actix_web::dev::Server,
    admin_address: SocketAddr,
    admin_server: actix_web::dev::Server,
    admin: Admin,
    told_to_stop: Pin<Box<dyn Future<Output = ()>>>,
    patience: Duration,
}

impl Server {
    /// Starts to listen.
    ///
    /// # Errors
    /// [`ServerError::Listen`], [`ServerError::Store`], [`ServerError::Upstream`], [`ServerError::Proxy`].
    pub fn bind(settings: &Arc<Settings>) -> Result<Self, ServerError> {
        install_tls();
        if let Some(name) = unsupported_proxy(settings) {
            return Err(ServerError::Proxy(name));
        }
        let told_to_stop = Box::pin(told_to_stop()?);
        let exporter = Exporter::install()?;
        let workers = match settings.server.workers.get() {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            workers => workers,
        };
        let shards = Shards::new(workers, store::open(settings)?, Upstream::new(&settings.membrane)?, settings);
        let factory = {
            let (shards, settings) = (shards.clone(), Arc::clone(settings));
            let bodies = PendingBodies::new(settings.server.max_pending_body_bytes.get());
            // Runs once on each worker's thread, which thereby gets its shard.
            move || {
                http::app(Worker {
                    local: shards.start_here(&settings),
                    shards: shards.clone(),
                    bodies: bodies.clone(),
                    settings: Arc::clone(&settings),
                })
            }
        };
        // One listener: with more, each worker would run the factory once for each.
        let (listener, address) = listen("server", &settings.server.host, settings.server.port.port())?;
        let (admin_listener, admin_address) = listen("admin", &settings.admin.host, settings.admin.port.port())?;
        let admin = Admin { shards, exporter };
        let admin_server = {
            let admin = admin.clone();
            HttpServer::new(move || App::new().configure(|config| http::admin_routes(&admin, config)))
                .workers(1)
                .listen(admin_listener)?
                .disable_signals()
                .shutdown_timeout(1)
                .run()
        };
        let server = HttpServer::new(factory)
            .workers(workers)
            .listen(listener)?
            .keep_alive(Duration::from_secs(75))
            .client_request_timeout(settings.server.request)
            // An answer in pieces must not wait for the other side's delayed acknowledgement.
            .tcp_nodelay(true)
            // A client that has gone must be noticed while its stream is idle.
            .h1_allow_half_closed(false)
            .h1_write_buffer_size(WRITE_BUFFER_BYTES)
            .shutdown_timeout(settings.server.shutdown.as_secs())
            .disable_signals()
            .run();
        Ok(Self {
            address,
            server,
            admin_address,
            admin_server,
            admin,
            told_to_stop,
            patience: settings.server.shutdown,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers operators.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until the process is told to stop.
    ///
    /// # Errors
    /// [`ServerError::Broken`].
    pub async fn run(self) -> Result<(), ServerError> {
        let (handle, admin_handle) = (self.server.handle(), self.admin_server.handle());
        actix::spawn(stop_when_told(self.told_to_stop, handle, self.admin.shards.clone(), self.patience));
        actix::spawn(self.admin.shards.clone().follow_news());
        actix::spawn(watch(self.admin));
        actix::spawn(self.admin_server);
        self.server.await?;
        // Last, so that whoever asks learns to the end that the server is stopping.
        admin_handle.stop(false).await;
        Ok(())
    }
}

fn listen(section: &'static str, host: &str, port: u16) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Listen { address: format!("{host}:{port}"), section, source };
    let listener = TcpListener::bind((host, port)).map_err(failed)?;
    SockRef::from(&listener).listen(BACKLOG).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Feels the pulse of the shards and keeps the metrics small, for as long as the server runs.
async fn watch(admin: Admin) {
    let mut beat = tokio::time::interval(BEAT);
    loop {
        beat.tick().await;
        let pulse = admin.shards.feel_pulse(BEAT).await;
        admin.shards.count_passive(pulse, BEAT).await;
        admin.exporter.tidy_up();
    }
}

/// Lets the sessions finish first: a worker that stops takes the sessions along that live on its thread, whosever
/// connection waits for them.
async fn stop_when_told(told: impl Future<Output = ()>, server: ServerHandle, shards: Shards, patience: Duration) {
    told.await;
    log::info!("told to stop: finishing what is running");
    // Who comes back for a stream must find the next instance, not this one.
    server.pause().await;
    let is_done = tokio::time::timeout(patience, shards.drain()).await.is_ok();
    if !is_done {
        log::warn!("calls were still running after {} s and are given up", patience.as_secs());
    }
    server.stop(is_done).await;
}

/// Listens for signals from now on: the first process of a container would miss one that it does not listen for.
fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Chooses the cryptography of TLS, once for the process: `awc` brings none.
pub fn install_tls() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        log::debug!("TLS had its cryptography already");
    }
}
