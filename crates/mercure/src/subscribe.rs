//! `GET /.well-known/mercure`.

use std::sync::Arc;

use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tidings_http::{Api, Caller, Refusal};
use tidings_hub::{Entry, PullLimits};
use tidings_log::ReadError;
use tidings_protocol::{Cursor, ProblemKind, Selection, Sequence, Start};

use crate::facade::Facade;
use crate::filter::Filter;
use crate::matcher::{MatchType, Matcher, Matchers};
use crate::publish::shown;
use crate::token::Token;

/// What a subscriber asks for.
#[derive(Debug, Default)]
struct Question {
    matchers: Vec<Matcher>,
    last_event_id: Option<String>,
}

/// Where a subscriber begins who names an event.
struct Place {
    start: Start,
    /// The place of that event, where it was found.
    found: Option<Sequence>,
}

pub(crate) const EARLIEST: &str = "earliest";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The names of the parameter that the versions of the protocol have had.
const LAST_EVENT_IDS: [&str; 3] = ["lastEventID", "last_event_id", "Last-Event-ID"];

/// Answers with the updates of some topics.
pub(crate) async fn answer(facade: &Facade, api: &Api, parts: &Parts) -> Response {
    match subscribe(facade, api, parts).await {
        Ok(response) => response,
        Err(refusal) => Api::put_off(parts, refusal),
    }
}

async fn subscribe(facade: &Facade, api: &Api, parts: &Parts) -> Result<Response, Refusal> {
    let token = facade.subscriber(api, parts).await?;
    let question = Question::read(parts, api.config().max_topics_per_request)?;
    let (asked, selectors) = {
        let asked =
            Matchers::new(&question.matchers, facade.base()).map_err(|error| query(error.to_string()))?;
        let selectors = asked.selectors();
        (asked, selectors)
    };
    let private = token.as_ref().and_then(|token| token.subscribe.clone());
    let filter = Arc::new(Filter::new(asked, private, facade.scope()));
    let mut fields = HeaderMap::new();
    let mut start = Start::Latest;
    if let Some(id) = &question.last_event_id {
        let place = place(facade, api, id).await?;
        start = place.start;
        let may_know = match place.found {
            Some(sequence) => may_know(api, &filter, sequence).await?,
            None => false,
        };
        let told = if may_know { HeaderValue::from_str(id).ok() } else { None };
        fields.insert(LAST_EVENT_ID, told.unwrap_or(HeaderValue::from_static(EARLIEST)));
    }
    let selection = Selection::new(selectors).filtered(filter);
    let subscription = api.hub().subscribe(selection, start).await?;
    if subscription.gap().is_some() {
        fields.insert(LAST_EVENT_ID, HeaderValue::from_static(EARLIEST));
    }
    let kept = facade.announce(api, parts, token.as_ref(), &question.matchers).await;
    let caller = token.map_or_else(Caller::default, |token: Token| token.caller);
    Ok(api.stream_updates(parts, &subscription, &caller, fields, kept).await)
}

/// Where the updates after an event begin: one whose publisher chose its id, or one of the hub's own ids. After one that there is
/// not, they begin with the earliest that there is.
async fn place(facade: &Facade, api: &Api, id: &str) -> Result<Place, ReadError> {
    if id == EARLIEST {
        return Ok(Place { start: Start::Earliest, found: None });
    }
    let hub = api.hub();
    if let Some(sequence) = facade.ids().place(hub, id).await? {
        let start = Start::Cursor(hub.lineage().id(sequence));
        return Ok(Place { start, found: Some(sequence) });
    }
    let cursor = id.strip_prefix(Entry::MERCURE_ID).unwrap_or(id).parse::<Cursor>();
    Ok(match cursor {
        Ok(cursor) => Place { start: Start::Cursor(cursor), found: Some(cursor.sequence) },
        Err(_) => Place { start: Start::Foreign(id.to_owned()), found: None },
    })
}

/// Whether a subscriber may know of the event at a place.
async fn may_know(api: &Api, filter: &Filter, sequence: Sequence) -> Result<bool, ReadError> {
    let hub = api.hub();
    let Some(before) = sequence.checked_sub(1) else { return Ok(false) };
    if sequence > hub.latest() {
        return Ok(false);
    }
    let one = PullLimits { events: 1, bytes: 1 };
    match hub.read(hub.epoch(), before, &Selection::all(), one).await {
        Ok(recent) => {
            let found = recent.entries.first().map(|entry| entry.event());
            Ok(found.is_some_and(|event| event.sequence == sequence && filter.may_read(event)))
        }
        Err(ReadError::Expired { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

// === impl Question ===

impl Question {
    fn read(parts: &Parts, most: usize) -> Result<Self, Refusal> {
        let mut question = Self::default();
        for pair in parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let kind = match &*name {
                "topic" => MatchType::Template,
                "match" | "match_exact" | "matchExact" => MatchType::Exact,
                "match_urlpattern" | "matchURLPattern" | "topicURLPattern" => MatchType::UrlPattern,
                other if LAST_EVENT_IDS.contains(&other) => {
                    question.last_event_id.get_or_insert(value);
                    continue;
                }
                other if other.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case("match")) => {
                    let detail = format!(
                        "`{}` is none of `match`, `match_exact` and `match_urlpattern`",
                        shown(other)
                    );
                    return Err(query(detail));
                }
                _ => continue,
            };
            if question.matchers.len() == most {
                return Err(query(format!("one request has at most {most} topics and matchers")));
            }
            let matcher = Matcher::new(kind, &value);
            let matcher =
                matcher.map_err(|error| query(format!("`{name}`, `{}`: {error}", shown(&value))))?;
            if !question.matchers.contains(&matcher) {
                question.matchers.push(matcher);
            }
        }
        if question.matchers.is_empty() {
            return Err(query(
                "name at least one topic, as in `?topic=https://example.com/books/1` or `?match=…`",
            ));
        }
        // The field wins.
        if let Some(value) = parts.headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
            question.last_event_id = Some(String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
        question.last_event_id = question.last_event_id.filter(|id| !id.is_empty());
        Ok(question)
    }
}

fn decode(text: &str) -> Result<String, Refusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    decoded.map(String::from).map_err(|_| query("the query is not UTF-8 when percent-decoded"))
}

fn query(detail: impl Into<String>) -> Refusal {
    Refusal::new(ProblemKind::InvalidQuery, detail)
}
