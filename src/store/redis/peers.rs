//! The other servers at the same Redis: news by its channels, and the events of sessions' streams in its streams.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use redis::{Cmd, streams::StreamRangeReply};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep},
};

use super::{
    link::{HEARTBEAT, HEARTBEAT_IN_TROUBLE, Link},
    script::Script,
};
use crate::{
    ids::{SessionId, UserKey},
    protocol::json,
    store::{Cursor, ReplicaBus, ReplicaEvent, SentEvent, SharedEventLog, StoreError, StoreFuture},
};

static LOG: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/log.lua")));

/// News that may wait to be taken.
const WAITING: usize = 1024;

/// The other servers at the same Redis. Cheap to clone.
#[derive(Clone)]
pub(super) struct Peers {
    link: Link,
    room: LogLimits,
}

/// How much of the events of a session is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Events that a session's log holds at most.
    pub events: usize,
    /// Bytes of their messages that it holds at most.
    pub bytes: usize,
    /// How long after the last of them.
    pub ttl: Duration,
}

#[derive(Serialize, Deserialize)]
struct Envelope<N> {
    from: String,
    news: N,
}

impl Peers {
    pub(super) fn new(link: Link, room: LogLimits) -> Self {
        Self { link, room }
    }

    fn envelope(&self, news: &ReplicaEvent) -> String {
        json::to_string(&Envelope { from: self.replica().to_owned(), news })
    }

    /// Returns the channel of news for all and the text of one, as scripts publish them. On a cluster, where no script reaches
    /// another slot, the channel is empty and [`announce`](Self::announce) is what tells.
    pub(super) fn published(&self, news: &ReplicaEvent) -> [String; 2] {
        let keys = self.link.keys();
        if keys.are_tagged() { [String::new(), String::new()] } else { [keys.news(), self.envelope(news)] }
    }

    /// Tells news once a script has done what they are about, where the script itself can't.
    pub(super) fn announce<T: Send + 'static>(
        &self,
        news: ReplicaEvent,
        done: StoreFuture<T>,
        is_true: fn(&T) -> bool,
    ) -> StoreFuture<T> {
        if !self.link.keys().are_tagged() {
            return done;
        }
        let peers = self.clone();
        // A task, not the caller's future, so that news follow even where a client gives up in between.
        let task = self.link.runtime().spawn(async move {
            let outcome = done.await?;
            if is_true(&outcome)
                && let Err(trouble) = peers.tell(&news).await
            {
                // Servers lose their subscriptions where this fails, and look for what they missed when they have them back.
                log::debug!("other servers are not told: {trouble}");
            }
            Ok(outcome)
        });
        Box::pin(async { task.await.unwrap_or(Err(StoreError::Stopped)) })
    }

    fn publish(&self, channel: String, news: &ReplicaEvent) -> StoreFuture<()> {
        let mut publish = Cmd::new();
        // Sharded channels (Redis 7) are the business of one node; others would go to all nodes of a cluster.
        publish.arg(if self.link.keys().are_tagged() { "SPUBLISH" } else { "PUBLISH" });
        publish.arg(channel).arg(self.envelope(news));
        self.link.command("tell", publish)
    }

    /// Passes news on until the connection breaks.
    async fn listen(&self, news: &mpsc::Sender<ReplicaEvent>) -> Result<(), String> {
        let keys = self.link.keys();
        let channels = [keys.news(), keys.news_for(self.replica())];
        let mut subscription = self.link.in_time(self.link.connector().subscribe(&channels)).await?;
        // Pub/sub keeps nothing for a server that was away, so each connection begins with the word that something may
        // be missed. It is told after subscribing: news in between are then heard twice rather than never.
        let _ = news.send(ReplicaEvent::Missed).await;
        let (mut beat, mut heard) = (interval(HEARTBEAT), Instant::now());
        loop {
            tokio::select! {
                envelope = subscription.next() => {
                    heard = Instant::now();
                    match serde_json::from_slice::<Envelope<ReplicaEvent>>(&envelope?) {
                        Ok(Envelope { from, news: told }) if from != self.replica() => {
                            let _ = news.send(told).await;
                        }
                        // Channels bring a server its own news as well, of which it knows.
                        Ok(_own) => {}
                        // A later version may have more to tell.
                        Err(error) => log::debug!("news that can't be read: {error}"),
                    }
                }
                // A connection that is dead on the other side shows in nothing else.
                _ = beat.tick() => {
                    self.link.in_time(subscription.ping()).await?;
                    if keys.are_tagged() {
                        if heard.elapsed() > self.link.timeout() + 2 * HEARTBEAT {
                            return Err("nothing was heard, not even from this server".to_owned());
                        }
                        // A slot may leave a node that still answers, so this server hears whether it hears itself.
                        drop(self.tell_one(self.replica(), &ReplicaEvent::Missed));
                    }
                }
            }
        }
    }
}

