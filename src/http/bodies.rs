//! Bodies of requests as they arrive: how large each may be, in what time, and how much of them all is kept at once.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{
    HttpRequest,
    http::header::{CONTENT_LENGTH, HeaderValue},
    web::Payload,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use metrics::counter;
use tokio::time::timeout;

use crate::{
    config::Tuning, error::Error, gathering, http::error::HttpError, ids::UserKey, membrane::pool::Pool, protocol::json,
};

/// Part of each body that counts for nothing, so that most requests share no count with others.
const FREE_BYTES: usize = 64 * 1024;

/// Divides what is free into what one sender may have: a sender alone gets a quarter of all, and the last one to come
/// always finds something.
const SHARES: usize = 3;

/// Depth to which the JSON of a body may be nested: what reads it stops there in any case.
const MAX_DEPTH: usize = 128;

/// Bytes of bodies that have begun to arrive. Cheap to clone, and the same on every thread.
#[derive(Debug, Clone)]
pub struct PendingBodies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    /// Locked for each part of a large body, which takes far longer to arrive.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    /// By sender; none is Membrane, which sends webhooks.
    by_sender: HashMap<Option<UserKey>, usize>,
}

/// Share of the bytes that one body takes. Dropped, it is free again.
#[derive(Debug)]
struct BodyShare {
    of: PendingBodies,
    sender: Option<UserKey>,
    arrived: usize,
    counted: usize,
}

/// A body that has arrived whole. It keeps its share until it is read, as many may wait for that.
pub(super) struct Arrived {
    bytes: Bytes,
    _share: BodyShare,
}

impl Deref for Arrived {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PendingBodies {
    /// Returns a budget of so many bytes for bodies that are arriving.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { limit, counts: Mutex::default() }))
    }

    /// Reads a body, if it is no larger than any may be, in the time that it may take. `sender` is the user that sends it, or none
    /// for Membrane.
    ///
    /// # Errors
    /// [`HttpError::TooSlow`], [`HttpError::BodyTooLarge`], [`Error::InvalidRequest`] where it is nested too deep, and
    /// [`HttpError::TooManyBytes`] or [`HttpError::Busy`] where too much arrives at once.
    pub(super) async fn read(
        &self,
        http: &HttpRequest,
        payload: Payload,
        sender: Option<&UserKey>,
        tuning: &Tuning,
        pool: &Pool,
    ) -> Result<Arrived, HttpError> {
        let announced = http.headers().get(CONTENT_LENGTH).map(HeaderValue::to_str);
        let announced = announced.and_then(|length| length.ok()?.parse().ok()).unwrap_or_default();
        let collected = collect(payload, announced, self.hold(sender), tuning.max_body_bytes);
        let collected = timeout(tuning.request, collected);
        let body = collected.await.map_err(|_elapsed| HttpError::TooSlow)??;
        let bytes = body.len();
        let look = move || (json::is_deeper_than(&body, MAX_DEPTH), body);
        let (is_too_deep, body) = pool.run(bytes, look).await.ok_or(Error::Internal)?;
        if is_too_deep {
            return Err(Error::InvalidRequest(format!("the body is nested more than {MAX_DEPTH} deep")).into());
        }
        Ok(body)
    }

