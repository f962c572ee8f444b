use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tidings_hub::{Folding, Subscription};

use crate::api::problem::Refusal;
use crate::api::query::ReadOptions;
use crate::api::read::Reader;
use crate::api::reply::Reply;
use crate::delivery::frames::{Form, Frames};
use crate::delivery::parking::{Interest, NewReader, Shape, ticks};
use crate::metrics::Transport;
use crate::{Api, defaults};

/// A stream of events (§3.2, §3.3).
pub(crate) fn answer(
    api: &Api,
    parts: &Parts,
    form: Form,
    subscription: &Subscription,
    options: &ReadOptions,
    returning: bool,
    Reader { client, lease }: Reader,
) -> Reply {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    write_head(headers, form);
    if returning && subscription.has_ended() {
        headers.remove(CONTENT_TYPE);
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Reply::Whole(response);
    }
    let single = subscription.selection().single_topic().is_some();
    let transport = if form == Form::Lines { Transport::Lines } else { Transport::Stream };
    let mut frames = Frames::new(form, !single, options.envelope);
    if options.plain || options.end.is_some() {
        frames = frames.plain(options.end.clone());
    }
    let mut opening = Vec::new();
    let gap = subscription.gap();
    frames.opening(api.config.retry, gap.is_none().then(|| subscription.cursor()), &mut opening);
    if let Some(gap) = gap {
        api.metrics.count_gap(gap.reason);
        frames.gap(gap, &mut opening);
    }
    // What will have no events ends at once, and is answered here.
    if subscription.is_over() {
        frames.end(subscription.cursor(), subscription.end_reason(), &mut opening);
    } else if api.draining.is_cancelled() {
        frames.farewell(defaults::DRAIN_RETRY, &mut opening);
    } else if parts.method == Method::GET {
        let heartbeat = ticks(options.heartbeat.unwrap_or(api.config.heartbeat));
        let shape = Shape::Stream { frames, transport, heartbeat };
        let selection = Arc::clone(subscription.selection());
        let interest = Interest { selection, folding: options.folding, shape };
        let reader = NewReader { opening, lease, ..NewReader::new(interest, subscription.cursor()) };
        return Reply::Streamed { head: response, reader, client };
    }
    // The length of a stream is not told, whatever it is.
    let chunks = stream::iter((parts.method == Method::GET).then_some(Ok::<_, Infallible>(opening)));
    *response.body_mut() = Body::from_stream(chunks);
    Reply::Whole(response)
}

/// A stream of updates, as Mercure has it (docs/mercure.md), with these fields in its head. It never comes to an end of its topics.
pub(crate) fn updates(
    api: &Api,
    parts: &Parts,
    subscription: &Subscription,
    Reader { client, lease }: Reader,
    fields: HeaderMap,
) -> Reply {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    write_head(headers, Form::Stream);
    headers.extend(fields);
    let frames = Frames::mercure();
    let mut opening = Vec::new();
    frames.opening(api.config.retry, None, &mut opening);
    if let Some(gap) = subscription.gap() {
        api.metrics.count_gap(gap.reason);
    }
    if api.draining.is_cancelled() {
        frames.farewell(defaults::DRAIN_RETRY, &mut opening);
    } else if parts.method == Method::GET {
        let heartbeat = ticks(api.config.heartbeat);
        let shape = Shape::Stream { frames, transport: Transport::Stream, heartbeat };
        let selection = Arc::clone(subscription.selection());
        let interest = Interest { selection, folding: Folding::default(), shape };
        let reader = NewReader { opening, lease, ..NewReader::new(interest, subscription.cursor()) };
        return Reply::Streamed { head: response, reader, client };
    }
    let chunks = stream::iter((parts.method == Method::GET).then_some(Ok::<_, Infallible>(opening)));
    *response.body_mut() = Body::from_stream(chunks);
    Reply::Whole(response)
}

/// The answer to whoever asks for a stream, where it is refused for a reason that passes by itself: a stream that ends,
/// and says when to ask again. After an error, an `EventSource` would never come back (§3.2).
pub(crate) fn put_off(form: Form, refusal: &Refusal) -> Response {
    let least = Duration::from_secs(refusal.seconds());
    let most = defaults::DRAIN_RETRY.max(least * 2);
    // Those who are put off together do not return together.
    let spread = u64::try_from((most - least).as_millis()).unwrap_or(u64::MAX);
    let delay = least + Duration::from_millis(fastrand::u64(0..=spread));
    let mut body = Vec::new();
    Frames::new(form, false, false).put_off(refusal.detail(), delay, &mut body);
    let mut response = Response::new(Body::from(body));
    // For whoever counts.
    response.extensions_mut().insert(refusal.kind());
    let headers = response.headers_mut();
    write_head(headers, form);
    headers.insert(RETRY_AFTER, HeaderValue::from(refusal.seconds()));
    response
}

/// Writes what the head of every stream has.
fn write_head(headers: &mut HeaderMap, form: Form) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(VARY, HeaderValue::from_static("accept, last-event-id"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}
