//! Publishing as a stream (§2.1): each item of a body that goes on is appended as it comes.

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use serde::Serialize;
use tidings_hub::{Producer, ProducerError, ProducerOptions, Progress};
use tidings_protocol::{EndReason, NewEvent, ProblemKind, Topic, parse_duration};
use tokio::time::{Instant, Sleep, sleep_until};

use super::items::{Form, Items};
use super::{end_reason, event_type, idempotency_key, is_json, lifetime, media_type};

use crate::api::auth::Access;
use crate::api::coding::Coding;
use crate::api::problem::{Answer, Refusal, StreamPlace, json_line};
use crate::api::query::{Query, shown};
use crate::delivery::frames;
use crate::delivery::memory::{Client, Portion};
use crate::limit::Limit;
use crate::{Api, defaults};

/// What a stream of items is asked for with.
#[derive(Debug)]
pub(super) struct Asked {
    form: Form,
    options: ProducerOptions,
    /// Whether acknowledgements are sent while it goes on.
    acknowledges: bool,
}

/// A stream of items that is under way.
struct Publication {
    api: Api,
    topic: Topic,
    body: Body,
    /// The lifetime of items that name none.
    ttl: Option<std::time::Duration>,
    items: Items,
    /// Until the stream has come to its end.
    producer: Option<Producer>,
    /// What the items take that wait, and what has come of the next one.
    memory: Portion,
    /// When the last piece of the body came, and a timer for the next one.
    heard: Instant,
    silence: Pin<Box<Sleep>>,
    /// When its token ends.
    expires: Option<Instant>,
    counted: Progress,
    /// What is done once nothing more comes. It is kept here, so that it goes on where a step is dropped meanwhile.
    ending: Option<Ending>,
}

/// How a stream has ended, and how far it came.
type Ending = Pin<Box<dyn Future<Output = (Result<(), Refusal>, Progress)> + Send>>;

/// The answer to a stream that has come to its end.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    topic: &'a str,
    events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    closed: bool,
}

/// A line of acknowledgements.
#[derive(Debug, Serialize)]
struct Acknowledgement {
    events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

/// How a stream is.
enum Step {
    /// More items are durable.
    Durable,
    /// It is over.
    Over(Result<Progress, Refusal>),
}

// === impl Asked ===

impl Asked {
    /// What a request asks for, where its body is a stream of items.
    pub(super) fn of(parts: &Parts, query: &Query<'_>) -> Result<Option<Self>, Refusal> {
        let media_type = media_type(&parts.headers);
        let is_events = media_type == "text/event-stream";
        let form = match query.get("stream")? {
            None if is_events => Form::Events { json: data_is_json(query)? },
            None => return Ok(None),
            Some("lines" | "chunks") if is_events => {
                return Err(Refusal::query("a body of `text/event-stream` is events: leave out `stream`"));
            }
            Some("lines") if media_type == "application/x-ndjson" => Form::Objects,
            Some(_) if media_type == "application/x-ndjson" => {
                return Err(Refusal::query("of `application/x-ndjson`, `stream` is `lines`"));
            }
            Some("lines" | "chunks") if is_json(&media_type) || media_type == "application/octet-stream" => {
                let detail = format!(
                    "a stream is text, `text/event-stream` or `application/x-ndjson`, not `{}`",
                    shown(&media_type)
                );
                return Err(Refusal::new(ProblemKind::UnsupportedMediaType, detail));
            }
            Some("lines") => Form::Lines,
            Some("chunks") => Form::Chunks,
            Some(other) => {
                let detail = format!("`stream` is `lines` or `chunks`, not `{}`", shown(other));
                return Err(Refusal::query(detail));
            }
        };
        let close = query.flag("close")?;
        let options = ProducerOptions {
            key: key(parts)?,
            from: count(query)?,
            close,
            reason: end_reason(query, close)?,
            grace: grace(query)?,
        };
        if options.key.is_none() && (options.from > 0 || !options.grace.is_zero()) {
            let detail =
                "`from` and `grace` are for a producer that comes back: they go with an `Idempotency-Key`";
            return Err(Refusal::query(detail));
        }
        if Coding::of(&parts.headers)?.is_some() {
            let detail = "a stream of items is not packed: send it without `Content-Encoding`";
            return Err(Refusal::new(ProblemKind::UnsupportedMediaType, detail).accept_encoding("identity"));
        }
        let acknowledges =
            frames::Form::negotiate(&parts.headers).is_ok_and(|form| form == frames::Form::Lines);
        Ok(Some(Self { form, options, acknowledges }))
    }

