use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tidings_hub::{Pull, PullLimits, Subscription};
use tidings_log::{BoxFuture, ReadError};
use tidings_protocol::{Cursor, limits};
use tokio::time::{sleep, sleep_until, timeout};

use crate::accept::Form;
use crate::frames::Frames;
use crate::lease::{Lease, Reader};
use crate::memory::Client;
use crate::metrics::{Counted, Deliveries, Transport};
use crate::parking::{Interest, Order, Shape, Slip, Space, ticks};
use crate::pieces::Pieces;
use crate::problem::Refusal;
use crate::query::ReadOptions;
use crate::remainder::{Held, Lost, Remainder};
use crate::socket::{Attention, Waits};
use crate::{Face, defaults};

/// A stream of events (§3.2, §3.3).
pub(crate) fn answer(
    face: &Face,
    parts: &Parts,
    form: Form,
    subscription: Subscription,
    options: &ReadOptions,
    returning: bool,
    Reader { client, lease }: Reader,
) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    write_head(headers, form);
    if returning && subscription.has_ended() {
        headers.remove(CONTENT_TYPE);
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    }
    let single = subscription.selection().single_topic().is_some();
    let transport = if form == Form::Lines { Transport::Lines } else { Transport::Stream };
    let frames = Frames::new(form, !single, options.envelope);
    let heartbeat = options.heartbeat.unwrap_or(face.config.heartbeat);
    let parks = parts.extensions.get::<Space>().is_some() && parts.method == Method::GET;
    if parks && !subscription.has_ended() && !face.draining.is_cancelled() {
        let mut opening = Vec::new();
        let gap = subscription.gap();
        frames.opening(face.config.retry, gap.is_none().then(|| subscription.cursor()), &mut opening);
        if let Some(gap) = gap {
            face.metrics.count_gap(gap.reason);
            frames.gap(gap, &mut opening);
        }
        let shape = Shape::Stream { frames, transport, heartbeat: ticks(heartbeat) };
        let interest = Interest { selection: Arc::clone(subscription.selection()), shape };
        let cursor = subscription.cursor();
        response.extensions_mut().insert(Slip::new(Order {
            interest,
            cursor,
            opening,
            wait: Duration::ZERO,
            asked: None,
            template: None,
            lease,
            line: None,
        }));
        return response;
    }
    let deliveries = face.metrics.deliveries(transport);
    let streaming = Streaming {
        frames,
        heartbeat,
        told: subscription.cursor(),
        live: false,
        _reader: deliveries.reader(),
        _waits: parts.extensions.get::<Attention>().map(Attention::waits),
        deliveries,
        face: face.clone(),
        subscription: Some(subscription),
        late: None,
        lease,
        client,
        pieces: None,
        state: State::Opening,
    };
    *response.body_mut() = Body::from_stream(stream::unfold(streaming, |mut streaming| async {
        let chunk = streaming.piece().await?;
        Some((chunk, streaming))
    }));
    response
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

/// A stream in a task: what is left to say, as the connection asks for it. Whoever drops it ends it.
struct Streaming {
    face: Face,
    /// Not while there is a `late` pull, which has it.
    subscription: Option<Subscription>,
    /// A pull that was not done when a heartbeat was due. It goes on meanwhile, so that heartbeats do not keep a slow
    /// log from ever answering.
    late: Option<BoxFuture<'static, (Subscription, Result<Pull, ReadError>)>>,
    frames: Frames,
    heartbeat: Duration,
    /// The cursor that the reader last heard of.
    told: Cursor,
    /// Whether it had all that there was when it was last given something.
    live: bool,
    deliveries: Deliveries,
    _reader: Counted,
    _waits: Option<Waits>,
    lease: Option<Lease>,
    client: Client,
    /// What is left of the last pull, where that was large.
    pieces: Option<Pieces>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Ended,
}

const LIMITS: PullLimits = PullLimits { events: limits::PAGE_EVENTS, bytes: defaults::STREAM_CHUNK_BYTES };

// === impl Streaming ===

impl Streaming {
    /// The next bytes, not very many at once; `None` at the end.
    async fn piece(&mut self) -> Option<Result<Bytes, Lost>> {
        loop {
            if let Some(pieces) = &mut self.pieces {
                match pieces.next().await {
                    Some(piece) => return Some(piece),
                    None => self.pieces = None,
                }
            }
            let bytes = self.next().await?;
            if !bytes.is_empty() {
                return Some(Ok(bytes));
            }
        }
    }