impl ReplicaBus for Peers {
    fn replica(&self) -> &str {
        self.link.replica()
    }

    fn is_alive(&self, replica: &str) -> StoreFuture<bool> {
        self.link.command("is_alive", Cmd::exists(self.link.keys().replica(replica)))
    }

    fn tell(&self, news: &ReplicaEvent) -> StoreFuture<()> {
        self.publish(self.link.keys().news(), news)
    }

    fn tell_one(&self, replica: &str, news: &ReplicaEvent) -> StoreFuture<()> {
        self.publish(self.link.keys().news_for(replica), news)
    }

    fn hear(&self) -> mpsc::Receiver<ReplicaEvent> {
        let (news, heard) = mpsc::channel(WAITING);
        let peers = self.clone();
        self.link.runtime().spawn(async move {
            while !news.is_closed() {
                if let Err(trouble) = peers.listen(&news).await {
                    log::debug!("no news from other servers: {trouble}");
                }
                // A Redis that refuses connections at once would keep this thread busy, which all commands run on.
                sleep(HEARTBEAT_IN_TROUBLE).await;
            }
        });
        heard
    }
}

impl SharedEventLog for Peers {
    fn append(&self, session: SessionId, owner: &UserKey, event: SentEvent) -> StoreFuture<()> {
        let LogLimits { events, bytes, ttl } = self.room;
        let request = json::to_string(&event.request);
        // An id may be as long as the body that it came in.
        if request.len() + event.message.len() > bytes {
            // The others need not go for one that can't stay.
            return Box::pin(async { Ok(()) });
        }
        let numbers = [events.to_string(), bytes.to_string(), ttl.as_millis().to_string()];
        let SentEvent { stream, place, replica, message, is_end, .. } = event;
        let texts = [stream.to_string(), place.to_string(), replica, request];
        let keys = self.link.keys();
        let end = if is_end { "1" } else { "" };
        let mut arguments: Vec<Vec<u8>> = numbers.into_iter().chain(texts).map(String::into_bytes).collect();
        arguments.extend([message.to_vec(), end.into()]);
        self.link.run("log", &LOG, vec![keys.session(owner, session), keys.events(owner, session)], arguments)
    }

    fn read(&self, session: SessionId, owner: &UserKey, since: Cursor) -> StoreFuture<(Vec<SentEvent>, Cursor)> {
        let read = Cmd::xrange(self.link.keys().events(owner, session), since.0.as_deref().unwrap_or("-"), "+");
        let read = self.link.command::<StreamRangeReply>("sent", read);
        Box::pin(async {
            let reply = read.await?;
            // `(` leaves out the entry itself (XRANGE, since Redis 6.2).
            let last = reply.ids.last().map(|entry| Cursor(Some(format!("({}", entry.id))));
            let events = reply.ids.iter().map(|entry| sent_event(&entry.map)).collect::<Option<_>>();
            let events = events.ok_or_else(|| StoreError::Failed("its events can't be read".to_owned()))?;
            Ok((events, last.unwrap_or(since)))
        })
    }
}

fn sent_event(fields: &HashMap<String, redis::Value>) -> Option<SentEvent> {
    let bytes = |name: &str| redis::from_redis_value_ref::<Vec<u8>>(fields.get(name)?).ok();
    let text = |name: &str| String::from_utf8(bytes(name)?).ok();
    Some(SentEvent {
        stream: text("s")?.parse().ok()?,
        place: text("p")?.parse().ok()?,
        replica: text("r")?,
        request: serde_json::from_str(&text("i")?).ok()?,
        message: bytes("m")?.into(),
        is_end: text("e")? == "1",
    })
}
