//! The connection to Redis: kept up in the background, asked with short patience, and given up at once while it is down.

use std::{
    sync::{Arc, LazyLock, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

use redis::{
    Client, Cmd, FromRedisValue, RedisResult, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::{
    runtime::{self, Handle},
    sync::watch,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::keys;
use crate::{
    metrics::count_store,
    store::{StoreError, StoreFuture},
};

/// How often Redis is told that this server lives, which also shows whether Redis takes what it is given.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// The same while it does not.
pub(super) const BEAT_IN_TROUBLE: Duration = Duration::from_millis(200);

/// How long after its last beat a server counts as dead.
const LIFE: Duration = Duration::from_secs(5);

/// The newest format of the keys.
const FORMAT: i64 = 1;

static BEAT_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/beat.lua")));

/// A connection that is shared by all who ask. Cheap to clone.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    client: Client,
    connection: ConnectionManager,
    /// Everything that has to do with Redis runs on one thread.
    runtime: Handle,
    /// What is wrong, if something is.
    trouble: watch::Sender<Option<String>>,
    /// How long a command may take, and a connection. Nothing waits longer for Redis than this.
    patience: Duration,
    /// Where Redis is, without the password.
    place: String,
    /// This server among those that share the store, drawn anew at each start.
    replica: String,
}

impl Link {
    /// Connects. Without an answer it goes on trying, and is in trouble until it has one.
    ///
    /// # Errors
    /// [`StoreError::Open`] for a URL that can't be used.
    pub(super) fn open(url: &str, patience: Duration) -> Result<Self, StoreError> {
        // The URL may hold a password.
        let failed = |reason: String| StoreError::Open { path: "store.url".to_owned(), reason };
        let client = Client::open(url).map_err(|error| failed(error.to_string()))?;
        let info = client.get_connection_info();
        let place = format!("redis at {}/{}", info.addr(), info.redis_settings().db());
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let connection = {
            let _on = runtime.enter();
            client.get_connection_manager_lazy(config).map_err(|error| failed(error.to_string()))?
        };
        let link = Self(Arc::new(Inner {
            client,
            connection,
            runtime: runtime.handle().clone(),
            trouble: watch::Sender::new(Some("it has not been asked yet".to_owned())),
            patience,
            place,
            replica: Uuid::new_v4().to_string(),
        }));
        let (first, has_beaten) = sync_channel(1);
        let beating = link.clone();
        let worker = thread::Builder::new().name("redis".to_owned()).spawn(move || {
            runtime.block_on(async {
                beating.beat().await;
                // Who waited for it may have lost patience.
                let _ = first.send(());
                loop {
                    sleep(if beating.trouble().is_some() { BEAT_IN_TROUBLE } else { BEAT }).await;
                    beating.beat().await;
                }
            });
        });
        worker.map_err(|error| failed(error.to_string()))?;
        // With Redis there, the first request is not to be refused; without, the start is not to hang.
        let _ = has_beaten.recv_timeout(patience + BEAT);
        Ok(link)
    }

    /// This server among those that share the store.
    pub(super) fn replica(&self) -> &str {
        &self.0.replica
    }

    /// The number of the database, which channels of Redis know nothing of.
    pub(super) fn database(&self) -> i64 {
        self.0.client.get_connection_info().redis_settings().db()
    }

    /// For connections of its own.
    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    /// Where what concerns Redis runs.
    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// What is wrong, if something is.
    pub(super) fn trouble(&self) -> Option<String> {
        self.0.trouble.borrow().clone()
    }

    /// Has Redis run a script, unless it is known that it can't.
    pub(super) fn run<T>(
        &self,
        operation: &'static str,
        script: &'static Script,
        keys: &[String],
        arguments: Vec<Vec<u8>>,
    ) -> StoreFuture<T>
    where
        T: FromRedisValue + Send + 'static,
    {
        let keys = keys.to_vec();
        self.ask(operation, move |mut connection| async move {
            let mut call = script.prepare_invoke();
            call.key(keys).arg(arguments);
            call.invoke_async(&mut connection).await
        })
    }

    /// Has Redis do a command, unless it is known that it can't.
    pub(super) fn command<T>(&self, operation: &'static str, command: Cmd) -> StoreFuture<T>
    where
        T: FromRedisValue + Send + 'static,
    {
        self.ask(operation, move |mut connection| async move { command.query_async(&mut connection).await })
    }

    fn ask<T, F, R>(&self, operation: &'static str, job: F) -> StoreFuture<T>
    where
        T: Send + 'static,
        F: FnOnce(ConnectionManager) -> R + Send + 'static,
        R: Future<Output = RedisResult<T>> + Send,
    {
        let (link, asked) = (self.clone(), Instant::now());
        let task = self.0.runtime.spawn(async move {
            let outcome = if let Some(trouble) = link.trouble() {
                Err(trouble)
            } else {
                let outcome = link.in_time(job(link.0.connection.clone())).await;
                // Those who come next need not wait for the same; the beat finds out when it is over.
                outcome.inspect_err(|trouble| link.note(Some(trouble.clone())))
            };
            count_store(operation, outcome.is_ok(), asked.elapsed());
            outcome.map_err(StoreError::Failed)
        });
        Box::pin(async { task.await.unwrap_or_else(|_gone| Err(StoreError::Failed("it has stopped".to_owned()))) })
    }

    /// Tells Redis that this server lives, and sees whether Redis can be used.
    async fn beat(&self) {
        let mut connection = self.0.connection.clone();
        let mut call = BEAT_SCRIPT.key(keys::FORMAT);
        call.key(keys::replica(&self.0.replica)).arg(FORMAT).arg(LIFE.as_millis());
        let trouble = match self.in_time(call.invoke_async::<i64>(&mut connection)).await {
            Ok(found) if found > FORMAT => {
                let (path, known) = (self.0.place.clone(), FORMAT);
                Some(StoreError::Newer { path, found, known }.to_string())
            }
            Ok(_) => None,
            Err(trouble) => Some(trouble),
        };
        self.note(trouble);
    }

    /// Waits for an answer of Redis, as long as patience lasts.
    pub(super) async fn in_time<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
        match timeout(self.0.patience, answer).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_elapsed) => Err(format!("it does not answer within {} ms", self.0.patience.as_millis())),
        }
    }

    /// Remembers what is wrong, and logs what is new of it.
    fn note(&self, trouble: Option<String>) {
        let place = &self.0.place;
        self.0.trouble.send_if_modified(|known| {
            let is_new = *known != trouble;
            match &trouble {
                _ if !is_new => {}
                Some(trouble) => log::error!("{place} can't be used, which is tried again: {trouble}"),
                None => log::info!("sessions are kept in {place}"),
            }
            *known = trouble;
            is_new
        });
    }
}
