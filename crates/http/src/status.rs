use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use tidings_protocol::ProblemKind;

use crate::Face;
use crate::problem::Refusal;

/// The process serves.
pub(crate) fn health(_: &Face) -> Response {
    alive()
}

pub(crate) fn alive() -> Response {
    plain("ok\n".into(), "text/plain; charset=utf-8")
}

/// The log takes writes, and the hub is not shutting down.
pub(crate) fn ready(face: &Face) -> Response {
    if face.draining.is_cancelled() {
        return Refusal::new(ProblemKind::Unavailable, "the hub is shutting down").into_response();
    }
    match face.hub.ready() {
        Ok(()) => plain("ready\n".into(), "text/plain; charset=utf-8"),
        Err(error) => Refusal::new(ProblemKind::Unavailable, error.to_string()).into_response(),
    }
}

/// The metrics, in the text format of Prometheus, or in that of OpenMetrics where it is asked for. They differ in
/// their names here, and in the last line, which the older one takes for a comment.
pub(crate) fn metrics(face: &Face, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = if accept.contains("application/openmetrics-text") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    plain(face.metrics.text(&face.hub), media_type)
}

fn plain(text: String, media_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
