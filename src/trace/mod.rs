//! Traces: in which one something is done, and what a collector of OpenTelemetry is told of it.
//!
//! A request brings its [`Context`] along, in its headers or its `_meta`, and what is asked of the upstream for it takes it
//! further. That needs no collector. With one (`telemetry.otlp_endpoint`, in builds with the feature `otel`) each [`Span`] is
//! a place of its own in the trace, and the collector is told of it when it ends. Within a future the context is that of the
//! task; from actor to actor a [`Caller`](crate::membrane::Caller) takes it along.

mod context;
#[cfg(feature = "otel")]
mod otel;
mod span;

pub use context::{Context, SpanKind, TRACEPARENT, TRACESTATE};
#[cfg(feature = "otel")]
pub use otel::TraceExporter;
pub use span::Span;
