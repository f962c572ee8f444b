//! The access log: a line for each request, under a target of its own, for whoever asks for it with
//! `--log-level info,tidings::access=debug`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{USER_AGENT, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use percent_encoding::percent_decode_str;
use tidings_protocol::Cursor;
use tracing::{Instrument as _, Level};

use crate::api::reply::Reply;
use crate::delivery::observer::Observer;
use crate::metrics::Transport;
use crate::{Api, ClientAddress, api::authority, api::trace};

/// What is known of a request when it comes, and is told when it is over.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    began: Instant,
    method: Method,
    path: String,
    query: String,
    client: Option<IpAddr>,
    agent: Option<String>,
    request_id: Option<String>,
    transport: Option<Transport>,
    /// The cursor of a poll that may be repeated with another.
    cursor: Option<Cursor>,
}

/// The body of a response, which tells of itself when it ends or is given up.
struct ObservedBody {
    body: Body,
    line: Box<Line>,
    status: StatusCode,
    bytes: u64,
}

/// The parameters that are told with their values. Others, and be it only by their name, may be a secret.
const SHOWN: [&str; 14] = [
    "after",
    "close",
    "conflate",
    "envelope",
    "event",
    "every",
    "heartbeat",
    "lastEventId",
    "limit",
    "match",
    "since",
    "topic",
    "ttl",
    "wait",
];
/// How much of a path and of a query is told, and of other things that the client chose, in characters.
const SHOWN_PATH: usize = 1_024;
/// See [`SHOWN_PATH`].
const SHOWN_FIELD: usize = 200;
/// Where a token stands that a client put into the path or into another parameter by mistake, it is not told.
const SECRET: &str = "access_token";

/// Counts what a request is answered with, and sees to its line.
pub(crate) async fn observe(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    api.config.trusted_proxies.identify(&mut request);
    let route = request.extensions().get().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let answer = async |request| match authority::check(&request, false) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    observed(&api, route, request, answer).await
}

/// See [`observe`].
pub(crate) async fn observed<F>(
    api: &Api,
    route: &str,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let line = Line::of(&request, request.extensions().get().copied());
    let span = trace::of_request(&request, route);
    let response = answer(request).instrument(span.clone()).await;
    trace::answered(&span, &response);
    tell(api, line, response)
}

/// Counts an answer, and gives it what every answer has in its head. Its line follows when it is over; where it is a stream, one comes at once as well.
pub(crate) fn tell(api: &Api, line: Option<Box<Line>>, mut response: Response) -> Response {
    api.metrics.count_response(&response);
    // Data is whatever its publisher said; no browser is to take it for a page.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let Some(mut line) = line else { return response };
    let status = response.status();
    line.transport = response.extensions().get().copied();
    if line.is_stream() && (status == StatusCode::OK || status == StatusCode::SWITCHING_PROTOCOLS) {
        line.tell("stream began", Some(status), None);
    }
    // A shard tells of what waits.
    let Some(line) = Reply::attach(&response, line) else { return response };
    response.map(|body| Body::new(ObservedBody { body, line, status, bytes: 0 }))
}

// === impl Line ===

impl Line {
    /// What is to be told of a request; nothing where nobody listens.
    pub(crate) fn of<B>(request: &http::Request<B>, client: Option<ClientAddress>) -> Option<Box<Self>> {
        if !tracing::enabled!(target: "tidings::access", Level::DEBUG) {
            return None;
        }
        let uri = request.uri();
        Some(Box::new(Self {
            began: Instant::now(),
            method: request.method().clone(),
            path: shown_path(uri.path()),
            query: shown_query(uri.query().unwrap_or_default()),
            client: client.map(ClientAddress::address),
            agent: field(request.headers(), USER_AGENT.as_str()),
            request_id: field(request.headers(), "x-request-id"),
            transport: None,
            cursor: None,
        }))
    }

    fn is_stream(&self) -> bool {
        matches!(self.transport, Some(Transport::Stream | Transport::Lines | Transport::WebSocket))
    }

    fn tell(&self, what: &str, status: Option<StatusCode>, bytes: Option<u64>) {
        tracing::debug!(
            target: "tidings::access",
            method = %self.method,
            path = self.path,
            query = self.query,
            status = status.map(|status| status.as_u16()),
            bytes,
            duration_ms = self.began.elapsed().as_micros() as f64 / 1e3,
            transport = self.transport.map(Transport::name),
            client = self.client.map(tracing::field::display),
            agent = self.agent,
            request_id = self.request_id,
            "{what}"
        );
    }
}

impl Observer for Line {
    fn end(&self, status: Option<StatusCode>, bytes: Option<u64>) {
        let what = match status {
            _ if self.is_stream() => "stream ended",
            Some(_) => "request",
            None => "request given up",
        };
        self.tell(what, status, bytes);
    }

    fn came_with(&mut self, cursor: Option<Cursor>) {
        self.cursor = cursor;
    }

    fn again(&mut self, cursor: Cursor) {
        self.began = Instant::now();
        if let Some(before) = self.cursor.replace(cursor) {
            self.query = self.query.replacen(&before.to_string(), &cursor.to_string(), 1);
        }
    }
}

/// A path as it may be told.
pub(crate) fn shown_path(path: &str) -> String {
    if has_secret(path) {
        let end = path.to_ascii_lowercase().find(SECRET).unwrap_or_default();
        return format!("{}…", &path[..end]);
    }
    cut(path, SHOWN_PATH).into_owned()
}

fn has_secret(text: &str) -> bool {
    percent_decode_str(text).decode_utf8_lossy().to_ascii_lowercase().contains(SECRET)
}

fn shown_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
        // Who puts a token behind an address that has a query already may make it a part of another value.
        if SHOWN.contains(&name) && !has_secret(pair) { pair } else { "…" }
    });
    cut(&pairs.collect::<Vec<_>>().join("&"), SHOWN_PATH).into_owned()
}

fn field(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(cut(&String::from_utf8_lossy(value.as_bytes()), SHOWN_FIELD).into_owned())
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

// === impl ObservedBody ===

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        self.line.end(Some(self.status), Some(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_protocol_knows_is_shown_of_a_query() {
        for (query, shown) in [
            ("since=q7m2x9-1&wait=5", "since=q7m2x9-1&wait=5"),
            ("topic=a%2F*&topic=b", "topic=a%2F*&topic=b"),
            ("access_token=s3cret&since=latest", "…&since=latest"),
            ("since=latest&access%5Ftoken=s3cret", "since=latest&…"),
            ("Access_Token=s3cret", "…"),
            ("s3cret", "…"),
            ("%73ince=s3cret", "…"),
            ("since=earliest?access_token=s3cret", "…"),
            ("wait=5&since=x;Access%5FToken=s3cret&limit=1", "wait=5&…&limit=1"),
            ("", ""),
        ] {
            assert_eq!(shown_query(query), shown, "{query}");
        }
    }

    #[test]
    fn a_token_that_strayed_into_the_path_is_not_shown() {
        for path in
            ["/topics/a&access_token=s3cret", "/topics/a%3Faccess%5Ftoken=s3cret", "/x/ACCESS_TOKEN/s3cret"]
        {
            assert!(!shown_path(path).contains("s3cret"), "{path}");
        }
        assert_eq!(shown_path("/topics/a%2fb"), "/topics/a%2fb");
        assert_eq!(shown_path(&"/ü".repeat(2_000)).chars().count(), SHOWN_PATH + 1);
    }
}