    /// Whether the topic is to end with the stream.
    pub(super) fn closes(&self) -> bool {
        self.options.close
    }

    /// Publishes what comes, and answers when it has come to its end, or as it goes.
    pub(super) async fn publish(
        self,
        api: &Api,
        parts: &Parts,
        query: &Query<'_>,
        body: Body,
        access: &Access,
        topic: Topic,
    ) -> Answer {
        let default_type = query.get("event")?.map(event_type).transpose()?;
        let ttl = query.get("ttl")?.map(lifetime).transpose()?;
        let items = Items::new(self.form, topic.clone(), default_type, api.config.max_event_bytes);
        let client = Client::of(&parts.extensions, Some(access));
        let opened = api.hub.produce(topic.clone(), self.options).await;
        let producer = opened.map_err(|error| refusal(error, &Progress::default()))?;
        let heard = Instant::now();
        let mut publication = Publication {
            items,
            producer: Some(producer),
            memory: api.bodies.portion(client),
            heard,
            silence: Box::pin(sleep_until(heard + api.config.stream_timeout)),
            expires: access.remaining().map(|remaining| heard + remaining),
            counted: Progress::default(),
            ending: None,
            api: api.clone(),
            topic,
            body,
            ttl,
        };
        if self.acknowledges {
            return Ok(respond("application/x-ndjson", publication.acknowledge()));
        }
        let progress = loop {
            if let Step::Over(over) = publication.step().await {
                break over?;
            }
        };
        Ok(respond("application/json", Body::from(publication.summary(&progress))))
    }
}

fn data_is_json(query: &Query<'_>) -> Result<bool, Refusal> {
    match query.get("data")? {
        None | Some("text") => Ok(false),
        Some("json") => Ok(true),
        Some(other) => Err(Refusal::query(format!("`data` is `json` or `text`, not `{}`", shown(other)))),
    }
}

fn key(parts: &Parts) -> Result<Option<String>, Refusal> {
    let key = idempotency_key(&parts.headers)?;
    if key.as_ref().is_some_and(|key| key.len() > ProducerOptions::KEY_BYTES) {
        let most = ProducerOptions::KEY_BYTES;
        let detail = format!(
            "the `Idempotency-Key` of a stream has at most {most} characters: each item's number is added"
        );
        return Err(Refusal::query(detail));
    }
    Ok(key)
}

fn count(query: &Query<'_>) -> Result<u64, Refusal> {
    let Some(text) = query.get("from")? else { return Ok(0) };
    let wrong =
        || Refusal::query(format!("`from` is how many items come before these, not `{}`", shown(text)));
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    // So that every number behind it is one.
    text.parse().ok().filter(|count| *count <= u64::from(u32::MAX) << 20).ok_or_else(wrong)
}

fn grace(query: &Query<'_>) -> Result<std::time::Duration, Refusal> {
    let Some(text) = query.get("grace")? else { return Ok(std::time::Duration::ZERO) };
    let grace = parse_duration(text).map_err(|error| Refusal::query(format!("`grace`: {error}")))?;
    if grace > ProducerOptions::MAX_GRACE {
        let most = ProducerOptions::MAX_GRACE.as_secs();
        return Err(Refusal::query(format!("`grace` is at most {most} seconds")));
    }
    Ok(grace)
}

/// An event with the lifetime that items have which name none.
fn lasting(event: NewEvent, ttl: Option<std::time::Duration>) -> NewEvent {
    let ttl = event.ttl().or(ttl);
    event.lasting(ttl)
}

// === impl Publication ===

impl Publication {
    /// Goes on until more items are durable, or the stream is over. Items that have come are appended whatever becomes of
    /// the future.
    async fn step(&mut self) -> Step {
        loop {
            if let Some(ending) = &mut self.ending {
                let (ended, progress) = ending.await;
                self.ending = None;
                self.count(&progress);
                return Step::Over(ended.map(|()| progress));
            }
            let Some(producer) = &mut self.producer else { return Step::Over(Ok(self.counted)) };
            let held = self.items.held() + producer.pending_bytes();
            // Whoever has no share of the memory left waits until nothing of the stream is there.
            let is_counted = held <= defaults::STREAM_UNCOUNTED_BYTES || self.memory.grow(held).is_ok();
            let has_room = producer.has_room() && (is_counted || producer.is_idle());
            if !has_room {
                // While the log is slow, nobody else is silent.
                self.heard = Instant::now();
            }
            if held <= defaults::STREAM_UNCOUNTED_BYTES {
                self.memory.shrink(0);
            }
            tokio::select! {
                biased;
                progress = producer.progress() => match progress {
                    Ok(progress) => {
                        self.count(&progress);
                        return Step::Durable;
                    }
                    Err(error) => self.fail(error),
                },
                frame = self.body.frame(), if has_room => match frame {
                    Some(Ok(frame)) => {
                        self.heard = Instant::now();
                        let Ok(data) = frame.into_data() else { continue };
                        let taken = self.items.feed(&data, |event| producer.push(lasting(event, self.ttl)));
                        if let Err(refusal) = taken {
                            self.give_up(refusal);
                            continue;
                        }
                        // The memory is the client's, and what it sends of one item is bounded in any case.
                        let held = self.items.held();
                        if held > defaults::STREAM_UNCOUNTED_BYTES
                            && let Err(short) = self.memory.grow(held)
                        {
                            let refusal = self.memory.refuse(short, "bodies that are under way");
                            self.give_up(refusal);
                        }
                    }
                    Some(Err(error)) => {
                        let refusal = Refusal::data(format!("the body did not arrive whole: {error}"));
                        self.give_up(refusal);
                    }
                    None => self.finish(),
                },
                () = &mut self.silence, if has_room => {
                    let due = self.heard + self.api.config.stream_timeout;
                    if due > Instant::now() {
                        self.silence.as_mut().reset(due);
                        continue;
                    }
                    self.api.metrics.count_limit(Limit::StreamTimeout);
                    let seconds = self.api.config.stream_timeout.as_secs_f32();
                    let detail = format!("nothing of the body has come for {seconds} s");
                    self.give_up(Refusal::data(detail));
                }
                () = at(self.expires) => {
                    let detail = "the token has ended, and the stream with it: come back with a new one";
                    let refusal = Refusal::new(ProblemKind::Unauthorized, detail);
                    self.give_up(refusal);
                }
                () = self.api.draining.cancelled() => self.suspend(),
            }
        }
    }

