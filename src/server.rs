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

use actix_server::{ServerBuilder, ServerHandle};
use socket2::SockRef;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::{Discovery, Settings, unsupported_proxy},
    http::{
        self, Admin, KnownHost, PendingBodies, Worker,
        connections::{self, Limits, Traffic},
    },
    membrane::{Upstream, UpstreamError},
    metrics::MetricsExporter,
    secret::Secret,
    session::{
        Runtime, WorkerContext,
        health::{Loss, count_passive, look_after},
    },
    store::{self, StoreError},
};

/// How often the workers are looked after.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Connections that may wait to be accepted, for when many clients come back at once; those beyond it would come a second
/// late. The system may allow fewer.
const BACKLOG: c_int = 4096;

/// Connections of one worker at most, however many files may be open: each takes some 20 kB.
const MAX_PER_WORKER: usize = 25_600;

/// Connections of the admin listener, for probes and Prometheus.
const MAX_ADMIN: usize = 64;

/// Open files that are no connection: listeners, event queues, the store, logs, standard streams.
const OTHER_FILES: usize = 128;

/// Reason why the server can't run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken, or may not be listened on.
    #[error("can't listen on {address}: {source}{}", advice(.section, .address, .source))]
    Listen {
        /// Address that the settings name.
        address: String,
        /// Section of the settings that names the address.
        section: &'static str,
        /// Error of the system.
        source: io::Error,
    },
    /// The store of sessions can't be used.
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
    /// Metrics can't be recorded in this process.
    #[error("metrics can't be counted: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// A part of it has ended that nothing here brings back. An orchestrator starts another process.
    #[error("the server ends itself: {0}")]
    Lost(Loss),
    /// The server ended while it ran.
    #[error("the server broke: {0}")]
    Broken(#[from] io::Error),
}

/// Returns what to do where an address can't be listened on.
fn advice(section: &str, address: &str, source: &io::Error) -> String {
    let next = |port: &str| port.parse::<u16>().ok().and_then(|port| port.checked_add(1)).unwrap_or(0);
    match (source.kind(), section, address.rsplit_once(':')) {
        (io::ErrorKind::AddrInUse, "server", Some((_, port))) => {
            let other = next(port);
            format!(
                ". If a server of yours runs there, give a second one its own: PORT={other} MCP__ADMIN__PORT=0 \
                 MCP__STORE__PATH=data-{other}"
            )
        }
        _ => format!("; another address is set by {section}.host and {section}.port"),
    }
}

/// Server that listens, and serves once it runs.
pub struct Server {
    address: SocketAddr,
    server: actix_server::Server,
    admin_address: SocketAddr,
    admin_server: actix_server::Server,
    admin: Admin,
    settings: Arc<Settings>,
    told_to_stop: Pin<Box<dyn Future<Output = ()>>>,
    hangups: Signal,
    timeout: Duration,
}

impl Server {
    /// Starts to listen. The `guest` is the token of a sandbox for whoever tries it, which its pages may show.
    ///
    /// # Errors
    /// [`ServerError::Listen`], [`ServerError::Store`], [`ServerError::Upstream`], [`ServerError::Proxy`].
    pub fn bind(settings: &Arc<Settings>, guest: Option<Secret>) -> Result<Self, ServerError> {
        install_tls();
        if let Some(name) = unsupported_proxy(settings) {
            return Err(ServerError::Proxy(name));
        }
        let told_to_stop = Box::pin(told_to_stop()?);
        let hangups = signal(SignalKind::hangup())?;
        let exporter = MetricsExporter::install()?;
        let workers = match settings.server.workers.get() {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            workers => workers,
        };
        // One listener: with more, each worker would run the factory once for each. Before the store, which a server that runs
        // already has as well: the address is what most people change.
        let (listener, address) = listen("server", &settings.server.host, settings.server.port.port())?;
        let (admin_listener, admin_address) = listen("admin", &settings.admin.host, settings.admin.port.port())?;
        let runtime = Runtime::new(workers, store::open(settings)?, Upstream::new(settings)?, settings);
        let admin = Admin { runtime, exporter, traffic: Traffic::default() };
        let admin_server = serve_operators(admin_listener, &admin, settings)?;
        let server = serve_clients(listener, workers, &admin, guest, settings)?;
        Ok(Self {
            address,
            server,
            admin_address,
            admin_server,
            admin,
            settings: Arc::clone(settings),
            told_to_stop,
            hangups,
            timeout: settings.server.shutdown,
        })
    }

