//! The connection to Redis: kept up in the background, asked with short patience, and given up at once while it is down.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, Instant},
};

use metrics::gauge;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult};
use tokio::{
    runtime::{self, Handle},
    sync::watch,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    address::{Address, cannot_open},
    connection::Connector,
    keys::Keys,
    script::{Call, Request, Script},
    tls::TlsFiles,
};
use crate::{
    metrics::count_store,
    store::{StoreError, StoreFuture, Trouble},
};

/// Time between two signs of life of this server, which also show whether Redis takes writes.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// The same while it does not.
pub(super) const HEARTBEAT_IN_TROUBLE: Duration = Duration::from_millis(200);

/// How long after its last beat a server counts as dead.
const HEARTBEAT_TTL: Duration = Duration::from_secs(5);

/// Beats in a row that have to go well before Redis counts as back: one that comes and goes must not fill the log.
const GOOD_BEATS: u32 = 3;

/// The newest format of the keys.
const FORMAT: i64 = 1;

static BEAT_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/beat.lua")));

/// Connection to Redis, shared by all commands. Cheap to clone.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    connector: Connector,
    keys: Keys,
    /// Everything that has to do with Redis runs on one thread.
    runtime: Handle,
    /// Latest trouble in the words of Redis, for those who watch.
    trouble: watch::Sender<Option<String>>,
    /// Good beats since the last bad one.
    good_beats: AtomicU32,
    /// True once the current trouble is logged, so that it is logged once.
    is_told: AtomicBool,
    /// Redis has been usable since this server started.
    was_up: AtomicBool,
    /// True once Redis was seen to have a newer format.
    is_newer: AtomicBool,
    /// How long a command may take, and a connection. Nothing waits longer for Redis than this.
    timeout: Duration,
    /// Where Redis is, without the password.
    place: String,
    /// This server among those that share the store, drawn anew at each start.
    replica: String,
    /// Servers that lived at the last beat, this one among them.
    replicas: watch::Sender<Arc<[String]>>,
    /// Number of them; one while Redis is away. Read with each call of a tool, unlike the list.
    count: AtomicUsize,
}

