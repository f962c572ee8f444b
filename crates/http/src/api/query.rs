use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use tidings_hub::Folding;
use tidings_protocol::{Selection, Selector, Start, limits, parse_duration};

use crate::api::problem::Refusal;
use crate::defaults;

/// The parameters of a request, percent-decoded. `None` as a value: it was not UTF-8.
pub(crate) struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
}

/// What a reader asks for, beside the topics (§3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadOptions {
    /// Where to start, where the request says so.
    pub(crate) start: Option<Start>,
    /// In how many places it does.
    pub(crate) starts: usize,
    pub(crate) wait: Duration,
    pub(crate) limit: usize,
    pub(crate) types: Vec<String>,
    pub(crate) envelope: bool,
    /// Whether a stream is for a client that knows nothing of Tidings.
    pub(crate) plain: bool,
    /// The data of the event that tells such a client of a clean end.
    pub(crate) end: Option<Arc<str>>,
    pub(crate) heartbeat: Option<Duration>,
    /// How what is pending is folded, and how often it is delivered.
    pub(crate) folding: Folding,
}

// === impl Query ===

impl<'a> Query<'a> {
    pub(crate) fn new(query: Option<&'a str>) -> Self {
        let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
        let pairs = parts
            .map(|part| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                (decode(name).unwrap_or_default(), decode(value))
            })
            .collect();
        Self { pairs }
    }

    /// The value of a parameter; of several, the last.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, Refusal> {
        self.all(name).last().transpose()
    }

    /// Every value of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = Result<&str, Refusal>> {
        self.pairs.iter().filter(move |(own, _)| own == name).map(move |(_, value)| {
            value
                .as_deref()
                .ok_or_else(|| Refusal::query(format!("`{name}` is not UTF-8 when percent-decoded")))
        })
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(Refusal::query(format!("`{name}` is `true` or `false`, not `{}`", shown(other))))
            }
        }
    }

    /// A number within bounds.
    pub(crate) fn number(&self, name: &str, default: usize, max: usize) -> Result<usize, Refusal> {
        let Some(text) = self.get(name)? else { return Ok(default) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && (1..=max).contains(&number) => Ok(number),
            _ => Err(Refusal::query(format!("`{name}` is a number from 1 to {max}, not `{}`", shown(text)))),
        }
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        parse_duration(text).map(Some).map_err(|error| Refusal::query(format!("`{name}`: {error}")))
    }

    /// The selectors of `topic=…&topic=…`.
    pub(crate) fn selectors(&self) -> Result<Vec<Selector>, Refusal> {
        let selectors: Vec<_> = self.all("topic").map(|text| selector(text?)).collect::<Result<_, _>>()?;
        if selectors.is_empty() {
            return Err(Refusal::query("name at least one selector, as in `?topic=orders/*`"));
        }
        Ok(selectors)
    }
}

/// A query writes a space as `+` or `%20`.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode_str(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()));
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// A piece of what was sent, for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

pub(crate) fn selector(text: &str) -> Result<Selector, Refusal> {
    Selector::new(text).map_err(|error| Refusal::from((text, error)))
}

/// The rest of a path, percent-decoded: what follows `/topics/`.
pub(crate) fn path_topic(path: &str) -> Result<Cow<'_, str>, Refusal> {
    let start = path.find("/topics/").map_or(path.len(), |at| at + "/topics/".len());
    let rest = &path[start..];
    percent_decode_str(rest)
        .decode_utf8()
        .map_err(|_| Refusal::topic(rest, &"it is not UTF-8 when percent-decoded"))
}

// === impl ReadOptions ===

impl ReadOptions {
    pub(crate) fn new(query: &Query<'_>, headers: &HeaderMap) -> Result<Self, Refusal> {
        let types: Vec<String> =
            query.all("event").map(|text| text.map(str::to_owned)).collect::<Result<_, _>>()?;
        if types.len() > defaults::EVENT_TYPES {
            let detail = format!("one request names at most {} event types", defaults::EVENT_TYPES);
            return Err(Refusal::query(detail));
        }
        let heartbeat = query.duration("heartbeat")?;
        Ok(Self {
            start: start(query, headers)?,
            starts: starts(query, headers),
            wait: query.duration("wait")?.unwrap_or_default(),
            limit: query.number("limit", limits::DEFAULT_PAGE_EVENTS, limits::PAGE_EVENTS)?,
            types,
            envelope: query.flag("envelope")?,
            plain: query.flag("plain")?,
            end: query.get("end")?.map(end_text).transpose()?,
            folding: folding(query.get("conflate")?, query.get("every")?)?,
            heartbeat: heartbeat.map(|wish| wish.clamp(defaults::MIN_HEARTBEAT, defaults::MAX_HEARTBEAT)),
        })
    }

    pub(crate) fn selection(&self, selectors: Vec<Selector>) -> Selection {
        Selection::new(selectors).of_types(self.types.iter().cloned())
    }
}

/// The data of an event that tells of a clean end: one line.
fn end_text(text: &str) -> Result<Arc<str>, Refusal> {
    let length = text.chars().count();
    if !(1..=limits::END_TEXT_CHARACTERS).contains(&length) || text.chars().any(char::is_control) {
        let most = limits::END_TEXT_CHARACTERS;
        return Err(Refusal::query(format!(
            "`end` is 1 to {most} characters, none of them a control character"
        )));
    }
    Ok(text.into())
}

