use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::body::{Body, Frame};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use tidings_protocol::{EndReason, Problem, Topic, format_duration, limits};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::answer::Failure;
use crate::backoff::Backoff;
use crate::client::send;
use crate::publish::random_key;
use crate::{Client, Interruption, Message, PublishError, defaults};

/// A stream of events that is about to be published to one topic: [`open`](Self::open) it.
#[derive(Clone)]
#[must_use = "nothing is published until it is opened"]
pub struct StreamPublish {
    client: Client,
    topic: String,
    close: bool,
    reason: Option<String>,
    ttl: Option<Duration>,
    grace: Duration,
    key: Option<String>,
    retry_for: Duration,
}

/// A stream of events that is published as it comes, one after the other.
///
/// Each event is on its way as soon as it is given, and acknowledged when the hub has it as durably as it promises. Where the
/// hub is away, the stream goes on from what is acknowledged, under one key, so that nothing is lost or doubled.
///
/// It starts no task: it works while [`send`](Self::send), [`flush`](Self::flush), [`acknowledged`](Self::acknowledged) or
/// [`finish`](Self::finish) is awaited. Where it is dropped before it is finished, it breaks off: a topic that was to end with
/// it ends with the reason `aborted`, after the grace.
#[must_use = "a stream that is not finished breaks off"]
pub struct PublishStream {
    client: Client,
    url: Url,
    key: String,
    retry_for: Duration,
    /// Lines of which it is not known whether the hub has them.
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
    /// How many events the hub has.
    acknowledged: u64,
    first: Option<String>,
    last: Option<String>,
    closed: bool,
    state: State,
    /// How many events the request under way begins after.
    from: u64,
    body: Option<UnboundedSender<Piece>>,
    /// What has come of a line of the answer.
    line: Vec<u8>,
    is_finishing: bool,
    backoff: Backoff,
    token_refused: bool,
    /// When something was acknowledged last, or began to wait for it.
    heard: Instant,
    /// Since when no attempt has come to anything.
    failing: Option<Instant>,
    on_retry: Option<OnRetry>,
}

/// How far a stream of events is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedStream {
    /// How many events the hub has.
    pub events: u64,
    /// The id of the first of them, once the stream is finished in one piece.
    pub first: Option<String>,
    /// The id of the last one.
    pub last: Option<String>,
    /// Whether the topic has ended with the stream.
    pub closed: bool,
}

type OnRetry = Box<dyn FnMut(&Interruption, Duration) + Send>;
type Opening = Pin<Box<dyn Future<Output = Result<Option<Response>, Failure>> + Send>>;

enum State {
    Idle,
    Opening(Opening),
    Open(Response),
    /// Until the next attempt.
    Resting(Instant),
    Over,
}

/// A piece of the body of a request.
enum Piece {
    Line(Bytes),
    End,
}

/// The body of a request: what is given to it, until its end. Where whoever gives it is gone before, it breaks off.
struct Lines(UnboundedReceiver<Piece>);

#[derive(Debug, thiserror::Error)]
#[error("the stream was given up before its end")]
struct GivenUp;

/// A line of the answer.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    events: u64,
    first: Option<String>,
    last: Option<String>,
    closed: Option<bool>,
    problem: Option<Problem>,
}

// === impl StreamPublish ===

impl StreamPublish {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        let (grace, retry_for) = (defaults::STREAM_GRACE, defaults::PUBLISH_RETRY);
        Self { client, topic, close: false, reason: None, ttl: None, grace, key: None, retry_for }
    }

    /// How long the events are delivered; see [`Publish::ttl`](crate::Publish::ttl).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Ends the topic with the stream. Where that breaks off instead, the topic ends with the reason `aborted`.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Ends the topic with the stream, and tells its readers why.
    pub fn close_because(mut self, reason: impl Into<String>) -> Self {
        self.close = true;
        self.reason = Some(reason.into());
        self
    }

    /// How long the hub waits for this stream to come back before it takes it for broken off: a minute, unless this says
    /// otherwise, and ten at most.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The key under which the hub knows the stream's events, each with its number. Another program that publishes the same
    /// under the same key goes on where this one stopped. Without one, a random one is used.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// For how long it is tried again where the hub cannot be reached or cannot take it now.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// The stream. Nothing is sent before there is something to send.
    ///
    /// # Errors
    /// [`PublishError`] where the topic, the key or the reason is none.
    pub fn open(self) -> Result<PublishStream, PublishError> {
        Topic::new(&self.topic)?;
        let mut url = self.client.endpoint().topic(&self.topic).ok_or(PublishError::Unaddressable)?;
        let key = self.key.unwrap_or_else(random_key);
        if !(1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&key.len())
            || !key.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(PublishError::IdempotencyKey);
        }
        let mut query = url.query_pairs_mut();
        query.append_pair("stream", "lines");
        if self.close {
            query.append_pair("close", "true");
            if !self.grace.is_zero() {
                query.append_pair("grace", &format_duration(self.grace));
            }
        }
        if let Some(ttl) = self.ttl {
            query.append_pair("ttl", &crate::publish::ttl_text(ttl));
        }
        if let Some(reason) = &self.reason {
            EndReason::new(reason)?;
            query.append_pair("reason", reason);
        }
        drop(query);
        Ok(PublishStream {
            client: self.client,
            url,
            key,
            retry_for: self.retry_for,
            pending: VecDeque::new(),
            pending_bytes: 0,
            acknowledged: 0,
            first: None,
            last: None,
            closed: false,
            state: State::Idle,
            from: 0,
            body: None,
            line: Vec::new(),
            is_finishing: false,
            backoff: Backoff::new(),
            token_refused: false,
            heard: Instant::now(),
            failing: None,
            on_retry: None,
        })
    }
}