    /// The body has come whole.
    fn finish(&mut self) {
        if let Some(producer) = &mut self.producer
            && let Err(refusal) = self.items.finish(|event| producer.push(lasting(event, self.ttl)))
        {
            return self.give_up(refusal);
        }
        self.end_with(|producer| {
            Box::pin(async move {
                let so_far = producer.so_far();
                match producer.finish().await {
                    Ok(progress) => (Ok(()), progress),
                    Err(error) => (Err(refusal(error, &so_far)), so_far),
                }
            })
        });
    }

    /// The log takes no more of it.
    fn fail(&mut self, error: ProducerError) {
        self.end_with(|producer| {
            Box::pin(async move {
                let progress = match error.is_ended() {
                    true => producer.detach(),
                    false => producer.abort(EndReason::aborted()).await,
                };
                (Err(refusal(error, &progress)), progress)
            })
        });
    }

    /// It breaks off. What has come is appended, and the topic ended where it was to end with the stream.
    fn give_up(&mut self, refusal: Refusal) {
        self.end_with(|producer| {
            Box::pin(async move {
                let progress = producer.abort(EndReason::aborted()).await;
                (Err(refusal.at(place(&progress, None))), progress)
            })
        });
    }

    /// The hub shuts down. A producer with a key comes back to the next one; without one, it would not know how.
    fn suspend(&mut self) {
        let detail = "the hub is shutting down: come back with the same key";
        let refusal = Refusal::new(ProblemKind::Unavailable, detail);
        if !self.producer.as_ref().is_some_and(Producer::may_return) {
            return self.give_up(refusal);
        }
        self.end_with(|producer| {
            Box::pin(async move {
                let progress = producer.suspend().await;
                (Err(refusal.at(place(&progress, None))), progress)
            })
        });
    }

