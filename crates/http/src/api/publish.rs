mod items;
mod stream;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidings_hub::Published;
use tidings_log::{AppendError, Appended, Batch, Close, Idempotency, Scope};
use tidings_protocol::{
    EndReason, EventType, Format, NewEvent, Object, ProblemKind, Topic, format_duration, limits,
    parse_duration,
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use crate::api::problem::{Answer, Refusal, json_line};
use crate::api::query::{Query, path_topic, shown};
use crate::delivery::memory::{Client, Portion};
use crate::{Api, api::body, api::trace, defaults};

/// What the content type of a publication says (§2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Event(Format),
    Lines,
}

/// One event of a batch (§2).
#[derive(Debug, Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    encoding: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ttl: Option<Cow<'a, str>>,
}

/// A publication to one topic, as a message of a WebSocket has it (§3.8).
#[derive(Debug, Deserialize)]
pub(crate) struct Publication<'a> {
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    encoding: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    close: Option<bool>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ttl: Option<Cow<'a, str>>,
}

/// A publication of at most one event to one topic.
#[derive(Debug)]
pub(crate) struct SinglePublication {
    pub(crate) topic: Topic,
    /// Nothing, where the topic is only ended.
    pub(crate) event: Option<NewEvent>,
    /// Whether the topic ends with it.
    pub(crate) close: bool,
    /// Why it does, where that is no clean end.
    pub(crate) reason: Option<EndReason>,
    /// See [`Idempotency`].
    pub(crate) key: Option<String>,
}

/// What is kept until the events of a publication are appended.
struct Kept {
    _memory: Portion,
    /// Events that take much memory are not counted but appended in turn, so there are only so many of them.
    _turn: Option<OwnedSemaphorePermit>,
}

/// The events of a publication, as they are read.
struct Events {
    api: Api,
    list: Vec<NewEvent>,
    /// What the body and the events take, and how much of that is counted.
    bytes: usize,
    counted: usize,
    memory: Portion,
}

/// The items of an array, each given to `take` until one is refused.
struct Items<'a, T> {
    take: T,
    refused: &'a mut Option<Refusal>,
}

/// The answer to a publication.
#[derive(Debug, Serialize)]
struct Receipt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    time: String,
}

/// `POST /topics/{topic}`.
pub(crate) async fn to_topic(api: &Api, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let text = path_topic(parts.uri.path())?;
    let topic = Topic::new(&text).map_err(|error| Refusal::from((&*text, error)))?;
    let access = api.auth.access(&parts, &api.config.cors).await?;
    let query = Query::new(parts.uri.query());
    let close = query.flag("close");
    let (publishes, closes) = (access.publish(&topic), matches!(close, Ok(true)));
    if closes {
        access.close(&topic)?;
    } else {
        publishes.clone()?;
    }
    if let Some(asked) = stream::Asked::of(&parts, &query)? {
        publishes?;
        if asked.closes() {
            access.close(&topic)?;
        }
        api.rates.check(api, &parts, &access)?;
        return asked.publish(api, &parts, &query, body, &access, topic).await;
    }
    api.rates.check(api, &parts, &access)?;

    let content = Content::of(&parts.headers);
    let client = Client::of(&parts.extensions, Some(&access));
    // Who may only end the topic says no last word.
    let limit = if publishes.is_ok() { content.limit(api) } else { 0 };
    let whole = body::read(api, client, &parts.headers, body, limit)
        .await
        .map_err(|refusal| publishes.err().unwrap_or(refusal))?;
    let event_type = query.get("event")?.map(event_type).transpose()?;
    let ttl = query.get("ttl")?.map(lifetime).transpose()?;
    let close = close?;
    let reason = end_reason(&query, close)?;
    let key = idempotency_key(&parts.headers)?;

    let own = (api.clone(), topic.clone());
    let (events, _kept) = parse(api, whole, move |bytes, events| {
        let (api, topic) = own;
        match content {
            _ if close && bytes.is_empty() => Ok(()),
            Content::Event(format) => {
                events.add_whole(NewEvent::new(topic, event_type, format, bytes.clone())?.lasting(ttl))
            }
            Content::Lines => lines(bytes, |item| {
                let max = api.config.max_event_bytes;
                events.add(item.event(topic.clone(), (event_type.clone(), ttl), max)?)
            }),
        }
    })
    .await?;
    let batch = Batch {
        close: close.then(|| Close::for_reason(topic.clone(), reason)),
        idempotency: key.map(|key| Idempotency { scope: Scope::Topic(topic.clone()), key }),
        events,
    };
    // The end may be an entry of its own, which is no event; where there is nothing else, it has the id.
    let count = batch.events.len();
    let many = content == Content::Lines && count > 0;
    let published = publish(api, batch).await?;
    Ok(receipt(&published, Some(&topic), many.then_some(count)))
}

