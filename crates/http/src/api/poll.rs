use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, TRANSFER_ENCODING, VARY,
};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Version};
use tidings_hub::{Conflate, Framing, Pull, PullLimits, Subscription};
use tidings_protocol::{Epoch, Selection, Sequence, Start, limits};

use crate::api::advice::{Polled, Poller};
use crate::api::problem::{Answer, Refusal};
use crate::api::query::ReadOptions;
use crate::api::read::Reader;
use crate::api::reply::Reply;
use crate::delivery::caching::Caching;
use crate::delivery::memory::{Client, Portion};
use crate::delivery::page::Page;
use crate::delivery::parking::{HeldPage, Interest, NewReader, PollResponse, Shape, Space};
use crate::delivery::pieces::Pieces;
use crate::delivery::remainder::{Held, Remainder};
use crate::metrics::Transport;
use crate::{Api, defaults};

/// A short or a long poll (§3.1).
pub(crate) async fn answer(
    api: &Api,
    parts: &Parts,
    mut subscription: Subscription,
    options: &ReadOptions,
    caching: Caching,
    Reader { client, lease }: Reader,
) -> Result<Reply, Refusal> {
    let page_limits = PullLimits { events: options.limit, bytes: limits::PAGE_BYTES };
    let wait = options.wait.min(api.config.max_wait);
    let before = subscription.cursor();
    let first = subscription.pull(page_limits).await?;
    let transport = if wait.is_zero() { Transport::Poll } else { Transport::LongPoll };
    let known = parts.headers.get(IF_NONE_MATCH).cloned();
    let selection = Arc::clone(subscription.selection());
    let poller = match &options.start {
        Some(Start::Cursor(asked)) => Some((api.adviser.poller(&client, &parts.headers), asked.sequence)),
        _ => None,
    };
    let folding = options.folding;
    let page = PageMaker {
        transport,
        caching,
        known,
        selection: Arc::clone(&selection),
        conflate: folding.conflate,
        client,
        poller,
    };
    let asked = match options.start {
        Some(Start::Cursor(cursor)) if options.starts == 1 => Some(cursor),
        _ => None,
    };
    // Whoever comes back with a cursor had a delivery just before.
    let is_held = !folding.every.is_zero() && asked.is_some() && first.gap.is_none() && !first.ended;
    if (first.is_empty() || is_held) && !wait.is_zero() && !api.draining.is_cancelled() {
        let response = may_park(parts).then(|| PollResponse::of(parts, caching));
        let shape = Shape::Poll { limit: options.limit, response };
        let interest = Interest { selection, folding, shape };
        let cursor = if first.is_empty() { subscription.cursor() } else { before };
        let reader = NewReader { wait, lease, asked, ..NewReader::new(interest, cursor) };
        return Ok(Reply::Held { head: head(), reader, page });
    }
    let more = first.more && !first.ended && subscription.has_more().await?;
    let ended = first.ended || (!more && subscription.has_ended());
    let reason = subscription.end_reason().filter(|_| ended).cloned();
    let pull = Pull { more, ended, reason, ..first };
    let (next, until) = (subscription.cursor(), subscription.until());
    let found = HeldPage { pull, next, until, epoch: subscription.epoch() };
    page.respond(api, head(), found).map(Reply::Whole)
}

/// A response with what every page has in its head, whatever is on it.
fn head() -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VARY, HeaderValue::from_static("accept, last-event-id"));
    response
}

fn may_park(parts: &Parts) -> bool {
    parts.extensions.get::<Space>().is_some()
        && parts.method == Method::GET
        && !parts.headers.contains_key(IF_NONE_MATCH)
        // A body that nobody has read would be taken for the next request when the connection goes on.
        && !parts.headers.contains_key(CONTENT_LENGTH)
        && !parts.headers.contains_key(TRANSFER_ENCODING)
}

/// How a handler makes the response of a page.
#[derive(Debug)]
pub(crate) struct PageMaker {
    transport: Transport,
    caching: Caching,
    /// The tags that the client knows.
    known: Option<HeaderValue>,
    selection: Arc<Selection>,
    conflate: Option<Conflate>,
    client: Client,
    /// Who polls, and from where on, where that is known.
    poller: Option<(Poller, Sequence)>,
}

// === impl PageMaker ===

impl PageMaker {
    /// The response: its head, as far as it does not depend on the page, and the page.
    pub(crate) fn respond(self, api: &Api, head: Response, found: HeldPage) -> Answer {
        let Self { transport, caching, known, selection, conflate, client, poller } = self;
        let HeldPage { pull, next, until, epoch } = found;
        if let Some(gap) = &pull.gap {
            api.metrics.count_gap(gap.reason);
        }
        let mut page = Page { pull: &pull, next, more: pull.more, closed: pull.ended, caching, advice: None };
        if let Some((poller, asked)) = poller
            && page.is_for_one()
        {
            let poll = Polled { asked, next: next.sequence, events: pull.entries.len() };
            page.advice = api.adviser.polled(poller, poll);
        }
        let tag = page.tag();
        let known = known.as_ref().and_then(|value| value.to_str().ok());
        // Whoever compresses answers on the way makes tags weak (RFC 9110 §13.1.2).
        let same = |one: &str| one.trim().trim_start_matches("W/") == tag;
        let unchanged = known.is_some_and(|known| known.split(',').any(same));
        let memory = api.answers.portion(client);
        let (body, length) = if unchanged {
            (Body::empty(), 0)
        } else {
            body(&page, epoch, &selection, (conflate, until), api, memory)
        };
        api.metrics.deliveries(transport).count(pull.entries.len(), length);
        if page.advice.is_some() && !unchanged {
            api.metrics.advised_polls.inc();
        }
        let mut response = head.map(|_| body);
        // It sees to its memory itself.
        response.extensions_mut().insert(Spare);
        let control = HeaderValue::try_from(caching.control(&page));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, control.unwrap_or(HeaderValue::from_static("no-store")));
        let tag = HeaderValue::try_from(tag).map_err(|_| Refusal::query("the answer has no tag"))?;
        headers.insert(ETAG, tag);
        if unchanged {
            headers.remove(CONTENT_TYPE);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        Ok(response)
    }
}

// === impl PollResponse ===

impl PollResponse {
    /// How the page becomes the response to a request. The connection fills in the head, when everyone who has a say in it
    /// has had it.
    fn of(parts: &Parts, caching: Caching) -> Self {
        let connection =
            parts.headers.get(CONNECTION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let close = parts.version < Version::HTTP_11
            || connection.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
        Self { head: Arc::default(), close, caching }
    }
}

/// Says of a response that it takes next to no memory, however large it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare;

/// The page as a body, and its length. What is large is given away in pieces.
fn body(
    page: &Page<'_>,
    epoch: Epoch,
    selection: &Arc<Selection>,
    (conflate, until): (Option<Conflate>, Sequence),
    api: &Api,
    memory: Portion,
) -> (Body, usize) {
    let events = page.pull.entries.iter().map(|entry| Held::new(entry.clone(), Framing::Object));
    let mut rest = Remainder::new(Framing::Object, epoch, events, memory)
        .folded(conflate, until)
        .headed(Bytes::from_static(Page::HEAD))
        .separated(b",");
    rest.then(&page.foot());
    let length = rest.len();
    if length <= defaults::STREAM_PIECE_BYTES {
        return (Body::from(rest.compose(length)), length);
    }
    let pieces = Pieces::new(api.context.clone(), Arc::clone(selection), rest);
    (pieces.into_body(length), length)
}
