//! `POST /.well-known/mercure`.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use percent_encoding::percent_decode;
use tidings_http::{Api, Refusal};
use tidings_hub::{Entry, Published};
use tidings_log::Batch;
use tidings_protocol::{EventType, Format, NewEvent, ProblemKind, Topic, Update};
use url::Url;

use crate::defaults;
use crate::facade::Facade;
use crate::token::Token;
use crate::topics::{is_text, name, place};

/// What the body of a publication says.
#[derive(Debug, Default)]
struct Form<'a> {
    topics: Vec<Cow<'a, str>>,
    data: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    retry: Option<u64>,
    private: bool,
}

/// The path below which topics are the hub's own.
pub(crate) const RESERVED: &str = "/.well-known/mercure";

/// Publishes an update, and answers with its id.
pub(crate) async fn answer(
    facade: &Facade,
    api: &Api,
    parts: &Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let token = facade.publisher(api, parts).await?;
    let allowed = token.publish.as_ref().ok_or_else(|| {
        Refusal::small_token("the token does not allow to publish: it has no `mercure.publish`")
    })?;
    // Each byte may be three when it is percent-encoded.
    let most = api.config().max_event_bytes.saturating_mul(3).saturating_add(defaults::FIELD_BYTES);
    let whole = api.read_publication(parts, body, most, &token.caller).await?;
    let form = Form::read(&whole.bytes, &token)?;
    for topic in &form.topics {
        if is_reserved(topic, facade.base()) {
            let detail = format!("`{}`: topics below `{RESERVED}` are the hub's own", shown(topic));
            return Err(Refusal::new(ProblemKind::Forbidden, detail));
        }
        if !allowed.matches(topic, facade.base()) {
            let detail = format!("the token does not cover publishing to `{}`", shown(topic));
            return Err(Refusal::small_token(detail));
        }
    }
    let chosen = form.id.as_ref().map(ToString::to_string);
    let event = form.event(facade)?;
    let most = api.config().max_event_bytes;
    if event.data().len() > most {
        let detail = format!("the update has {} bytes; the limit is {most}", event.data().len());
        return Err(Refusal::new(ProblemKind::EventTooLarge, detail));
    }
    let published = api.append(Batch::of(event)).await?;
    let mut response = Response::new(Body::from(chosen.unwrap_or_else(|| own_id(&published))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn own_id(published: &Published) -> String {
    published.ids().next().map_or_else(String::new, |id| format!("{}{id}", Entry::MERCURE_ID))
}

/// The event that an update is kept as: where nothing would be lost, one like any other.
pub(crate) fn event(update: Update<'_>, is_public: impl Fn(&Topic) -> bool) -> Result<NewEvent, Refusal> {
    let plain_type = match update.event_type.as_deref().map(EventType::new) {
        None => Some(None),
        Some(Ok(event_type)) => Some(Some(event_type)),
        Some(Err(_)) => None,
    };
    let is_single =
        update.topics.len() == 1 && !update.private && update.id.is_none() && update.retry.is_none();
    let own = update.topics.first().and_then(|topic| Topic::new(&name(topic)?).ok());
    if !update.private && !own.as_ref().is_none_or(is_public) {
        let topic = update.topics.first().map(|topic| shown(topic)).unwrap_or_default();
        let detail = format!(
            "`{topic}` is not public here: publish with `private=on`, or have `public-topics` cover it"
        );
        return Err(Refusal::new(ProblemKind::Forbidden, detail));
    }
    if is_single && let (Some(topic), Some(event_type)) = (own, &plain_type) {
        let event = NewEvent::text(topic, update.data);
        return Ok(match event_type {
            Some(event_type) => event.typed(event_type.clone()),
            None => event,
        });
    }
    let place = place(&update.topics, update.private);
    let topic = Topic::new(&place).map_err(|error| invalid(format!("`{}`: {error}", shown(&place))))?;
    let data = serde_json::to_vec(&update).map_err(|error| invalid(error.to_string()))?;
    Ok(NewEvent::new(topic, plain_type.flatten(), Format::Json, data)?)
}

// === impl Form ===

impl<'a> Form<'a> {
    fn read(body: &'a [u8], token: &Token) -> Result<Self, Refusal> {
        let mut form = Self::default();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = (decode(&pair[..at])?, pair.get(at + 1..).unwrap_or_default());
            // Of those that are there once, the first counts.
            match &*name {
                "topic" if form.topics.len() == defaults::TOPICS => {
                    return Err(invalid(format!("an update has at most {} topics", defaults::TOPICS)));
                }
                "topic" => form.topics.push(topic(decode(value)?)?),
                "data" if form.data.is_none() => form.data = Some(decode(value)?),
                "private" => form.private = true,
                "id" if form.id.is_none() => form.id = id(decode(value)?)?,
                "type" if form.event_type.is_none() => form.event_type = event_type(decode(value)?, token)?,
                "retry" if form.retry.is_none() => form.retry = retry(&decode(value)?)?,
                _ => {}
            }
        }
        match form.topics.len() {
            0 => Err(invalid(
                "the update has no `topic`: send `topic=…&data=…` as application/x-www-form-urlencoded",
            )),
            // Tokens of 1.0 say which protocol is spoken.
            2.. if token.is_new => {
                Err(invalid("an update has exactly one `topic` (with tokens of 0.x, it may have more)"))
            }
            _ => Ok(form),
        }
    }

    fn event(self, facade: &Facade) -> Result<NewEvent, Refusal> {
        let mut topics = self.topics;
        let mut seen = std::collections::HashSet::new();
        topics.retain(|topic| seen.insert(topic.clone()));
        let update = Update {
            topics,
            private: self.private,
            id: self.id,
            event_type: self.event_type,
            retry: self.retry,
            data: self.data.unwrap_or_default(),
        };
        event(update, |topic| facade.is_public(topic))
    }
}

fn topic(text: Cow<'_, str>) -> Result<Cow<'_, str>, Refusal> {
    if text.len() > defaults::MATCHER_BYTES {
        return Err(Refusal::new(
            ProblemKind::EventTooLarge,
            format!("a `topic` has at most {} bytes", defaults::MATCHER_BYTES),
        ));
    }
    if !is_text(&text) {
        return Err(invalid("a `topic` is not empty, and has no control characters"));
    }
    Ok(text)
}

fn id(text: Cow<'_, str>) -> Result<Option<Cow<'_, str>>, Refusal> {
    if text.len() > defaults::ID_BYTES {
        return Err(Refusal::new(
            ProblemKind::EventTooLarge,
            format!("an `id` has at most {} bytes", defaults::ID_BYTES),
        ));
    }
    if text.starts_with('#') || text.contains(['\r', '\n', '\0']) {
        return Err(invalid("an `id` does not begin with `#`, and has no CR, LF or NUL"));
    }
    if text == "earliest" {
        return Err(invalid("the `id` `earliest` stands for the beginning"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn event_type<'a>(text: Cow<'a, str>, token: &Token) -> Result<Option<Cow<'a, str>>, Refusal> {
    if text.contains(['\r', '\n', '\0']) {
        return Err(invalid("a `type` has no CR, LF or NUL"));
    }
    if token.is_new && text == "mercure" {
        return Err(invalid("the `type` `mercure` is the hub's own"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn retry(text: &str) -> Result<Option<u64>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let millis = text.parse().ok().filter(|_| digits);
    millis
        .map(Some)
        .ok_or_else(|| invalid(format!("`retry` is a number of milliseconds, not `{}`", shown(text))))
}

/// A name or a value of a form. What is not UTF-8 is refused, not mended.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let broken = |_| invalid("the body is not UTF-8 when percent-decoded");
    if bytes.contains(&b'+') {
        let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let text = percent_decode(&spaced).decode_utf8().map_err(broken)?;
        return Ok(Cow::Owned(text.into_owned()));
    }
    percent_decode(bytes).decode_utf8().map_err(broken)
}

/// Whether a topic leads to the hub's own resources, wherever it is thought to be.
fn is_reserved(topic: &str, base: &Url) -> bool {
    let is_own =
        |path: &str| path.strip_prefix(RESERVED).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    base.join(topic).map_or_else(|_| topic.contains(RESERVED), |url| is_own(url.path()))
}

fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::new(ProblemKind::InvalidData, detail)
}

/// A piece of what was sent, for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}
