//! Traces over OTLP, in programs that are built with the feature `otlp`.

use std::error::Error;

use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use crate::failure::WrongArguments;

/// What exports spans. Dropping it exports those that are left.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

/// Where a collector takes traces, below its own address.
const PATH: &str = "/v1/traces";
const SERVICE: &str = "tidings";

// === impl Traces ===

impl Traces {
    /// Exports to a collector over HTTP, from a thread of its own.
    pub(crate) fn to(endpoint: &str) -> Result<Self, Box<dyn Error>> {
        // What the HTTP client of the exporter wants for `https://`; where somebody has said it before, that is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}{PATH}", endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| {
                WrongArguments::new(format!(
                    "failed to set `otlp-endpoint`: {error}; an address is like `http://127.0.0.1:4318`"
                ))
            })?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name(SERVICE).build())
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Self(provider))
    }

    pub(crate) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer(SERVICE))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "failed to export the last spans");
        }
    }
}