    /// Returns the address on which clients are served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address on which operators are served.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until the process is told to stop.
    ///
    /// # Errors
    /// [`ServerError::Broken`], [`ServerError::Lost`].
    pub async fn run(self) -> Result<(), ServerError> {
        let (handle, admin_handle) = (self.server.handle(), self.admin_server.handle());
        let stopping =
            Stopping { server: handle, traffic: self.admin.traffic.clone(), runtime: self.admin.runtime.clone() };
        actix::spawn(stopping.stop_when_told(self.told_to_stop, self.timeout));
        actix::spawn(ignore_hangups(self.hangups));
        actix::spawn(self.admin.runtime.clone().follow_replicas());
        actix::spawn(self.admin.runtime.clone().share_limits());
        if self.settings.oauth.enabled != Discovery::Off {
            actix::spawn(self.admin.runtime.clone().follow_authorization_server(self.settings));
        }
        actix::spawn(self.admin_server);
        tokio::select! {
            done = self.server => done?,
            loss = watch(self.admin) => {
                log::error!("the server ends itself: {loss}");
                return Err(ServerError::Lost(loss));
            }
        }
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

/// Looks after the workers and keeps the metrics small, until something is lost for good.
async fn watch(admin: Admin) -> Loss {
    let each = async |health| {
        count_passive(&admin.runtime, health, HEARTBEAT).await;
        admin.exporter.tidy_up();
    };
    look_after(&admin.runtime, HEARTBEAT, each).await
}

/// Parts of the server that end one after the other.
struct Stopping {
    server: ServerHandle,
    traffic: Traffic,
    runtime: Runtime,
}

impl Stopping {
    /// Stops the server once it is told to, and gives what is running so long to finish.
    async fn stop_when_told(self, told: impl Future<Output = ()>, timeout: Duration) {
        told.await;
        log::info!("told to stop: finishing what is running");
        self.traffic.drain();
        // A client that comes back for a stream must find the next instance, not this one.
        self.server.pause().await;
        let is_done = tokio::time::timeout(timeout, self.finish()).await.is_ok();
        if !is_done {
            log::warn!("calls were still running after {} s and are given up", timeout.as_secs());
        }
        self.server.stop(is_done).await;
    }

    /// Lets the sessions finish before the workers: a worker that stops takes along the sessions that live on its thread,
    /// whatever connection waits for them.
    async fn finish(&self) {
        self.runtime.drain().await;
        self.traffic.requests_answered().await;
        self.traffic.close().await;
        // A call that was begun meanwhile goes on when its client has left, for its result can be fetched later.
        self.runtime.drain().await;
    }
}

/// Tells an operator who rotates logs that there is no file to reopen. Without a listener the signal would end the process.
async fn ignore_hangups(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        log::info!("SIGHUP changes nothing: logs go to standard error, and are rotated by the program that reads them");
    }
}

fn serve_clients(
    listener: TcpListener,
    workers: usize,
    admin: &Admin,
    guest: Option<Secret>,
    settings: &Arc<Settings>,
) -> io::Result<actix_server::Server> {
    let bodies = PendingBodies::new(settings.tuning.max_pending_body_bytes);
    let max = max_connections(raise_file_limit(), workers, settings);
    // Connections make room for others before no more are accepted, which in turn is before there are no files left.
    let limits = limits(max - (max / 4).min((max / 16).max(128)), settings);
    let (runtime, traffic, settings) = (admin.runtime.clone(), admin.traffic.clone(), Arc::clone(settings));
    // Runs once on each worker's thread, which thereby gets its actors.
    let service = move || {
        let WorkerContext { number, auth, tools } = runtime.start_here(&settings);
        let app = http::app(Worker {
            number,
            sessions: runtime.sessions().clone(),
            chats: runtime.chats(),
            runtime: runtime.clone(),
            auth,
            tools,
            bodies: bodies.clone(),
            known_host: KnownHost::default(),
            guest: guest.clone(),
            settings: Arc::clone(&settings),
        });
        connections::serve(app, limits, traffic.clone())
    };
    Ok(builder(workers, max).listen("clients", listener, service)?.run())
}

fn serve_operators(listener: TcpListener, admin: &Admin, settings: &Settings) -> io::Result<actix_server::Server> {
    let (admin, names, limits) = (admin.clone(), settings.admin.clone(), limits(MAX_ADMIN, settings));
    let service = move || {
        let app = http::admin_app(admin.clone(), names.clone());
        connections::serve(app, limits, Traffic::default())
    };
    Ok(builder(1, 2 * MAX_ADMIN).listen("admin", listener, service)?.run())
}

fn limits(per_worker: usize, settings: &Settings) -> Limits {
    Limits { request: settings.tuning.request, keep_alive: settings.server.keep_alive, per_worker }
}

/// Returns a server whose workers have so many connections at most each.
fn builder(workers: usize, max_connections: usize) -> ServerBuilder {
    let builder = actix_server::Server::build().workers(workers).max_concurrent_connections(max_connections);
    builder.shutdown_timeout(1).disable_signals()
}

/// Raises the limit of open files to what the system allows, and returns it.
fn raise_file_limit() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        log::warn!("the limit of open files can't be raised: {error}");
        rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(1024, |(soft, _)| soft)
    });
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Number of connections that each worker may have where so many files may be open. The upstream, the store and the logs
/// need some as well: at most half of all.
fn max_connections(files: usize, workers: usize, settings: &Settings) -> usize {
    let tuning = &settings.tuning;
    let upstream = tuning.max_calls_per_worker.saturating_mul(workers).saturating_add(tuning.max_reads);
    let reserved = upstream.saturating_add(OTHER_FILES).min(files / 2);
    ((files - reserved) / workers.max(1)).clamp(16, MAX_PER_WORKER)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn connections_leave_files_for_the_rest() {
        let settings = load(&Sources::default()).unwrap();
        let upstream = settings.tuning.max_calls_per_worker * 4 + settings.tuning.max_reads;
        for (files, workers, expected) in [
            // Few files are halved.
            (1024, 4, 128),
            (4096, 4, 512),
            (65_536, 4, (65_536 - upstream - OTHER_FILES) / 4),
            // Memory is a limit, too.
            (1_048_576, 4, MAX_PER_WORKER),
            (usize::MAX, 1, MAX_PER_WORKER),
            (20, 4, 16),
        ] {
            assert_eq!(max_connections(files, workers, &settings), expected, "{files} files, {workers} workers");
        }
    }
}
