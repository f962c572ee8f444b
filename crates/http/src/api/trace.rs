//! Spans of requests, for traces over OTLP. Without the feature `otlp` there are none.

use axum::extract::Request;
use axum::response::Response;
use tracing::Span;

/// The span of a request, up to the head of its answer. It continues the trace that the request names, where it names
/// one (`traceparent`, W3C trace context).
#[cfg(feature = "otlp")]
pub(crate) fn of_request(request: &Request, route: &str) -> Span {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    let route = route.replace("{*topic}", "{topic}");
    let span = tracing::info_span!(
        target: "tidings::trace",
        "request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        http.route = route,
        url.path = crate::api::access::shown_path(request.uri().path()),
        http.response.status_code = tracing::field::Empty,
    );
    let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&Headers(request.headers()))
    });
    // Where nobody exports, there is nothing to continue.
    let _ = span.set_parent(parent);
    span
}

/// See the other one.
#[cfg(not(feature = "otlp"))]
pub(crate) fn of_request(_: &Request, _: &str) -> Span {
    Span::none()
}

/// Notes in the span of a request how it was answered.
pub(crate) fn answered(span: &Span, response: &Response) {
    span.record("http.response.status_code", response.status().as_u16());
}

/// The span of an append to the log, which waits until the batch is durable.
pub(crate) fn of_append(events: usize) -> Span {
    if cfg!(feature = "otlp") {
        tracing::info_span!(target: "tidings::trace", "append", events)
    } else {
        Span::none()
    }
}

/// The fields of a request, to find a trace in.
#[cfg(feature = "otlp")]
struct Headers<'a>(&'a http::HeaderMap);

#[cfg(feature = "otlp")]
impl opentelemetry::propagation::Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
