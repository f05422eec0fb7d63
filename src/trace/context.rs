//! Places in traces, as they are passed on from process to process and from task to task.

use std::{
    fmt::{self, Display},
    sync::Arc,
};

/// The header, and the member of `_meta`, that names the place in a trace (W3C Trace Context § 3.2).
pub const TRACEPARENT: &str = "traceparent";
/// The header, and the member of `_meta`, for what tracing systems add to it (W3C Trace Context § 3.3).
pub const TRACESTATE: &str = "tracestate";

/// Longest `tracestate` that is taken along, in bytes: what others must take at least.
const MAX_STATE: usize = 512;

/// Flags that are known: sampled, and drawn at random (W3C Trace Context Level 2 § 3.2.2.5).
const FLAGS: u8 = 0b11;

tokio::task_local! {
    static CURRENT: Context;
}

/// A place in a trace, or nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(pub(super) Option<Arc<Place>>);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) flags: u8,
    pub(super) state: String,
}

impl Context {
    /// Reads the two texts by which a context is passed on. What is malformed is as good as missing.
    #[must_use]
    pub fn read(parent: &str, state: Option<&str>) -> Self {
        let sound = |state: &&str| state.len() <= MAX_STATE && state.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let state = state.map(str::trim).filter(sound).unwrap_or_default().to_owned();
        Self(Place::read(parent.trim(), state).map(Arc::new))
    }

    /// Returns the context of the task at hand.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Returns whether the context belongs to no trace.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        self.0.is_none()
    }

    /// Runs a future within this context.
    pub fn around<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Returns the headers that pass the context on.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let place = self.0.as_deref();
        let parent = place.map(|place| (TRACEPARENT, place.to_string()));
        let state = place.filter(|place| !place.state.is_empty()).map(|place| (TRACESTATE, place.state.clone()));
        parent.into_iter().chain(state)
    }
}

impl Place {
    /// Reads a `traceparent`. A later version may have more at its end (W3C Trace Context § 4.3).
    fn read(parent: &str, state: String) -> Option<Self> {
        let bytes = parent.as_bytes();
        let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let part = |from: usize, to: usize| parent.get(from..to).filter(|part| is_hex(part));
        let version = part(0, 2).filter(|version| *version != "ff")?;
        let has_dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        let ends = match bytes.get(55) {
            None => true,
            Some(next) => version != "00" && *next == b'-',
        };
        let trace = u128::from_str_radix(part(3, 35)?, 16).ok()?;
        let span = u64::from_str_radix(part(36, 52)?, 16).ok()?;
        let flags = u8::from_str_radix(part(53, 55)?, 16).ok()? & FLAGS;
        (has_dashes && ends && trace != 0 && span != 0).then_some(Self { trace, span, flags, state })
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Span kind, as in OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Answers a request of another process.
    Server,
    /// Sends a request to another process.
    Client,
    /// Stays within this process.
    Internal,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn passed_on(parent: &str, state: Option<&str>) -> Vec<String> {
        Context::read(parent, state).headers().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn a_sound_context_is_passed_on() {
        let parent = format!("traceparent: {PARENT}");
        assert_eq!(passed_on(PARENT, None), std::slice::from_ref(&parent));
        assert_eq!(passed_on(PARENT, Some(" a=1,b=2 ")), [parent.clone(), "tracestate: a=1,b=2".to_owned()]);
        // Of what is not understood there, the rest is still good.
        assert_eq!(passed_on(&format!("cc{}-more", &PARENT[2..]), None), std::slice::from_ref(&parent));
        assert_eq!(passed_on(&PARENT.replace("-01", "-f1"), None), [parent]);
    }

    #[test]
    fn what_is_malformed_is_left_out() {
        let zero_trace = PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let zero_span = PARENT.replace("b7ad6b7169203331", &"0".repeat(16));
        let longer = format!("{PARENT}-more");
        let upper = PARENT.to_uppercase();
        let version = PARENT.replacen("00", "ff", 1);
        let sign = PARENT.replace("-0af", "-+af");
        for parent in ["", "00", &zero_trace, &zero_span, &longer, &upper, &version, &sign, &"é".repeat(40)] {
            assert_eq!(passed_on(parent, Some("a=1")), Vec::<String>::new(), "{parent}");
        }
        for state in ["a=\n1", "a=é", &"a".repeat(MAX_STATE + 1), " "] {
            assert_eq!(passed_on(PARENT, Some(state)).len(), 1, "{state:?}");
        }
    }

    #[tokio::test]
    async fn a_task_has_the_context_that_it_was_given() {
        let context = Context::read(PARENT, None);
        assert!(Context::current().is_nowhere());
        let seen = context.clone().around(async {
            tokio::task::yield_now().await;
            Context::current()
        });
        assert_eq!(seen.await, context);
    }
}
