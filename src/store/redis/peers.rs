//! The other servers at the same Redis: news by its channels, and the events of sessions' streams in its streams.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use futures_util::StreamExt;
use redis::{Script, streams::StreamRangeReply};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{interval, sleep},
};

use super::{
    keys,
    link::{HEARTBEAT, HEARTBEAT_IN_TROUBLE, Link},
};
use crate::{
    ids::SessionId,
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

    /// Returns the channel of news for all, and the text of one.
    pub(super) fn envelope(&self, news: &ReplicaEvent) -> (String, String) {
        let envelope = Envelope { from: self.replica().to_owned(), news };
        (keys::news(self.link.database()), json::to_string(&envelope))
    }

    /// Passes news on until the connection breaks.
    async fn listen(&self, news: &mpsc::Sender<ReplicaEvent>) -> Result<(), String> {
        let channels = [keys::news(self.link.database()), keys::news_for(self.link.database(), self.replica())];
        let (mut sink, mut envelopes) = self.link.in_time(self.link.client().get_async_pubsub()).await?.split();
        self.link.in_time(sink.subscribe(&channels[..])).await?;
        // Pub/sub keeps nothing for a server that was away, so each connection begins with the word that something may
        // be missed. It is told after subscribing: news in between are then heard twice rather than never.
        let _ = news.send(ReplicaEvent::Missed).await;
        let mut beat = interval(HEARTBEAT);
        loop {
            tokio::select! {
                envelope = envelopes.next() => {
                    let Some(envelope) = envelope else { return Err("the connection has ended".to_owned()) };
                    match serde_json::from_slice::<Envelope<ReplicaEvent>>(envelope.get_payload_bytes()) {
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
                _ = beat.tick() => self.link.in_time(sink.ping::<redis::Value>()).await.map(|_| ())?,
            }
        }
    }
}

impl ReplicaBus for Peers {
    fn replica(&self) -> &str {
        self.link.replica()
    }

    fn is_alive(&self, replica: &str) -> StoreFuture<bool> {
        self.link.command("is_alive", redis::Cmd::exists(keys::replica(replica)))
    }

    fn tell(&self, news: &ReplicaEvent) -> StoreFuture<()> {
        let (channel, envelope) = self.envelope(news);
        self.link.command("tell", redis::Cmd::publish(channel, envelope))
    }

    fn tell_one(&self, replica: &str, news: &ReplicaEvent) -> StoreFuture<()> {
        let channel = keys::news_for(self.link.database(), replica);
        let (_, envelope) = self.envelope(news);
        self.link.command("tell", redis::Cmd::publish(channel, envelope))
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
    fn append(&self, session: SessionId, event: SentEvent) -> StoreFuture<()> {
        let LogLimits { events, bytes, ttl } = self.room;
        if event.message.len() > bytes {
            // The others need not go for one that can't stay.
            return Box::pin(async { Ok(()) });
        }
        let numbers = [events.to_string(), bytes.to_string(), ttl.as_millis().to_string()];
        let SentEvent { stream, place, replica, request, message, is_end } = event;
        let texts = [stream.to_string(), place.to_string(), replica, json::to_string(&request)];
        let end = if is_end { "1" } else { "" };
        let mut arguments: Vec<Vec<u8>> = numbers.into_iter().chain(texts).map(String::into_bytes).collect();
        arguments.extend([message.to_vec(), end.into()]);
        self.link.run("log", &LOG, &[keys::session(session), keys::events(session)], arguments)
    }

    fn read(&self, session: SessionId, since: Cursor) -> StoreFuture<(Vec<SentEvent>, Cursor)> {
        let read = redis::Cmd::xrange(keys::events(session), since.0.as_deref().unwrap_or("-"), "+");
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