/// `POST /events`.
pub(crate) async fn to_topics(api: &Api, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let access = api.auth.access(&parts, &api.config.cors).await?;
    access.publish_at_all()?;
    api.rates.check(api, &parts, &access)?;
    let content = Content::of(&parts.headers);
    if content != Content::Lines && !is_json(&media_type(&parts.headers)) {
        let detail = "send an array as application/json, or lines as application/x-ndjson";
        return Err(Refusal::new(ProblemKind::UnsupportedMediaType, detail));
    }
    let client = Client::of(&parts.extensions, Some(&access));
    let whole = body::read(api, client, &parts.headers, body, api.config.max_batch_bytes).await?;
    let key = idempotency_key(&parts.headers)?;
    let ttl = Query::new(parts.uri.query()).get("ttl")?.map(lifetime).transpose()?;
    let (own, scope) = (api.clone(), access.scope());
    let (events, _kept) = parse(api, whole, move |bytes, events| {
        let take = |item: Item<'_>| {
            let text =
                item.topic.clone().ok_or_else(|| Refusal::data("each event of a batch has a `topic`"))?;
            let topic = Topic::new(&text).map_err(|error| Refusal::from((&*text, error)))?;
            access.publish(&topic)?;
            events.add(item.event(topic, (None, ttl), own.config.max_event_bytes)?)
        };
        if content == Content::Lines { lines(bytes, take) } else { array(bytes, take) }
    })
    .await?;
    let idempotency = key.map(|key| Idempotency { scope, key });
    let count = events.len();
    let published = publish(api, Batch { events, close: None, idempotency }).await?;
    Ok(receipt(&published, None, Some(count)))
}

/// Makes a body into events, with what is to be kept until they are appended. What is large is parsed where it keeps
/// nobody waiting.
async fn parse(
    api: &Api,
    whole: body::Whole,
    read: impl FnOnce(&Bytes, &mut Events) -> Result<(), Refusal> + Send + 'static,
) -> Result<(Vec<NewEvent>, Kept), Refusal> {
    let body::Whole { bytes, memory } = whole;
    let size = bytes.len();
    let mut events = Events { api: api.clone(), list: Vec::new(), bytes: size, counted: size, memory };
    let parse = move || read(&bytes, &mut events).map(|()| events);
    if size <= defaults::PARSE_BYTES {
        let events = parse()?;
        return Ok((events.list, Kept { _memory: events.memory, _turn: None }));
    }
    let gone = || Refusal::new(ProblemKind::Unavailable, "the body cannot be read now");
    let turn = Arc::clone(&api.parses).acquire_owned().await.map_err(|_| gone())?;
    let parsed = tokio::task::spawn_blocking(move || {
        // Also where nobody waits for it any more, the turn is over only when this is.
        let events = parse()?;
        let turn = Some(turn).filter(|_| events.bytes > defaults::MEDIUM_BYTES);
        Ok((events.list, Kept { _memory: events.memory, _turn: turn }))
    });
    parsed.await.map_err(|_| gone())?
}

/// Appends a batch, and counts it.
pub(crate) async fn publish(api: &Api, batch: Batch) -> Result<Published, Refusal> {
    if batch.events.is_empty() && batch.close.is_none() {
        return Err(Refusal::data("the batch has no events"));
    }
    let (events, bytes) =
        (batch.events.len(), batch.events.iter().map(|event| event.data().len()).sum::<usize>());
    let began = Instant::now();
    let published = api.hub.publish(batch).instrument(trace::of_append(events)).await?;
    api.metrics.publish_time().record(began.elapsed(), 1);
    if !published.appended.duplicate {
        api.metrics.published.inc_by(events as u64);
        api.metrics.published_bytes.inc_by(bytes as u64);
    }
    Ok(published)
}