    fn end_with(&mut self, ending: impl FnOnce(Producer) -> Ending) {
        self.ending = self.producer.take().map(ending);
    }

    fn count(&mut self, progress: &Progress) {
        let before = self.counted;
        let new = (progress.events - progress.repeated).saturating_sub(before.events - before.repeated);
        let bytes = progress.bytes.saturating_sub(before.bytes);
        self.api.metrics.published.inc_by(new);
        self.api.metrics.published_bytes.inc_by(bytes);
        self.counted = *progress;
    }

    fn summary(&self, progress: &Progress) -> Vec<u8> {
        json_line(&Summary {
            topic: self.topic.as_str(),
            events: progress.events,
            first: progress.first.map(|id| id.to_string()),
            last: progress.last.map(|id| id.to_string()),
            closed: progress.closed,
        })
    }

    /// The answer that goes on with the stream.
    fn acknowledge(self) -> Body {
        // The last line has left, and when the next one may.
        let begin = Some((self, Instant::now()));
        Body::from_stream(unfold(begin, async |state| {
            let (mut publication, due) = state?;
            let mut is_pending = false;
            loop {
                let step = tokio::select! {
                    biased;
                    step = publication.step() => step,
                    () = sleep_until(due), if is_pending => {
                        let next = Instant::now() + defaults::STREAM_ACKNOWLEDGEMENT;
                        return Some((line(publication.acknowledgement()), Some((publication, next))));
                    }
                };
                match step {
                    Step::Durable if Instant::now() < due => is_pending = true,
                    Step::Durable => {
                        let next = Instant::now() + defaults::STREAM_ACKNOWLEDGEMENT;
                        return Some((line(publication.acknowledgement()), Some((publication, next))));
                    }
                    Step::Over(Ok(progress)) => return Some((line(publication.summary(&progress)), None)),
                    Step::Over(Err(refusal)) => return Some((line(refusal.stream_line()), None)),
                }
            }
        }))
    }

    fn acknowledgement(&self) -> Vec<u8> {
        let Progress { events, last, .. } = self.counted;
        json_line(&Acknowledgement { events, last: last.map(|id| id.to_string()) })
    }
}

/// A piece of a body.
fn line(bytes: Vec<u8>) -> Result<Bytes, Infallible> {
    Ok(bytes.into())
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn respond(content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn place(progress: &Progress, reason: Option<EndReason>) -> StreamPlace {
    StreamPlace { events: progress.events, last: progress.last.map(|id| id.to_string()), reason }
}

fn refusal(error: ProducerError, progress: &Progress) -> Refusal {
    match error {
        ProducerError::Ended { ref reason, .. } => {
            let reason = reason.clone();
            Refusal::new(ProblemKind::TopicClosed, error.to_string()).at(place(progress, reason))
        }
        ProducerError::Refused(error) => Refusal::from(error).at(place(progress, None)),
    }
}