/// How a reader wants what is pending for it (§3.10).
pub(crate) fn folding(conflate: Option<&str>, every: Option<&str>) -> Result<Folding, Refusal> {
    let conflate = conflate.map(|text| {
        text.parse().map_err(|error| Refusal::query(format!("`conflate`: {error}, not `{}`", shown(text))))
    });
    let every = every.map(|text| match parse_duration(text) {
        Ok(every) if every <= defaults::MAX_EVERY => Ok(every),
        Ok(_) => {
            let most = defaults::MAX_EVERY.as_secs();
            Err(Refusal::query(format!("`every` is at most {most} seconds, not `{}`", shown(text))))
        }
        Err(error) => Err(Refusal::query(format!("`every`: {error}"))),
    });
    Ok(Folding { conflate: conflate.transpose()?, every: every.transpose()?.unwrap_or_default() })
}

/// A last event id, which wins over `since`, is never an error. Clients without one may send it empty.
fn start(query: &Query<'_>, headers: &HeaderMap) -> Result<Option<Start>, Refusal> {
    if let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) {
        return Ok(Some(Start::from_last_event_id(&String::from_utf8_lossy(value.as_bytes()))));
    }
    if let Some((_, value)) = query.pairs.iter().rev().find(|(name, _)| name == "lastEventId")
        && value.as_deref() != Some("")
    {
        return Ok(Some(Start::from_last_event_id(value.as_deref().unwrap_or("\u{fffd}"))));
    }
    let Some(since) = query.get("since")? else { return Ok(None) };
    Start::from_since(since).map(Some).map_err(|error| Refusal::query(error.to_string()))
}

/// How many places of a request say where to start, whether they are listened to or not.
fn starts(query: &Query<'_>, headers: &HeaderMap) -> usize {
    let named = |name: &str| ["since", "lastEventId"].contains(&name);
    headers.get_all("last-event-id").iter().count() + query.pairs.iter().filter(|(own, _)| named(own)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use tidings_hub::Conflate;

    fn options(query: &str) -> Result<ReadOptions, Refusal> {
        ReadOptions::new(&Query::new(Some(query)), &HeaderMap::new())
    }

    #[test]
    fn what_is_absent_has_its_default_and_what_is_unknown_is_ignored() {
        let options = options("foo=bar&&%ff=1").unwrap();
        assert_eq!(options.limit, 1_000);
        assert_eq!(options.wait, Duration::ZERO);
        assert_eq!(options.start, None);
        assert!(!options.envelope);
    }

    #[test]
    fn malformed_parameters_are_refused() {
        for query in [
            "limit=0",
            "limit=10001",
            "limit=x",
            "limit=%2B5",
            "limit=",
            "wait=soon",
            "wait=-1",
            "since=",
            "since=x",
            "since=%ff",
            "envelope=1",
            "heartbeat=often",
            "since=-0",
            "conflate=",
            "conflate=newest",
            "conflate=Latest",
            "conflate=%ff",
            "every=",
            "every=often",
            "every=-1",
            "every=61",
            "every=1h",
            "every=%ff",
        ] {
            assert!(options(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_wish_for_heartbeats_is_clamped() {
        assert_eq!(options("heartbeat=0").unwrap().heartbeat, Some(Duration::from_secs(1)));
        assert_eq!(options("heartbeat=90").unwrap().heartbeat, Some(Duration::from_secs(60)));
        assert_eq!(options("heartbeat=2.5").unwrap().heartbeat, Some(Duration::from_millis(2_500)));
    }

    #[test]
    fn what_is_pending_can_be_folded() {
        let folding = |query| options(query).unwrap().folding;
        assert_eq!(folding(""), Folding::default());
        let every = Duration::from_millis(100);
        assert_eq!(
            folding("conflate=latest&every=100ms"),
            Folding { conflate: Some(Conflate::Latest), every }
        );
        assert_eq!(folding("conflate=append").conflate, Some(Conflate::Append));
        for (text, seconds) in [("0", 0), ("60", 60), ("1m", 60)] {
            let query = format!("every={text}");
            assert_eq!(options(&query).unwrap().folding.every, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn the_header_wins_over_the_query_and_both_over_since() {
        let mut headers = HeaderMap::new();
        let query = "since=nonsense&lastEventId=q7m2x9-2";
        let start =
            |headers: &HeaderMap, query| ReadOptions::new(&Query::new(Some(query)), headers).unwrap().start;
        assert_eq!(start(&headers, query), Some(Start::Cursor("q7m2x9-2".parse().unwrap())));
        headers.insert("last-event-id", HeaderValue::from_static("q7m2x9-1"));
        assert_eq!(start(&headers, query), Some(Start::Cursor("q7m2x9-1".parse().unwrap())));
        headers.insert("last-event-id", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(start(&headers, query), Some(Start::Foreign("\u{fffd}".into())));
        headers.insert("last-event-id", HeaderValue::from_static(""));
        assert_eq!(start(&headers, "lastEventId="), None);
    }

    #[test]
    fn selectors_are_decoded_strictly() {
        let texts = |query| {
            Query::new(Some(query)).selectors().map(|all| all.iter().map(ToString::to_string).collect())
        };
        assert_eq!(texts("topic=a%2Fb&topic=c+d"), Ok(vec!["a/b".to_owned(), "c d".to_owned()]));
        assert!(texts("topic=%ff").is_err());
        assert!(texts("topic=%00").is_err());
        assert!(texts("").is_err());
        assert_eq!(path_topic("/topics/a%2fb/%2e%2e").unwrap(), "a/b/..");
        assert!(path_topic("/topics/%c0%ae").is_err());
    }
}