    fn hold(&self, sender: Option<&UserKey>) -> BodyShare {
        BodyShare { of: self.clone(), sender: sender.cloned(), arrived: 0, counted: 0 }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        // Nothing panics while the lock is held that would leave the counts half changed.
        change(&mut self.0.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl BodyShare {
    /// Counts bytes that have arrived.
    ///
    /// # Errors
    /// [`HttpError::TooManyBytes`] where the sender's own requests take too much, [`HttpError::Busy`] where those of all do.
    fn add(&mut self, bytes: usize) -> Result<(), HttpError> {
        self.arrived += bytes;
        let more = self.arrived.saturating_sub(FREE_BYTES) - self.counted;
        if more == 0 {
            return Ok(());
        }
        let limit = self.of.0.limit;
        let is_there_room = self.of.change(|counts| {
            let sum = counts.by_sender.get(&self.sender).copied().unwrap_or(0) + more;
            let free = limit.saturating_sub(counts.total + more);
            if sum > free / SHARES {
                return Err(sum - more > self.counted);
            }
            counts.total += more;
            counts.by_sender.insert(self.sender.clone(), sum);
            Ok(())
        });
        if let Err(has_others) = is_there_room {
            counter!("mcp_limited_total", "limit" => "body_bytes").increment(1);
            return Err(if has_others { HttpError::TooManyBytes } else { HttpError::Busy });
        }
        self.counted += more;
        Ok(())
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        if self.counted == 0 {
            return;
        }
        self.of.change(|counts| {
            counts.total = counts.total.saturating_sub(self.counted);
            if let Some(sum) = counts.by_sender.get_mut(&self.sender) {
                *sum = sum.saturating_sub(self.counted);
                if *sum == 0 {
                    counts.by_sender.remove(&self.sender);
                }
            }
        });
    }
}

/// Collects a body of `announced` bytes, of which there may be no more than `limit`.
async fn collect(
    mut payload: Payload,
    announced: usize,
    mut held: BodyShare,
    limit: usize,
) -> Result<Arrived, HttpError> {
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(|broken| HttpError::BadRequest(format!("the body can't be read: {broken}")))?;
        if part.len() > limit - body.len() {
            return Err(HttpError::BodyTooLarge { limit });
        }
        held.add(part.len())?;
        gathering::append(&mut body, &part, announced.min(limit));
    }
    Ok(Arrived { bytes: body.freeze(), _share: held })
}

#[cfg(test)]
mod tests {
    use actix_web::{FromRequest as _, test::TestRequest};

    use super::*;

    const MB: usize = 1 << 20;

    fn user(name: &str) -> UserKey {
        UserKey::new("w", name)
    }

    /// Bodies of 10 MB that arrive in parts, up to the first that is refused.
    fn flood(bodies: &PendingBodies, sender: &str) -> (Vec<BodyShare>, HttpError) {
        let mut held = Vec::new();
        loop {
            let mut body = bodies.hold(Some(&user(sender)));
            for _ in 0..10 {
                if let Err(error) = body.add(MB) {
                    return (held, error);
                }
            }
            held.push(body);
        }
    }

    #[test]
    fn a_sender_alone_gets_a_quarter() {
        let bodies = PendingBodies::new(256 * MB);
        let (held, error) = flood(&bodies, "ann");
        assert_eq!((held.len(), error), (6, HttpError::TooManyBytes));
    }

    #[test]
    fn whoever_comes_last_finds_room() {
        let bodies = PendingBodies::new(256 * MB);
        let floods: Vec<_> = (0..10).map(|n| flood(&bodies, &format!("user {n}"))).collect();
        assert!(floods.iter().all(|(_, error)| matches!(error, HttpError::TooManyBytes | HttpError::Busy)));
        let mut honest = bodies.hold(Some(&user("bob")));
        for _ in 0..5 {
            honest.add(MB).unwrap();
        }
    }

    #[test]
    fn what_has_arrived_whole_or_broke_off_counts_no_more() {
        let bodies = PendingBodies::new(256 * MB);
        drop(flood(&bodies, "ann"));
        bodies.change(|counts| assert_eq!((counts.total, counts.by_sender.len()), (0, 0)));
        assert_eq!(flood(&bodies, "ann").0.len(), 6);
    }

    #[actix_web::test]
    async fn a_body_keeps_its_share_until_it_is_read() {
        let bodies = PendingBodies::new(256 * MB);
        let (http, mut payload) = TestRequest::post().set_payload(vec![b' '; 2 * MB]).to_http_parts();
        let payload = Payload::from_request(&http, &mut payload).await.unwrap();
        let arrived = bodies.read(&http, payload, None, &Tuning::default(), &Pool::default()).await.unwrap();
        assert_eq!(arrived.len(), 2 * MB);
        bodies.change(|counts| assert_eq!(counts.total, 2 * MB - FREE_BYTES));
        drop(arrived);
        bodies.change(|counts| assert_eq!(counts.total, 0));
    }

    #[test]
    fn small_bodies_take_nothing() {
        let bodies = PendingBodies::new(MB);
        let mut small = bodies.hold(None);
        small.add(FREE_BYTES).unwrap();
        bodies.change(|counts| assert_eq!(counts.total, 0));
        small.add(1).unwrap();
        bodies.change(|counts| assert_eq!(counts.total, 1));
    }

    #[test]
    fn all_together_never_take_more_than_there_is() {
        let bodies = PendingBodies::new(64 * MB);
        let floods: Vec<_> = (0..1000).map(|n| flood(&bodies, &format!("user {n}"))).collect();
        bodies.change(|counts| assert!(counts.total <= 64 * MB, "{}", counts.total));
        assert!(floods.iter().any(|(_, error)| *error == HttpError::Busy));
    }
}