/// Publishes batches one after the other, up to the first that is refused.
pub(crate) async fn publish_each(api: &Api, batches: Vec<Batch>) -> Vec<Result<Published, Refusal>> {
    let sizes: Vec<(usize, usize)> = batches
        .iter()
        .map(|batch| (batch.events.len(), batch.events.iter().map(|event| event.data().len()).sum()))
        .collect();
    let began = Instant::now();
    let events = sizes.iter().map(|(events, _)| events).sum();
    let answers = api.hub.publish_each(batches).instrument(trace::of_append(events)).await;
    let took = began.elapsed();
    let count = |(answer, (events, bytes)): (Result<Appended, AppendError>, (usize, usize))| {
        let published = Published { appended: answer? };
        api.metrics.publish_time().record(took, 1);
        if !published.appended.duplicate {
            api.metrics.published.inc_by(events as u64);
            api.metrics.published_bytes.inc_by(bytes as u64);
        }
        Ok(published)
    };
    answers.into_iter().zip(sizes).map(count).collect()
}

/// The answer to a publication: of one event, or of a batch of so many.
pub(super) fn receipt(published: &Published, topic: Option<&Topic>, many: Option<usize>) -> Response {
    let mut ids = published.ids().map(|id| id.to_string());
    let (id, ids) = match many {
        Some(count) => (None, Some(ids.take(count).collect())),
        None => (ids.next(), None),
    };
    let receipt =
        Receipt { id, ids, topic: topic.map(Topic::as_str), time: published.appended.time.to_string() };
    let mut response = Response::new(Body::from(json_line(&receipt)));
    *response.status_mut() = if published.appended.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

// === impl Content ===

impl Content {
    fn of(headers: &HeaderMap) -> Self {
        let media_type = media_type(headers);
        if media_type == "application/x-ndjson" {
            Self::Lines
        } else if is_json(&media_type) {
            Self::Event(Format::Json)
        } else if media_type == "application/octet-stream" {
            Self::Event(Format::Binary)
        } else {
            Self::Event(Format::Text)
        }
    }

    fn limit(self, api: &Api) -> usize {
        match self {
            Self::Event(_) => api.config.max_event_bytes,
            Self::Lines => api.config.max_batch_bytes,
        }
    }
}

/// The type and subtype of the content, in lower case, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || media_type.split_once('/').is_some_and(|(_, sub)| sub.ends_with("+json"))
}

// === impl Publication ===

impl Publication<'_> {
    /// Reads it. Whether its sender may publish it is another question.
    pub(crate) fn read(self, api: &Api) -> Result<SinglePublication, Refusal> {
        let Self { topic, data, event, encoding, key, close, reason, ttl } = self;
        let text = topic.ok_or_else(|| Refusal::data("a publication has a `topic`"))?;
        let topic = Topic::new(&text).map_err(|error| Refusal::from((&*text, error)))?;
        let close = close.unwrap_or_default();
        let event = match data {
            Some(data) => Some(Item { data, topic: None, event, encoding, ttl }.event(
                topic.clone(),
                (None, None),
                api.config.max_event_bytes,
            )?),
            None if close => None,
            None => return Err(Refusal::data("a publication has `data`, or `\"close\": true`")),
        };
        let key = key.map(|key| checked_key(&key)).transpose()?;
        let reason = checked_reason(reason.as_deref(), close)?;
        Ok(SinglePublication { topic, event, close, reason, key })
    }
}

// === impl Item ===

impl Item<'_> {
    fn event(
        &self,
        topic: Topic,
        (default_type, default_ttl): (Option<EventType>, Option<Duration>),
        max_event_bytes: usize,
    ) -> Result<NewEvent, Refusal> {
        let event_type = self.event.as_deref().map(event_type).transpose()?.or(default_type);
        let ttl = self.ttl.as_deref().map(lifetime).transpose()?.or(default_ttl);
        let json = self.data.get();
        let (format, data) = match self.encoding.as_deref() {
            Some("base64") => {
                let text: Cow<'_, str> = serde_json::from_str(json)
                    .map_err(|_| Refusal::data("`data` is a JSON string where `encoding` is `base64`"))?;
                let bytes = STANDARD
                    .decode(text.as_bytes())
                    .map_err(|error| Refusal::data(format!("`data` is not base64: {error}")))?;
                (Format::Binary, Bytes::from(bytes))
            }
            Some(other) => {
                return Err(Refusal::data(format!(
                    "`encoding` is `base64` or absent, not `{}`",
                    shown(other)
                )));
            }
            None if json.starts_with('"') => {
                let text: String = serde_json::from_str(json)
                    .map_err(|error| Refusal::data(format!("`data` is not text: {error}")))?;
                (Format::Text, Bytes::from(text))
            }
            None => (Format::Json, Bytes::copy_from_slice(json.as_bytes())),
        };
        if data.len() > max_event_bytes {
            return Err(body::too_large(max_event_bytes));
        }
        Ok(NewEvent::new(topic, event_type, format, data)?.lasting(ttl))
    }
}

