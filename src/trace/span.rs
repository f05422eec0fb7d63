//! Pieces of work, of which a collector is told where there is one.

use std::fmt::{self, Display};

#[cfg(feature = "otel")]
use super::otel;
use super::{Context, SpanKind};

/// A piece of work. Dropped, it is over.
#[derive(Debug)]
pub struct Span {
    context: Context,
    #[cfg(feature = "otel")]
    live: Option<otel::Live>,
}

impl Span {
    /// Work that begins, for whoever is at `parent`. Where that is not the task's own place, the two are linked.
    #[must_use]
    pub fn begin(kind: SpanKind, parent: Context, name: fmt::Arguments<'_>) -> Self {
        #[cfg(feature = "otel")]
        if let Some((live, context)) = otel::begin(kind, &parent, name) {
            return Self { context, live: Some(live) };
        }
        // Nobody is told of it, so that its place is its parent's.
        let _ = (kind, name);
        Self {
            context: parent,
            #[cfg(feature = "otel")]
            live: None,
        }
    }

    /// Returns the place in which its parts are.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// Adds what is worth knowing of it.
    pub fn note(&mut self, key: &'static str, value: impl Display) {
        #[cfg(feature = "otel")]
        if let Some(live) = &mut self.live {
            live.note(key, value.to_string());
        }
        let _ = (key, value);
    }

    /// Notes a number on the span.
    pub fn count(&mut self, key: &'static str, number: u32) {
        #[cfg(feature = "otel")]
        if let Some(live) = &mut self.live {
            live.note(key, i64::from(number));
        }
        let _ = (key, number);
    }

    /// Says that it failed, in our own words: others' may tell of anything.
    pub fn fail(&mut self, why: impl Display) {
        #[cfg(feature = "otel")]
        if let Some(live) = &mut self.live {
            live.fail(why.to_string());
        }
        let _ = why;
    }
}
