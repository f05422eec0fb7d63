//! The spans as OpenTelemetry has them, and their way to the collector.

use std::{fmt, sync::OnceLock, time::Duration};

use opentelemetry::{
    KeyValue, Value,
    trace::{
        Link, Span as _, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{self as sdk, SdkTracer, SdkTracerProvider, SpanData},
};

use super::context::{Context, Place, SpanKind};

/// How long the collector may take for a batch, at the end for all that is left.
const TIMEOUT: Duration = Duration::from_secs(5);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends spans to a collector, on a thread of its own, in batches. Dropped, it sends what is left.
#[derive(Debug)]
pub struct TraceExporter(SdkTracerProvider);

impl TraceExporter {
    /// Begins to tell the collector at `endpoint`, by OTLP over HTTP.
    ///
    /// # Errors
    /// Where the endpoint is no URL.
    pub fn start(endpoint: &str) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()?;
        // The environment may say more of this process: OTEL_RESOURCE_ATTRIBUTES, and OTEL_SERVICE_NAME.
        let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let resource = match Resource::builder().build().get(&"service.name".into()) {
            Some(name) if !name.as_str().starts_with("unknown_service") => resource,
            _ => resource.with_service_name(env!("CARGO_PKG_NAME")),
        };
        let provider =
            SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(Telling(exporter)).build();
        TRACER.get_or_init(|| provider.tracer(env!("CARGO_PKG_NAME")));
        Ok(Self(provider))
    }
}

impl Drop for TraceExporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(TIMEOUT) {
            log::warn!("the last spans did not reach the collector: {error}");
        }
    }
}

/// An exporter whose failures are logged.
#[derive(Debug)]
struct Telling(SpanExporter);

impl sdk::SpanExporter for Telling {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.0.export(batch).await.inspect_err(|error| {
            log::warn!("{count} spans did not reach the collector: {error}");
        })
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// A span of which the collector will be told.
#[derive(Debug)]
pub(super) struct Live(sdk::Span);

/// Begins a span, if there is a collector; gives its place, too.
pub(super) fn begin(kind: SpanKind, parent: &Context, name: fmt::Arguments<'_>) -> Option<(Live, Context)> {
    let tracer = TRACER.get()?;
    let kind = match kind {
        SpanKind::Server => opentelemetry::trace::SpanKind::Server,
        SpanKind::Client => opentelemetry::trace::SpanKind::Client,
        SpanKind::Internal => opentelemetry::trace::SpanKind::Internal,
    };
    let mut builder = tracer.span_builder(name.to_string()).with_kind(kind);
    let current = Context::current();
    if let Some(place) = current.0.as_deref().filter(|_| current != *parent) {
        builder = builder.with_links(vec![Link::with_context(place.into())]);
    }
    let around = match parent.0.as_deref() {
        Some(place) => opentelemetry::Context::new().with_remote_span_context(place.into()),
        None => opentelemetry::Context::new(),
    };
    let span = tracer.build_with_context(builder, &around);
    let context = Context(Some(Place::from(span.span_context()).into()));
    Some((Live(span), context))
}

impl Live {
    pub(super) fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(key, value));
    }

    pub(super) fn fail(&mut self, why: String) {
        self.0.set_attribute(KeyValue::new("error.type", why.clone()));
        self.0.set_status(Status::error(why));
    }
}

impl From<&Place> for SpanContext {
    fn from(place: &Place) -> Self {
        SpanContext::new(
            TraceId::from(place.trace),
            SpanId::from(place.span),
            TraceFlags::new(place.flags),
            true,
            // What can't be read there is nothing that a trace depends on.
            place.state.parse::<TraceState>().unwrap_or_default(),
        )
    }
}

impl From<&SpanContext> for Place {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8(),
            state: context.trace_state().header(),
        }
    }
}
