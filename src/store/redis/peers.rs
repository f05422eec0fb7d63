//! The other servers that share the store: news for them and from them, and what was sent on the streams of sessions, so
//! that one server can go on with what another began.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use redis::{Script, streams::StreamRangeReply};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{interval, sleep},
};

use super::{
    keys,
    link::{BEAT, BEAT_IN_TROUBLE, Link},
};
use crate::{
    ids::SessionId,
    protocol::{json, jsonrpc::RequestId},
    store::{News, StoreError, StoreFuture},
};

static LOG: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/log.lua")));

/// News that may wait to be taken.
const WAITING: usize = 1024;

/// The other servers that share the store. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    link: Link,
    room: Room,
}

/// How much of the events of a session is kept.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Events that a session's log holds at most.
    pub events: usize,
    /// Bytes of their messages that it holds at most.
    pub bytes: usize,
    /// How long after the last of them.
    pub lasting: Duration,
}

/// Event on the stream that answers a request, as other servers read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentEvent {
    /// Number of the stream within its session.
    pub stream: u64,
    /// Place of the event on its stream, from 1.
    pub place: u64,
    /// The server that answers the request.
    pub replica: String,
    /// Id of the request that the stream answers.
    pub request: RequestId,
    /// The message; none in an event that only tells its place.
    pub message: Bytes,
    /// Marks the end of the stream, and is no event itself.
    pub is_end: bool,
}

/// How far the events of a session were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Default for Cursor {
    fn default() -> Self {
        Self("-".to_owned())
    }
}

#[derive(Serialize, Deserialize)]
struct Letter<N> {
    from: String,
    news: N,
}

impl Peers {
    pub(super) fn new(link: Link, room: Room) -> Self {
        Self { link, room }
    }

    /// Returns the name of this server among them, a new one at each start.
    #[must_use]
    pub fn replica(&self) -> &str {
        self.link.replica()
    }

    /// Returns whether a server has given a sign of life lately.
    #[must_use]
    pub fn is_alive(&self, replica: &str) -> StoreFuture<bool> {
        self.link.command("is_alive", redis::Cmd::exists(keys::replica(replica)))
    }

    /// Publishes an event to all other servers.
    #[must_use]
    pub fn tell(&self, news: &News) -> StoreFuture<()> {
        let (channel, letter) = self.letter(news);
        self.link.command("tell", redis::Cmd::publish(channel, letter))
    }

    /// Publishes an event to one other server.
    #[must_use]
    pub fn tell_one(&self, replica: &str, news: &News) -> StoreFuture<()> {
        let channel = keys::news_for(self.link.database(), replica);
        let (_, letter) = self.letter(news);
        self.link.command("tell", redis::Cmd::publish(channel, letter))
    }

    /// Returns the channel of news for all, and the text of one.
    pub(super) fn letter(&self, news: &News) -> (String, String) {
        let letter = Letter { from: self.replica().to_owned(), news };
        (keys::news(self.link.database()), json::to_string(&letter))
    }

    /// Hears of the others from now on.
    #[must_use]
    pub fn hear(&self) -> mpsc::Receiver<News> {
        let (news, heard) = mpsc::channel(WAITING);
        let peers = self.clone();
        self.link.runtime().spawn(async move {
            while !news.is_closed() {
                if let Err(trouble) = peers.listen(&news).await {
                    log::debug!("no news from other servers: {trouble}");
                }
                // A Redis that refuses connections at once would keep this thread busy, which all commands run on.
                sleep(BEAT_IN_TROUBLE).await;
            }
        });
        heard
    }

    /// Passes news on until the connection breaks.
    async fn listen(&self, news: &mpsc::Sender<News>) -> Result<(), String> {
        let channels = [keys::news(self.link.database()), keys::news_for(self.link.database(), self.replica())];
        let (mut sink, mut letters) = self.link.in_time(self.link.client().get_async_pubsub()).await?.split();
        self.link.in_time(sink.subscribe(&channels[..])).await?;
        // Pub/sub keeps nothing for a server that was away, so each connection begins with the word that something may
        // be missed. It is told after subscribing: news in between are then heard twice rather than never.
        let _ = news.send(News::Missed).await;
        let mut beat = interval(BEAT);
        loop {
            tokio::select! {
                letter = letters.next() => {
                    let Some(letter) = letter else { return Err("the connection has ended".to_owned()) };
                    match serde_json::from_slice::<Letter<News>>(letter.get_payload_bytes()) {
                        Ok(Letter { from, news: told }) if from != self.replica() => {
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

    /// Logs an event, for clients that lose the stream and come back elsewhere.
    #[must_use]
    pub fn log(&self, session: SessionId, event: SentEvent) -> StoreFuture<()> {
        let Room { events, bytes, lasting } = self.room;
        if event.message.len() > bytes {
            // The others need not go for one that can't stay.
            return Box::pin(async { Ok(()) });
        }
        let numbers = [events.to_string(), bytes.to_string(), lasting.as_millis().to_string()];
        let SentEvent { stream, place, replica, request, message, is_end } = event;
        let texts = [stream.to_string(), place.to_string(), replica, json::to_string(&request)];
        let end = if is_end { "1" } else { "" };
        let mut arguments: Vec<Vec<u8>> = numbers.into_iter().chain(texts).map(String::into_bytes).collect();
        arguments.extend([message.to_vec(), end.into()]);
        self.link.run("log", &LOG, &[keys::session(session), keys::events(session)], arguments)
    }

    /// Returns the events of a session's streams since the last read, oldest first, and the position to read on from.
    #[must_use]
    pub fn sent(&self, session: SessionId, since: Cursor) -> StoreFuture<(Vec<SentEvent>, Cursor)> {
        let read = redis::Cmd::xrange(keys::events(session), &since.0, "+");
        let read = self.link.command::<StreamRangeReply>("sent", read);
        Box::pin(async {
            let reply = read.await?;
            // `(` leaves out the entry itself (XRANGE, since Redis 6.2).
            let last = reply.ids.last().map(|entry| Cursor(format!("({}", entry.id)));
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
