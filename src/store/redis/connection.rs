//! The connection to Redis that all requests share. It is made when it is wanted, and made anew once it is found to be broken or
//! to lead to a server that is no longer the master.

use std::{io, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind,
    aio::MultiplexedConnection, cluster_async::ClusterConnection, sentinel::SentinelClient,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{address::Address, cluster::Cluster, script::Request, subscription::Subscription};

/// Time between two attempts of one request.
const PAUSE: Duration = Duration::from_millis(50);

/// Shared connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    backend: Backend,
    current: Arc<Mutex<Current>>,
    /// How long a request may take with all its attempts.
    timeout: Duration,
}

/// Client by which connections are made.
enum Backend {
    Single(Box<Client>),
    /// The lock is held while Sentinels are asked.
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Box<Cluster>),
}

/// Connection in use, and the count of those before it.
#[derive(Default)]
struct Current {
    number: u64,
    connection: Option<Connection>,
}

#[derive(Clone)]
enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connector {
    /// Returns a connection to be made, by which requests take this long at most.
    ///
    /// # Errors
    /// An error of the client, for addresses that don't go together.
    pub(super) fn new(address: Address, timeout: Duration) -> RedisResult<Self> {
        let backend = match address {
            Address::Single(client) => Backend::Single(client),
            Address::Sentinel(address) => Backend::Sentinel(Box::new(Mutex::new(address.client()?))),
            Address::Cluster(cluster) => Backend::Cluster(cluster),
        };
        Ok(Self(Arc::new(Inner { backend, current: Arc::default(), timeout })))
    }

    /// Sends a request until it is answered, its time is over, or it fails by what another attempt would not mend. Only with
    /// `again` there is more than one attempt.
    ///
    /// A request whose answer is lost may have been carried out, so every script and command that writes must bear to be run
    /// twice.
    pub(super) async fn ask<T: FromRedisValue>(&self, request: &Request, again: bool) -> RedisResult<T> {
        let until = Instant::now() + self.0.timeout;
        loop {
            let answer = self.attempt(request, until).await;
            let is_over = !again || Instant::now() + PAUSE >= until;
            if is_over || !answer.as_ref().is_err_and(may_pass) {
                return answer;
            }
            sleep(PAUSE).await;
        }
    }

    async fn attempt<T: FromRedisValue>(&self, request: &Request, until: Instant) -> RedisResult<T> {
        let connection = timeout_at(until, self.current()).await;
        let (number, mut connection) = connection.unwrap_or_else(|_elapsed| Err(timed_out()))?;
        // Another server may have taken over from one that hangs; a single one has none to take over.
        let until = match self.0.backend {
            Backend::Single(_) => until,
            Backend::Sentinel(_) | Backend::Cluster(_) => until.min(Instant::now() + self.0.timeout / 3),
        };
        let answer = timeout_at(until, connection.answer(request)).await;
        let answer = answer.unwrap_or_else(|_elapsed| Err(timed_out()));
        if answer.as_ref().is_err_and(breaks) {
            self.give_up(number).await;
        }
        answer
    }

    /// Returns the connection in use and its number, which is made if there is none.
    async fn current(&self) -> RedisResult<(u64, Connection)> {
        let mut current = Arc::clone(&self.0.current).lock_owned().await;
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        let connector = self.clone();
        // A task, since a request may end before the connection is made that the next one needs.
        let made = tokio::spawn(async move {
            // Sentinels have no limit of their own, and a cluster's nodes have one each.
            let made = timeout(2 * connector.0.timeout, connector.connect()).await;
            let made = made.unwrap_or_else(|_elapsed| Err(timed_out()))?;
            current.number += 1;
            current.connection = Some(made.clone());
            Ok((current.number, made))
        });
        made.await.unwrap_or_else(|gone| Err(io::Error::other(gone).into()))
    }

    async fn connect(&self) -> RedisResult<Connection> {
        if let Backend::Cluster(cluster) = &self.0.backend {
            return cluster.connect(self.0.timeout).await.map(Connection::Cluster);
        }
        // Each attempt has a limit already.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.0.timeout)).set_response_timeout(None);
        let client = self.client().await?;
        client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Server)
    }

    /// Returns a client of the master.
    async fn client(&self) -> RedisResult<Client> {
        match &self.0.backend {
            Backend::Single(client) => Ok((**client).clone()),
            Backend::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await,
            Backend::Cluster(_) => Err((ErrorKind::Client, "a cluster has several masters").into()),
        }
    }

    /// Has the next request make a new connection, unless that was done already.
    async fn give_up(&self, number: u64) {
        let mut current = self.0.current.lock().await;
        if current.number == number {
            current.connection = None;
        }
    }

    /// Subscribes to channels by a connection of its own. On a cluster they must be of one slot.
    pub(super) async fn subscribe(&self, channels: &[String]) -> RedisResult<Subscription> {
        match &self.0.backend {
            Backend::Cluster(cluster) => Subscription::on_cluster(cluster.builder(self.0.timeout), channels).await,
            Backend::Single(_) | Backend::Sentinel(_) => Subscription::on_server(&self.client().await?, channels).await,
        }
    }
}

impl Connection {
    async fn answer<T: FromRedisValue>(&mut self, request: &Request) -> RedisResult<T> {
        let call = match request {
            Request::Command(command) => return self.query(command).await,
            Request::Script(call) => call,
        };
        match self.query(&call.by_hash()).await {
            // A server that was restarted or promoted has not seen the script. `EVAL` shows it to this server alone;
            // `SCRIPT LOAD` goes to all of a cluster, and fails where one of them is away.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&call.by_code()).await
            }
            outcome => outcome,
        }
    }

    async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Server(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

fn timed_out() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// Returns whether a request may succeed if it is sent again soon: while a replica takes over from its master, and after a
/// connection broke.
fn may_pass(error: &RedisError) -> bool {
    use ServerErrorKind as Server;
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::MasterNameNotFoundBySentinel => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            Server::ReadOnly
                | Server::Moved
                | Server::Ask
                | Server::TryAgain
                | Server::ClusterDown
                | Server::MasterDown
                | Server::BusyLoading
        ),
        _ => false,
    }
}

/// Returns whether an error is the connection's: it is broken, or leads to a server that is a replica now.
fn breaks(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::AuthenticationFailed | ErrorKind::ClusterConnectionNotFound => {
            true
        }
        ErrorKind::Server(kind) => kind == ServerErrorKind::ReadOnly,
        _ => false,
    }
}
