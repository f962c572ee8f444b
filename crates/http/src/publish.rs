use std::borrow::Cow;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidings_hub::Published;
use tidings_log::{Batch, Idempotency};
use tidings_protocol::{EventType, Format, NewEvent, ProblemKind, Topic, limits};
use tracing::Instrument as _;

use crate::problem::{Answer, Refusal};
use crate::query::{Query, path_topic, shown};
use crate::{Face, body, trace};

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
pub(crate) async fn to_topic(face: &Face, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let text = path_topic(parts.uri.path())?;
    let topic = Topic::new(&text).map_err(|error| Refusal::from((&*text, error)))?;
    let access = face.auth.access(&parts, &face.config.cors).await?;
    access.publish(&topic)?;
    face.rates.check(face, &parts, &access)?;

    let content = Content::of(&parts.headers);
    // The memory is kept until the events are appended.
    let body::Whole { bytes, memory: _memory } =
        body::read(face, &parts.headers, body, content.limit(face)).await?;
    let query = Query::new(parts.uri.query());
    let event_type = query.get("event")?.map(event_type).transpose()?;
    let close = query.flag("close")?;
    let key = idempotency_key(&parts.headers)?;

    let events = match content {
        _ if close && bytes.is_empty() => Vec::new(),
        Content::Event(format) => vec![NewEvent { topic: topic.clone(), event_type, format, data: bytes }],
        Content::Lines => {
            let read = |item: Item<'_>| item.event(topic.clone(), event_type.clone(), face);
            lines(&bytes).map(|line| line.and_then(read)).collect::<Result<_, _>>()?
        }
    };
    let batch = Batch {
        close: close.then(|| topic.clone()),
        idempotency: key.map(|key| Idempotency { scope: Some(topic.clone()), key }),
        events,
    };
    let many = content == Content::Lines && !batch.events.is_empty();
    let published = publish(face, batch).await?;
    Ok(receipt(&published, Some(&topic), many))
}

/// `POST /events`.
pub(crate) async fn to_topics(face: &Face, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let access = face.auth.access(&parts, &face.config.cors).await?;
    access.publish_at_all()?;
    face.rates.check(face, &parts, &access)?;
    let content = Content::of(&parts.headers);
    if content != Content::Lines && !is_json(&media_type(&parts.headers)) {
        let detail = "send an array as application/json, or lines as application/x-ndjson";
        return Err(Refusal::new(ProblemKind::UnsupportedMediaType, detail));
    }
    let body::Whole { bytes, memory: _memory } =
        body::read(face, &parts.headers, body, face.config.max_batch_bytes).await?;
    let key = idempotency_key(&parts.headers)?;
    let read = |item: Item<'_>| {
        let text = item.topic.clone().ok_or_else(|| Refusal::data("each event of a batch has a `topic`"))?;
        let topic = Topic::new(&text).map_err(|error| Refusal::from((&*text, error)))?;
        access.publish(&topic)?;
        item.event(topic, None, face)
    };
    let events: Vec<_> = if content == Content::Lines {
        lines(&bytes).map(|line| line.and_then(read)).collect::<Result<_, _>>()?
    } else {
        let items: Vec<Item<'_>> = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::data(format!("not an array of events: {error}")))?;
        items.into_iter().map(read).collect::<Result<_, _>>()?
    };
    let idempotency = key.map(|key| Idempotency { scope: None, key });
    let published = publish(face, Batch { events, close: None, idempotency }).await?;
    Ok(receipt(&published, None, true))
}

async fn publish(face: &Face, batch: Batch) -> Result<Published, Refusal> {
    if batch.events.is_empty() && batch.close.is_none() {
        return Err(Refusal::data("the batch has no events"));
    }
    for event in &batch.events {
        event.check()?;
        if event.data.len() > face.config.max_event_bytes {
            return Err(body::too_large(face.config.max_event_bytes));
        }
    }
    let (events, bytes) =
        (batch.events.len(), batch.events.iter().map(|event| event.data.len()).sum::<usize>());
    let began = Instant::now();
    let published = face.hub.publish(batch).instrument(trace::of_append(events)).await?;
    face.metrics.publish_time().record(began.elapsed(), 1);
    if !published.appended.duplicate {
        face.metrics.published.inc_by(events as u64);
        face.metrics.published_bytes.inc_by(bytes as u64);
    }
    Ok(published)
}

fn receipt(published: &Published, topic: Option<&Topic>, many: bool) -> Response {
    let mut ids = published.ids().map(|id| id.to_string());
    let (id, ids) = if many { (None, Some(ids.collect())) } else { (ids.next(), None) };
    let receipt =
        Receipt { id, ids, topic: topic.map(Topic::as_str), time: published.appended.time.to_string() };
    let mut response = Response::new(Body::from(serde_json::to_vec(&receipt).unwrap_or_default()));
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

    fn limit(self, face: &Face) -> usize {
        match self {
            Self::Event(_) => face.config.max_event_bytes,
            Self::Lines => face.config.max_batch_bytes,
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

// === impl Item ===

impl Item<'_> {
    fn event(&self, topic: Topic, default_type: Option<EventType>, face: &Face) -> Result<NewEvent, Refusal> {
        let event_type = self.event.as_deref().map(event_type).transpose()?.or(default_type);
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
        if data.len() > face.config.max_event_bytes {
            return Err(body::too_large(face.config.max_event_bytes));
        }
        Ok(NewEvent { topic, event_type, format, data })
    }
}

/// The lines of a batch that are not blank, each read as one item.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Result<Item<'_>, Refusal>> {
    let numbered = bytes.split(|&byte| byte == b'\n').zip(1..);
    numbered.filter(|(line, _)| !line.trim_ascii().is_empty()).map(|(line, number)| {
        serde_json::from_slice(line)
            .map_err(|error| Refusal::data(format!("line {number} is not an event: {error}")))
    })
}

fn event_type(text: &str) -> Result<EventType, Refusal> {
    EventType::new(text).map_err(|error| Refusal::query(error.to_string()))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let bytes = value.as_bytes();
    let fits =
        (1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(text) if fits => Ok(Some(text.to_owned())),
        _ => Err(Refusal::query(format!(
            "`Idempotency-Key` is 1 to {} visible ASCII characters",
            limits::IDEMPOTENCY_KEY_BYTES
        ))),
    }
}
