use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use tidings_protocol::ProblemKind;

use crate::Api;
use crate::api::problem::{Answer, Refusal};
use crate::metrics::Format;

/// The process serves.
pub(crate) fn health(_: &Api) -> Response {
    alive()
}

pub(crate) fn alive() -> Response {
    plain("ok\n".into(), "text/plain; charset=utf-8")
}

/// The log takes writes, and the hub is not shutting down.
pub(crate) fn ready(api: &Api) -> Response {
    if api.draining.is_cancelled() {
        return Refusal::new(ProblemKind::Unavailable, "the hub is shutting down").into_response();
    }
    match api.hub.ready() {
        Ok(()) => plain("ready\n".into(), "text/plain; charset=utf-8"),
        Err(error) => {
            tracing::debug!(%error, "told that the hub is not ready");
            Refusal::no_writes().into_response()
        }
    }
}

/// The metrics, in the text format of Prometheus, or in that of OpenMetrics where it is asked for.
pub(crate) async fn metrics(api: &Api, parts: &Parts) -> Answer {
    api.auth.access(parts, &api.config.cors).await?.metrics()?;
    let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = if accept.contains("application/openmetrics-text") {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    };
    let dropped_log_lines = api.dropped_log_lines.map_or(0, |dropped| dropped());
    Ok(plain(api.metrics.text(&api.hub, dropped_log_lines, format), format.media_type()))
}

/// What the hub offers, as OpenAPI describes it.
pub(crate) fn description() -> Response {
    plain(include_str!("openapi.json").into(), "application/json")
}

fn plain(text: String, media_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