/// Takes the lines of a batch that are not blank, each as one item.
fn lines(bytes: &[u8], mut take: impl FnMut(Item<'_>) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let numbered = bytes.split(|&byte| byte == b'\n').zip(1..);
    for (line, number) in numbered.filter(|(line, _)| !line.trim_ascii().is_empty()) {
        let Object(item) = serde_json::from_slice(line)
            .map_err(|error| Refusal::data(format!("line {number} is not an event: {error}")))?;
        take(item)?;
    }
    Ok(())
}

/// Takes the items of an array, each as it is read: all of them at once would take many times the array's size.
fn array(bytes: &[u8], take: impl FnMut(Item<'_>) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut refused = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = reader.deserialize_seq(Items { take, refused: &mut refused }).and_then(|()| reader.end());
    match (refused, read) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(error)) => Err(Refusal::data(format!("not an array of events: {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

// === impl Items ===

impl<'de, T: FnMut(Item<'de>) -> Result<(), Refusal>> Visitor<'de> for Items<'_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(Object(item)) = items.next_element()? {
            if let Err(refusal) = (self.take)(item) {
                *self.refused = Some(refusal);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

// === impl Events ===

impl Events {
    /// Adds the event whose data is the body itself.
    fn add_whole(&mut self, event: NewEvent) -> Result<(), Refusal> {
        self.list.push(event);
        Ok(())
    }

    /// Adds an event of a batch.
    fn add(&mut self, event: NewEvent) -> Result<(), Refusal> {
        let config = &self.api.config;
        if self.list.len() >= config.max_batch_events {
            let detail = format!("a batch has at most {} events", config.max_batch_events);
            return Err(Refusal::new(ProblemKind::EventTooLarge, detail));
        }
        if event.data().len() > config.max_event_bytes {
            return Err(body::too_large(config.max_event_bytes));
        }
        self.bytes += event.data().len() + defaults::BATCH_EVENT_BYTES;
        if self.bytes > self.counted + defaults::SMALL_BYTES && self.bytes <= defaults::MEDIUM_BYTES {
            self.counted = self.bytes;
            if let Err(short) = self.memory.grow(self.bytes) {
                return Err(self.memory.refuse(short, "bodies that are under way"));
            }
        }
        self.list.push(event);
        Ok(())
    }
}

/// Why a topic ends with a publication, where that is no clean end.
fn end_reason(query: &Query<'_>, close: bool) -> Result<Option<EndReason>, Refusal> {
    checked_reason(query.get("reason")?, close)
}

fn checked_reason(text: Option<&str>, close: bool) -> Result<Option<EndReason>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    if !close {
        return Err(Refusal::query("`reason` is why a topic ends: it goes with `close=true`"));
    }
    EndReason::new(text).map(Some).map_err(|error| Refusal::query(format!("`reason`: {error}")))
}

/// How long an event is delivered. It has a unit, so that nobody takes seconds for milliseconds.
fn lifetime(text: &str) -> Result<Duration, Refusal> {
    let wrong = |what: &str| Refusal::query(format!("`ttl` {what}, like `90s`, not `{}`", shown(text)));
    if !text.ends_with(|last: char| last.is_ascii_alphabetic()) {
        return Err(wrong("is a number with one of the units ms, s, m, h, d"));
    }
    let ttl = parse_duration(text).map_err(|_| wrong("is a number with one of the units ms, s, m, h, d"))?;
    if ttl.is_zero() {
        return Err(wrong("is 1ms or more"));
    }
    if ttl > limits::TTL {
        return Err(wrong(&format!("is at most {}", format_duration(limits::TTL))));
    }
    Ok(ttl)
}

fn event_type(text: &str) -> Result<EventType, Refusal> {
    EventType::new(text).map_err(|error| Refusal::query(error.to_string()))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Whoever repeats one of two has perhaps the other in mind.
    if values.next().is_some() {
        return Err(Refusal::query("a publication has one `Idempotency-Key`"));
    }
    checked_key(value.to_str().unwrap_or_default()).map(Some)
}

fn checked_key(text: &str) -> Result<String, Refusal> {
    if Idempotency::is_key(text) {
        return Ok(text.to_owned());
    }
    let most = limits::IDEMPOTENCY_KEY_BYTES;
    Err(Refusal::query(format!("an idempotency key is 1 to {most} visible ASCII characters")))
}