    /// The next bytes, where they are few, else none, with `pieces` in their place; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        match self.state {
            State::Ended => return None,
            State::Opening => {
                self.state = State::Open;
                // Before the first read, so that nothing can come between it and the first wait.
                let subscription = self.subscription.as_mut()?;
                subscription.listen();
                let cursor = subscription.gap().is_none().then_some(self.told);
                self.frames.opening(self.face.config.retry, cursor, &mut out);
                if !out.is_empty() {
                    return Some(Bytes::from(out));
                }
            }
            State::Open => {}
        }
        let draining = self.face.draining.clone();
        let until = self.lease.as_ref().map(|lease| tokio::time::Instant::from_std(lease.until));
        let over = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let pull = tokio::select! {
            biased;
            () = draining.cancelled() => {
                self.state = State::Ended;
                self.frames.farewell(defaults::DRAIN_RETRY, &mut out);
                return (!out.is_empty()).then(|| Bytes::from(out));
            }
            () = over => {
                self.state = State::Ended;
                self.frames.farewell(self.face.config.retry, &mut out);
                return (!out.is_empty()).then(|| Bytes::from(out));
            }
            pull = self.pull() => pull,
        };
        let pull = match pull {
            Some(Ok(pull)) => pull,
            None => {
                self.frames.heartbeat(None, &mut out);
                return Some(Bytes::from(out));
            }
            Some(Err(ReadError::Away { .. })) => {
                sleep(defaults::READ_PAUSE).await;
                self.frames.heartbeat(None, &mut out);
                return Some(Bytes::from(out));
            }
            Some(Err(error)) => {
                tracing::error!(%error, "failed to read the log for a stream");
                return None;
            }
        };
        let cursor = self.subscription.as_ref()?.cursor();
        let was_live = std::mem::replace(&mut self.live, !pull.more);
        if pull.is_empty() {
            self.frames.heartbeat((cursor != self.told).then_some(cursor), &mut out);
            self.told = cursor;
        } else {
            if let Some(gap) = &pull.gap {
                self.face.metrics.count_gap(gap.reason);
            }
            let length = self.give(&pull, cursor, &mut out);
            self.deliveries.count(pull.entries.len(), length);
            if was_live {
                self.deliveries.time(pull.oldest(), pull.entries.len());
            }
            let last = pull.entries.last().map(|entry| entry.cursor());
            self.told = if pull.ended { cursor } else { last.unwrap_or(self.told) };
        }
        if pull.ended {
            self.state = State::Ended;
        }
        Some(Bytes::from(out))
    }

    /// Writes what a pull gave where it is little, else leaves it in `pieces`. Says how many bytes it is.
    fn give(&mut self, pull: &Pull, cursor: Cursor, out: &mut Vec<u8>) -> usize {
        let framing = self.frames.framing();
        let events: Vec<_> = pull.entries.iter().map(|entry| Held::new(Arc::clone(entry), framing)).collect();
        if let Some(gap) = &pull.gap {
            self.frames.gap(gap, out);
        }
        let length: usize = events.iter().map(Held::len).sum();
        let subscription = self.subscription.as_ref().filter(|_| length > defaults::STREAM_PIECE_BYTES);
        let Some((selection, epoch)) = subscription.map(|own| (own.selection(), own.epoch())) else {
            for event in &events {
                out.extend_from_slice(&event.frame(framing));
            }
            if pull.ended {
                self.frames.end(cursor, out);
            }
            return out.len();
        };
        let memory = self.face.answers.portion(self.client.clone());
        let mut remainder = Remainder::new(framing, epoch, events, memory);
        remainder = remainder.headed(Bytes::from(std::mem::take(out)));
        if pull.ended {
            self.frames.end(cursor, out);
            remainder.then(&std::mem::take(out));
        }
        let length = remainder.len();
        self.pieces = Some(Pieces::new(self.face.clone(), Arc::clone(selection), remainder));
        length
    }

    /// What there is to tell; nothing where a sign of life is due first.
    async fn pull(&mut self) -> Option<Result<Pull, ReadError>> {
        if let Some(subscription) = &mut self.subscription
            && let Ok(pull) = timeout(self.heartbeat, subscription.next(LIMITS)).await
        {
            return Some(pull);
        }
        if let Some(mut subscription) = self.subscription.take() {
            self.late = Some(Box::pin(async move {
                let pull = subscription.pull(LIMITS).await;
                (subscription, pull)
            }));
        }
        let late = timeout(defaults::READ_PAUSE, self.late.as_mut()?).await;
        let (subscription, pull) = late.ok()?;
        (self.subscription, self.late) = (Some(subscription), None);
        Some(pull)
    }
}
