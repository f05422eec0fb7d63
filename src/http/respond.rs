//! The response to a request: plain JSON when it is there soon, else an event stream with comments that keep it open, word
//! of progress where the client asked for it, and the response at its end.
//!
//! Plain JSON is what every client can read: some bound the size of an event, and large lists and outputs are beyond it.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, web::Data};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Interval, interval_at};

use super::{headers::Accepts, panics, posted::Post, reply, worker::Worker};
use crate::{
    chunks::{Chunk, into_bytes},
    config::Tuning,
    error::Error,
    protocol::{
        error_object::ErrorObject,
        jsonrpc::{self, RequestId},
        revision::Era,
    },
};

/// How a client wants to be answered.
pub(super) struct ResponseMode {
    era: Era,
    accepts: Accepts,
    progress_token: Option<RequestId>,
    /// Whether the answer may take long enough for a stream.
    may_stream: bool,
    worker: Data<Worker>,
}

impl ResponseMode {
    /// Returns how the client of a POST wants to be answered about a call, which may take long.
    pub(super) fn of_call(post: &Post, era: Era, progress_token: Option<RequestId>) -> Self {
        let worker = post.worker.clone();
        Self { era, accepts: post.accepts, progress_token, may_stream: true, worker }
    }

    /// Returns how the client of a POST wants to be answered about anything else, such as a list. There is nothing to tell
    /// of it before it is there.
    pub(super) fn of_other(post: &Post, era: Era) -> Self {
        let worker = post.worker.clone();
        Self { era, accepts: post.accepts, progress_token: None, may_stream: false, worker }
    }

    /// Returns whether the stream begins before anything is known of the answer.
    pub(super) fn streams_at_once(&self) -> bool {
        !self.accepts.json
    }

    /// Returns whether the answer becomes a stream where it is not there soon.
    fn streams_if_late(&self) -> bool {
        self.may_stream && self.accepts.events
    }
}

/// Answer that is still awaited.
pub(super) type PendingAnswer = Pin<Box<dyn Future<Output = Result<Vec<Chunk>, Error>>>>;

/// Returns an answer to be awaited, of which a panic is an error: once a stream has begun, nothing else could tell the client.
///
/// It goes on the heap where it is made. The futures through which it is handed on would each have room for it.
pub(super) fn pending(answer: impl Future<Output = Result<Vec<Chunk>, Error>> + 'static) -> PendingAnswer {
    Box::pin(panics::or_internal(answer))
}

/// State of a request when its response begins.
pub(super) enum Response {
    /// Answered in full, so that the response is whole.
    Ready(HttpResponse),
    /// Still running: its messages go on a stream as they come.
    Running(Running),
}

impl Response {
    /// Returns the response itself: who closes its stream, cancels the request.
    pub(super) fn into_response(self) -> HttpResponse {
        match self {
            Self::Ready(response) => response,
            Self::Running(running) => running.into_response(),
        }
    }
}

/// Waits for the result that `answer` comes to, as long as the client's mode of response allows.
///
/// # Errors
/// Those of the answer, as long as no stream has begun; then they are its last event.
pub(super) async fn respond(
    id: RequestId,
    answer: PendingAnswer,
    response_mode: ResponseMode,
) -> Result<Response, Error> {
    let (waits, streams_if_late) = (!response_mode.streams_at_once(), response_mode.streams_if_late());
    let ResponseMode { era, accepts, progress_token, worker, .. } = response_mode;
    let tuning = &worker.settings.tuning;
    let mut running = Running::new(id, answer, progress_token, era, tuning);
    if waits && let Some(answer) = &mut running.answer {
        let soon = match streams_if_late {
            true => tokio::time::timeout(tuning.stream_after, answer).await.ok(),
            false => Some(answer.await),
        };
        if let Some(result) = soon {
            let message = jsonrpc::result_response(&running.id, result?);
            return Ok(Response::Ready(reply::answer(message, accepts).await));
        }
    }
    Ok(Response::Running(running))
}

/// A request whose answer is still awaited.
pub(super) struct Running {
    id: RequestId,
    /// Gone when the answer has come.
    answer: Option<PendingAnswer>,
    begun: Instant,
    ticks: Option<Ticks>,
    era: Era,
    keep_alive: Duration,
}

/// When to tell of progress, and under which token.
struct Ticks {
    token: RequestId,
    interval: Interval,
}

impl Ticks {
    fn new(token: RequestId, every: Duration) -> Self {
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
    /// Returns a request that comes to `answer`.
    pub(super) fn new(
        id: RequestId,
        answer: PendingAnswer,
        progress_token: Option<RequestId>,
        era: Era,
        tuning: &Tuning,
    ) -> Self {
        Self {
            id,
            answer: Some(answer),
            begun: Instant::now(),
            ticks: progress_token.map(|token| Ticks::new(token, tuning.progress)),
            era,
            keep_alive: tuning.stream_keep_alive,
        }
    }

    /// Returns the id of the request.
    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }

    /// Returns the next message: word of progress, and at last the response; that is missing where the client has
    /// cancelled the request.
    pub(super) async fn next(&mut self) -> Option<Vec<Bytes>> {
        let answer = self.answer.as_mut()?;
        let result = tokio::select! {
            biased;
            result = answer => result,
            token = Ticks::next(&mut self.ticks) => return Some(vec![jsonrpc::progress(&token, self.begun.elapsed().as_secs_f64())]),
        };
        self.answer = None;
        match result {
            Ok(result) => Some(into_bytes(jsonrpc::result_response(&self.id, result))),
            Err(Error::Cancelled) => None,
            Err(error) => Some(vec![jsonrpc::error_response(Some(&self.id), &ErrorObject::of(&error, self.era))]),
        }
    }

    fn into_response(self) -> HttpResponse {
        let keep_alive = self.keep_alive;
        let messages = stream::unfold(self, async |mut running| Some((running.next().await?, running)));
        reply::events(messages.map(|message| reply::message(&message)), keep_alive)
    }
}