impl fmt::Debug for StreamPublish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamPublish")
            .field("topic", &self.topic)
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}

// === impl PublishStream ===

impl PublishStream {
    /// Is told, before each further attempt, what became of the last one and how long is rested.
    pub fn on_retry(mut self, tell: impl FnMut(&Interruption, Duration) + Send + 'static) -> Self {
        self.on_retry = Some(Box::new(tell));
        self
    }

    /// Sends an event. It waits while a mebibyte of events is not acknowledged.
    ///
    /// # Errors
    /// [`PublishError`], where the hub refuses the stream (as where somebody has ended its topic), or could not be reached for
    /// too long. The stream is over then.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), PublishError> {
        let message = message.into();
        message.check()?;
        let mut line = Vec::new();
        message.write_line(None, &mut line).map_err(|error| {
            PublishError::Data(tidings_protocol::InvalidData::NotJson { reason: error.to_string() })
        })?;
        // What has come meanwhile is taken, without waiting for more.
        while let Some(stepped) = self.step().now_or_never() {
            stepped?;
        }
        while self.pending_bytes >= defaults::STREAM_PENDING_BYTES {
            self.step().await?;
        }
        if self.pending.is_empty() {
            self.heard = Instant::now();
        }
        let line = Bytes::from(line);
        self.pending_bytes += line.len();
        self.pending.push_back(line.clone());
        if let Some(body) = &self.body {
            // Where it is gone, the next attempt sends it.
            drop(body.send(Piece::Line(line)));
        }
        while let Some(stepped) = self.step().now_or_never() {
            stepped?;
        }
        Ok(())
    }

    /// Waits until every event is acknowledged.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn flush(&mut self) -> Result<PublishedStream, PublishError> {
        while !self.pending.is_empty() {
            self.step().await?;
        }
        Ok(self.so_far())
    }

    /// Waits until more is acknowledged than before, or the hub refuses the stream: what a program awaits beside whatever
    /// brings its next event, so that it hears at once that somebody has ended the topic.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn acknowledged(&mut self) -> Result<PublishedStream, PublishError> {
        let before = self.acknowledged;
        while self.acknowledged == before {
            self.step().await?;
        }
        Ok(self.so_far())
    }

    /// How far it is.
    #[must_use]
    pub fn so_far(&self) -> PublishedStream {
        let Self { acknowledged: events, first, last, closed, .. } = self;
        PublishedStream { events: *events, first: first.clone(), last: last.clone(), closed: *closed }
    }

    /// Waits until every event is acknowledged, and ends the stream, with its topic where that was asked for.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn finish(mut self) -> Result<PublishedStream, PublishError> {
        self.is_finishing = true;
        if let Some(body) = self.body.take() {
            drop(body.send(Piece::End));
        }
        while !matches!(self.state, State::Over) {
            self.step().await?;
        }
        Ok(self.so_far())
    }

    /// Does what comes next. It may be dropped at any point without loss.
    async fn step(&mut self) -> Result<(), PublishError> {
        match &mut self.state {
            State::Over => std::future::pending().await,
            State::Idle => {
                self.begin();
                Ok(())
            }
            State::Resting(until) => {
                sleep_until(*until).await;
                self.state = State::Idle;
                Ok(())
            }
            State::Opening(opening) => match opening.as_mut().await {
                Ok(Some(response)) => {
                    self.state = State::Open(response);
                    self.heard = Instant::now();
                    self.failing = None;
                    Ok(())
                }
                Ok(None) => self.fail(Interruption::Unexpected { what: "status 204".into() }.into()),
                Err(failure) => self.fail(failure),
            },
            State::Open(response) => {
                // Nothing has to come while nothing waits for it.
                let read = if self.pending.is_empty() && !self.is_finishing {
                    Ok(response.chunk().await)
                } else {
                    timeout_at(self.heard + defaults::PUBLISH_TIMEOUT, response.chunk()).await
                };
                match read {
                    Ok(Ok(Some(chunk))) => self.read(&chunk),
                    Ok(Ok(None)) => self.fail(Interruption::Ended.into()),
                    Ok(Err(error)) => self.fail(Interruption::of_body(error).into()),
                    Err(_) => self.fail(Interruption::TimedOut { after: defaults::PUBLISH_TIMEOUT }.into()),
                }
            }
        }
    }

    fn begin(&mut self) {
        let (body, lines) = unbounded_channel();
        for line in &self.pending {
            drop(body.send(Piece::Line(line.clone())));
        }
        if self.is_finishing {
            drop(body.send(Piece::End));
        } else {
            self.body = Some(body);
        }
        self.from = self.acknowledged;
        self.line.clear();
        let (client, key, mut url) = (self.client.clone(), self.key.clone(), self.url.clone());
        if self.from > 0 {
            url.query_pairs_mut().append_pair("from", &self.from.to_string());
        }
        self.state = State::Opening(Box::pin(async move {
            let request = client.request(Method::POST, url).await?;
            let request = request
                .header(CONTENT_TYPE, "application/x-ndjson")
                .header(ACCEPT, ACKNOWLEDGEMENTS)
                .header("idempotency-key", key)
                .body(reqwest::Body::wrap(Lines(lines)));
            send(&client, request, ACKNOWLEDGEMENTS, defaults::PUBLISH_TIMEOUT).await
        }));
    }

    /// Takes what has come of the answer.
    fn read(&mut self, chunk: &[u8]) -> Result<(), PublishError> {
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() > defaults::ANSWER_BYTES {
                return self.fail(Interruption::Malformed("a line of it has no end".into()).into());
            }
            if self.line.last() != Some(&b'\n') {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Told>(&line) {
                Ok(told) => self.take(told)?,
                Err(error) => return self.fail(Interruption::Malformed(error.to_string()).into()),
            }
            if !matches!(self.state, State::Open(_)) {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, told: Told) -> Result<(), PublishError> {
        self.heard = Instant::now();
        let new = (self.from + told.events).saturating_sub(self.acknowledged);
        for _ in 0..new {
            if let Some(line) = self.pending.pop_front() {
                self.pending_bytes -= line.len();
            }
        }
        self.acknowledged += new;
        if new > 0 {
            self.backoff.reset();
            self.token_refused = false;
        }
        self.last = told.last.or(self.last.take());
        if self.from == 0 {
            self.first = told.first.or(self.first.take());
        }
        if let Some(problem) = told.problem {
            let passes = matches!(problem.status, 408 | 425 | 429 | 500..);
            return self.fail(match problem.status {
                401 | 403 => Failure::Unauthorized(problem),
                _ if passes => Interruption::Unavailable(problem).into(),
                _ => Failure::Lasting(problem),
            });
        }
        if let Some(closed) = told.closed {
            if !self.is_finishing || !self.pending.is_empty() {
                return self.fail(Interruption::Malformed("it ended before its time".into()).into());
            }
            self.closed = closed;
            self.state = State::Over;
        }
        Ok(())
    }

    /// What becomes of the stream after a request that failed.
    fn fail(&mut self, failure: Failure) -> Result<(), PublishError> {
        self.body = None;
        let (reason, after) = match failure {
            Failure::Lasting(problem) => return self.give_up(PublishError::Refused(problem)),
            Failure::Untrusted(reason) => return self.give_up(PublishError::Untrusted { reason }),
            Failure::Unauthorized(problem) if self.token_refused || !self.client.token_may_change() => {
                return self.give_up(PublishError::Refused(problem));
            }
            Failure::Unauthorized(_) => {
                self.token_refused = true;
                self.state = State::Idle;
                return Ok(());
            }
            Failure::Passing { reason, after } => (reason, after),
        };
        let delay = self.backoff.next(after);
        let failing = *self.failing.get_or_insert_with(Instant::now);
        if failing.elapsed().saturating_add(delay) >= self.retry_for {
            let attempts = self.backoff.attempt();
            return self.give_up(PublishError::GaveUp { attempts, last: reason });
        }
        tracing::debug!(%reason, ?delay, "going on with a stream");
        if let Some(tell) = &mut self.on_retry {
            tell(&reason, delay);
        }
        self.state = State::Resting(Instant::now() + delay);
        Ok(())
    }

    fn give_up(&mut self, error: PublishError) -> Result<(), PublishError> {
        self.state = State::Over;
        Err(error)
    }
}

const ACKNOWLEDGEMENTS: &str = "application/x-ndjson";

impl fmt::Debug for PublishStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishStream")
            .field("acknowledged", &self.acknowledged)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

// === impl Lines ===

impl Body for Lines {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        Poll::Ready(match ready!(self.0.poll_recv(cx)) {
            Some(Piece::Line(line)) => Some(Ok(Frame::data(line))),
            Some(Piece::End) => None,
            None => Some(Err(GivenUp)),
        })
    }
}