impl Link {
    /// Connects. Without an answer it goes on trying, and is in trouble until it has one.
    ///
    /// # Errors
    /// [`StoreError::Open`] for a URL that can't be used, [`StoreError::TlsFile`] for a file that can't be.
    pub(super) fn open(url: &str, files: TlsFiles<'_>, timeout: Duration) -> Result<Self, StoreError> {
        let address = Address::parse(url, files)?;
        let (place, keys) = (address.to_string(), Keys::new(address.is_cluster(), address.database()));
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| cannot_open(&error))?;
        let connector = Connector::new(address, timeout).map_err(|error| cannot_open(&error))?;
        let link = Self(Arc::new(Inner {
            connector,
            keys,
            runtime: runtime.handle().clone(),
            trouble: watch::Sender::new(Some("it has not been asked yet".to_owned())),
            good_beats: AtomicU32::new(0),
            is_told: AtomicBool::new(false),
            was_up: AtomicBool::new(false),
            is_newer: AtomicBool::new(false),
            timeout,
            place,
            replica: Uuid::new_v4().to_string(),
            replicas: watch::Sender::new(Arc::default()),
            count: AtomicUsize::new(1),
        }));
        let (first, has_beaten) = sync_channel(1);
        let beating = link.clone();
        let worker = thread::Builder::new().name("redis".to_owned()).spawn(move || {
            runtime.block_on(async {
                beating.beat().await;
                // The start may have lost its patience meanwhile.
                let _ = first.send(());
                loop {
                    sleep(if beating.details().is_some() { HEARTBEAT_IN_TROUBLE } else { HEARTBEAT }).await;
                    beating.beat().await;
                }
            });
        });
        worker.map_err(|error| cannot_open(&error))?;
        // With Redis there, the first request is not to be refused; without, the start is not to hang.
        let _ = has_beaten.recv_timeout(timeout + HEARTBEAT);
        Ok(link)
    }

    /// This server among those that share the store.
    pub(super) fn replica(&self) -> &str {
        &self.0.replica
    }

    /// Returns the servers that share the store and have given a sign of life lately.
    pub(super) fn replicas(&self) -> Arc<[String]> {
        Arc::clone(&self.0.replicas.borrow())
    }

    /// Returns how many these are, this one among them; one while Redis is away.
    pub(super) fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Returns the names of keys and channels.
    pub(super) fn keys(&self) -> Keys {
        self.0.keys
    }

    /// Returns how long a request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Returns what makes connections.
    pub(super) fn connector(&self) -> &Connector {
        &self.0.connector
    }

    /// Returns the runtime on which work with Redis runs.
    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Returns the current trouble in the words of Redis, for an operator.
    pub(super) fn details(&self) -> Option<String> {
        self.0.trouble.borrow().clone()
    }

    /// Returns the current trouble in neutral words.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.0.trouble.borrow().as_ref()?;
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        Some(match (is(&self.0.is_newer), is(&self.0.was_up)) {
            (true, _) => Trouble::Newer,
            (false, true) => Trouble::Away,
            (false, false) => Trouble::NeverReached,
        })
    }

    /// Checks that the thread of the connection still runs. Beats find out whether Redis answers.
    pub(super) fn check(&self) -> StoreFuture<()> {
        let task = self.0.runtime.spawn(async {});
        Box::pin(async { task.await.map_err(|_gone| StoreError::Stopped) })
    }

    /// Has Redis run a script, unless it is known that it can't.
    pub(super) fn run<T>(
        &self,
        operation: &'static str,
        script: &'static Script,
        keys: Vec<String>,
        arguments: Vec<Vec<u8>>,
    ) -> StoreFuture<T>
    where
        T: FromRedisValue + Send + 'static,
    {
        self.ask(operation, Request::Script(Call { script, keys, arguments }))
    }

    /// Has Redis do a command, unless it is known that it can't.
    pub(super) fn command<T>(&self, operation: &'static str, command: Cmd) -> StoreFuture<T>
    where
        T: FromRedisValue + Send + 'static,
    {
        self.ask(operation, Request::Command(command))
    }

    fn ask<T>(&self, operation: &'static str, request: Request) -> StoreFuture<T>
    where
        T: FromRedisValue + Send + 'static,
    {
        let (link, asked) = (self.clone(), Instant::now());
        // A task, not the caller's future: a client that gives up cancels no command, and news can be told without
        // waiting for them.
        let task = self.0.runtime.spawn(async move {
            // Refused at once while Redis is known to be away. Each request would wait for the timeout otherwise.
            let outcome = if let Some(trouble) = link.details() {
                Err(trouble)
            } else {
                let outcome = link.0.connector.ask(&request, true).await.map_err(|error| link.explain(&error));
                // Commands that follow need not wait for the same. The beat finds out when it is over. One slot of a cluster
                // tells nothing of the others, so there the beat alone decides.
                outcome.inspect_err(|trouble| {
                    if !link.0.keys.are_tagged() {
                        link.note(Some(trouble.clone()));
                    }
                })
            };
            count_store(operation, outcome.is_ok(), asked.elapsed());
            outcome.map_err(StoreError::Failed)
        });
        Box::pin(async { task.await.unwrap_or(Err(StoreError::Stopped)) })
    }

    /// Tells Redis that this server lives, and sees whether Redis can be used.
    async fn beat(&self) {
        let Inner { keys, replica, .. } = &*self.0;
        let arguments = [FORMAT.to_string(), HEARTBEAT_TTL.as_millis().to_string()];
        let keys = vec![keys.format(), keys.replica(replica), keys.replicas()];
        let arguments = arguments.into_iter().chain([replica.clone()]).map(String::into_bytes).collect();
        let call = Call { script: &BEAT_SCRIPT, keys, arguments };
        // While Redis is away each beat is an attempt.
        let answer = self.0.connector.ask::<(i64, Vec<String>)>(&Request::Script(call), self.details().is_none()).await;
        let answer = answer.map_err(|error| self.explain(&error));
        // A later version is being rolled out. This one can't know what it would break in the newer format.
        self.0.is_newer.store(answer.as_ref().is_ok_and(|(found, _)| *found > FORMAT), Ordering::Relaxed);
        let (trouble, replicas) = match answer {
            Ok((found, _)) if found > FORMAT => {
                let (path, known) = (self.0.place.clone(), FORMAT);
                (Some(StoreError::Newer { path, found, known }.to_string()), Vec::new())
            }
            Ok((_, replicas)) => (None, replicas),
            Err(trouble) => (Some(trouble), Vec::new()),
        };
        self.note(trouble);
        self.note_replicas(replicas);
    }

    /// Notes the servers that live, as far as a beat has told. What was known of them stays while Redis is away.
    fn note_replicas(&self, replicas: Vec<String>) {
        // Without Redis this server can't count with others. It counts with them again once Redis has been good for some beats, since
        // a limit that changes its parts with each beat would be none.
        let count = if self.details().is_some() { 1 } else { replicas.len().max(1) };
        if self.0.count.swap(count, Ordering::Relaxed) != count {
            log::info!("servers that share the limits of users: {count}");
        }
        if !replicas.is_empty() {
            self.0.replicas.send_replace(replicas.into());
        }
    }

    /// Waits for an answer of Redis, as long as its time lasts.
    pub(super) async fn in_time<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
        match timeout(self.0.timeout, answer).await {
            Ok(answer) => answer.map_err(|error| self.explain(&error)),
            Err(_elapsed) => Err(self.silence()),
        }
    }

    /// Returns an error in words for an operator.
    fn explain(&self, error: &RedisError) -> String {
        if error.is_timeout() { self.silence() } else { error.to_string() }
    }

    fn silence(&self) -> String {
        format!("it does not answer within {} ms", self.0.timeout.as_millis())
    }

    /// Notes trouble, or a good beat. The beginning of trouble is logged once, and so is its end after enough good beats.
    fn note(&self, trouble: Option<String>) {
        let Inner { good_beats, is_told, was_up, place, .. } = &*self.0;
        let good = match &trouble {
            Some(_) => {
                good_beats.store(0, Ordering::Relaxed);
                0
            }
            None => good_beats.fetch_add(1, Ordering::Relaxed).saturating_add(1),
        };
        // The first good beat of all counts at once, as the start waits for it.
        if trouble.is_none() && was_up.load(Ordering::Relaxed) && good < GOOD_BEATS {
            return;
        }
        was_up.fetch_or(trouble.is_none(), Ordering::Relaxed);
        gauge!("mcp_store_up").set(u8::from(trouble.is_none()));
        self.0.trouble.send_if_modified(|known| {
            let (was_told, is_new) = (is_told.swap(trouble.is_some(), Ordering::Relaxed), *known != trouble);
            match &trouble {
                Some(trouble) if !was_told => log::error!("{place} can't be used, which is tried again: {trouble}"),
                Some(trouble) if is_new => log::debug!("{place} can't be used: {trouble}"),
                None if is_new => log::info!("sessions are kept in {place}"),
                _ => {}
            }
            *known = trouble;
            is_new
        });
    }
}
