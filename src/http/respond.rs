//! The response to a request: plain JSON when it is there soon, else an event stream with comments that keep it open, word
//! of progress where the client asked for it, and the response at its end.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use actix_web::HttpResponse;
use actix_web_lab::sse;
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::time::{Interval, interval_at};

use super::{headers::Accepts, post::Post, reply};
use crate::{
    error::Error,
    protocol::{
        jsonrpc::{self, RequestId},
        revision::Era,
    },
};

/// How a client wants to be answered.
pub(super) struct Manner {
    era: Era,
    accepts: Accepts,
    /// How long to wait before JSON becomes a stream.
    after: Duration,
    keep_alive: Duration,
    progress: Option<Progress>,
}

struct Progress {
    token: RequestId,
    every: Duration,
}

impl Manner {
    /// The manner of a POST.
    pub(super) fn of(post: &Post, era: Era, progress_token: Option<RequestId>) -> Self {
        let streams = &post.worker.settings.streams;
        Self {
            era,
            accepts: post.accepts,
            after: streams.after,
            keep_alive: streams.keep_alive,
            progress: progress_token.map(|token| Progress { token, every: streams.progress }),
        }
    }

    /// Whether the stream begins before anything is known of the answer.
    pub(super) fn streams_at_once(&self) -> bool {
        self.accepts.events && (self.progress.is_some() || !self.accepts.json)
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Vec<Bytes>, Error>>>>;

/// Responds to the request `id` with the result that `answer` comes to.
///
/// # Errors
/// Those of the answer, as long as no stream has begun; then they are its last event.
pub(super) async fn respond(
    id: RequestId,
    answer: impl Future<Output = Result<Vec<Bytes>, Error>> + 'static,
    manner: Manner,
) -> Result<HttpResponse, Error> {
    let begun = Instant::now();
    let mut answer: Answer = Box::pin(answer);
    if !manner.streams_at_once() {
        let soon = if manner.accepts.events {
            tokio::time::timeout(manner.after, &mut answer).await.ok()
        } else {
            Some(answer.as_mut().await)
        };
        if let Some(result) = soon {
            return Ok(reply::json(jsonrpc::result_response(&id, result?)));
        }
    }
    let running = Running { id, answer, begun, ticks: manner.progress.map(Ticks::new), era: manner.era };
    Ok(reply::events(running.events(), manner.keep_alive))
}

/// A request whose answer is awaited on a stream.
struct Running {
    id: RequestId,
    answer: Answer,
    begun: Instant,
    ticks: Option<Ticks>,
    era: Era,
}

/// When to tell of progress, and under which token.
struct Ticks {
    token: RequestId,
    interval: Interval,
}

impl Ticks {
    fn new(Progress { token, every }: Progress) -> Self {
        Self { token, interval: interval_at(tokio::time::Instant::now() + every, every) }
    }

    async fn next(ticks: &mut Option<Self>) -> RequestId {
        match ticks {
            None => std::future::pending().await,
            Some(ticks) => {
                ticks.interval.tick().await;
                ticks.token.clone()
            }
        }
    }
}

impl Running {
    fn events(self) -> impl Stream<Item = sse::Event> {
        stream::unfold(Some(self), async |running| {
            let mut running = running?;
            tokio::select! {
                biased;
                answer = &mut running.answer => Some((running.last(answer)?, None)),
                token = Ticks::next(&mut running.ticks) => {
                    let progress = jsonrpc::progress(&token, running.begun.elapsed());
                    Some((reply::message(&[progress]), Some(running)))
                }
            }
        })
    }

    /// The last event: the response, or none where the client has cancelled the request.
    fn last(&self, answer: Result<Vec<Bytes>, Error>) -> Option<sse::Event> {
        match answer {
            Ok(result) => Some(reply::message(&jsonrpc::result_response(&self.id, result))),
            Err(Error::Cancelled) => None,
            Err(error) => Some(reply::message(&[jsonrpc::error_response(Some(&self.id), &error, self.era)])),
        }
    }
}
