//! Who is subscribed now: `/.well-known/mercure/subscriptions…`, and the updates that tell of it. Each hub knows its own subscribers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use tidings_http::{Api, Guard, Refusal};
use tidings_hub::Entry;
use tidings_log::Batch;
use tidings_protocol::{ProblemKind, Update};

use crate::defaults;
use crate::facade::Facade;
use crate::matcher::{MatchType, Matcher};
use crate::publish;
use crate::subscribe::EARLIEST;
use crate::token::Token;

/// The path of all of them.
pub(crate) const ROOT: &str = "/.well-known/mercure/subscriptions";
const CONTEXT: &str = "https://mercure.rocks/";
/// What stands for itself in an expansion (RFC 6570, section 3.2.2).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The subscriptions that there are now, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(Mutex<BTreeMap<String, Subscription>>);

/// One of them.
#[derive(Debug, Clone, PartialEq)]
struct Subscription {
    matcher: Matcher,
    subscriber: Arc<str>,
    payload: Option<Value>,
}

/// A subscription, as it is told of.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    matcher: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    match_type: Option<&'static str>,
    subscriber: &'a str,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    last_event_id: Option<&'a str>,
}

/// Several of them.
#[derive(Serialize)]
struct Collection<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "lastEventID")]
    last_event_id: &'a str,
    subscriptions: Vec<Document<'a>>,
}

// === impl Subscription ===

impl Subscription {
    fn path(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let kind = self.matcher.kind.name().map(|name| format!("/{name}")).unwrap_or_default();
        format!("{ROOT}{kind}/{}/{}", encoded(&self.matcher.text), encoded(&self.subscriber))
    }

    /// What is said of it: as 0.x has it where it was asked for in its way, and else as 1.0 does.
    fn document<'a>(&'a self, path: &'a str, active: bool, is_root: bool) -> Document<'a> {
        let is_old = self.matcher.kind == MatchType::Template;
        Document {
            context: (is_old && is_root).then_some(CONTEXT),
            id: path,
            kind: if is_old { "Subscription" } else { "subscription" },
            topic: is_old.then_some(&self.matcher.text),
            matcher: (!is_old).then_some(&self.matcher.text),
            match_type: self.matcher.kind.name(),
            subscriber: &self.subscriber,
            active,
            payload: self.payload.as_ref(),
            last_event_id: None,
        }
    }

    /// Publishes that it has begun, or is over.
    async fn tell(&self, api: &Api, path: &str, active: bool) {
        let data = serde_json::to_string_pretty(&self.document(path, active, true)).unwrap_or_default();
        let is_old = self.matcher.kind == MatchType::Template;
        let update = Update {
            topics: vec![path.into()],
            private: true,
            id: None,
            event_type: (!is_old).then(|| "mercure".into()),
            retry: None,
            data: data.into(),
        };
        let told = match publish::event(update, |_| false) {
            Ok(event) => api.append(Batch::of(event)).await.map(drop),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = told {
            tracing::warn!(
                ?refusal,
                path,
                active,
                "failed to publish that a subscription has begun or ended"
            );
        }
    }
}

impl Facade {
    /// Takes the subscriptions of a request into the list, and tells of them, where that is asked for: for as long as what it gives lives.
    pub(crate) async fn announce(
        &self,
        api: &Api,
        parts: &Parts,
        token: Option<&Token>,
        matchers: &[Matcher],
    ) -> Option<Guard> {
        let list = self.subscriptions()?;
        if parts.method != http::Method::GET {
            return None;
        }
        let subscriber: Arc<str> = uuid().into();
        let mut own = Vec::new();
        for matcher in matchers {
            let payload = token.and_then(|token| token.payload(&matcher.text, self.base())).cloned();
            let subscription =
                Subscription { matcher: matcher.clone(), subscriber: Arc::clone(&subscriber), payload };
            let path = subscription.path();
            if !list.add(path.clone(), subscription.clone()) {
                tracing::warn!(
                    most = defaults::SUBSCRIPTIONS,
                    "a subscription is not listed: there are too many"
                );
                continue;
            }
            own.push((path, subscription));
        }
        // Before anything is waited for: whoever leaves meanwhile is taken out again.
        let (over, later, runtime) = (own.clone(), api.clone(), tokio::runtime::Handle::current());
        let guard = Guard::new(move || {
            for (path, _) in &over {
                list.remove(path);
            }
            runtime.spawn(async move {
                for (path, subscription) in over {
                    subscription.tell(&later, &path, false).await;
                }
            });
        });
        for (path, subscription) in &own {
            subscription.tell(api, path, true).await;
        }
        Some(guard)
    }
}

/// A random UUID (RFC 9562, section 5.4), as an IRI.
fn uuid() -> String {
    let mut bytes = [0; 16];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes = fastrand::u128(..).to_be_bytes();
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex[from..to].concat();
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 16))
}

// === impl Subscriptions ===

impl Subscriptions {
    fn add(&self, path: String, subscription: Subscription) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= defaults::SUBSCRIPTIONS {
            return false;
        }
        all.insert(path, subscription);
        true
    }

    fn remove(&self, path: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// Those at a path, or below it.
    fn at(&self, path: &str) -> Vec<(String, Subscription)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_at =
            |own: &str| own.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let found = all.range(path.to_owned()..).take_while(|(own, _)| own.starts_with(path));
        found
            .filter(|(own, _)| is_at(own))
            .map(|(own, subscription)| (own.clone(), subscription.clone()))
            .collect()
    }
}

/// `GET /.well-known/mercure/subscriptions…`.
pub(crate) async fn answer(facade: &Facade, api: &Api, parts: &Parts) -> Result<Response, Refusal> {
    let path = parts.uri.path();
    let Some(list) = facade.subscriptions() else {
        let detail = "active subscriptions are not listed here; see `subscriptions` in `[mercure]`";
        return Err(Refusal::new(ProblemKind::NotFound, detail));
    };
    let token = facade.subscriber_with_token(api, parts).await?;
    if !token.subscribe.as_ref().is_some_and(|own| own.matches(path, facade.base())) {
        return Err(Refusal::small_token(format!("the token does not cover `{}`", publish::shown(path))));
    }
    let end = api.hub().end();
    let last =
        if end.latest == 0 { EARLIEST.to_owned() } else { format!("{}{}", Entry::MERCURE_ID, end.cursor()) };
    let below: Vec<&str> = path.strip_prefix(ROOT).unwrap_or_default().split('/').skip(1).collect();
    // `/exact/{match}` and `/urlpattern/{match}` are of 1.0.
    let is_named = below.first().is_some_and(|kind| MatchType::named(kind).is_some());
    let depth = below.len() - usize::from(is_named);
    let found = list.at(path);
    let is_new = token.is_new || is_named;
    let body = match depth {
        0 | 1 => {
            let subscriptions =
                found.iter().map(|(path, subscription)| subscription.document(path, true, false)).collect();
            let context = (!is_new).then_some(CONTEXT);
            let kind = if is_new { "subscriptions" } else { "Subscriptions" };
            serde_json::to_vec(&Collection { context, id: path, kind, last_event_id: &last, subscriptions })
        }
        _ => {
            let Some((path, subscription)) = found.first().filter(|(own, _)| own == path) else {
                return Err(Refusal::new(ProblemKind::NotFound, "there is no such subscription now"));
            };
            let document = subscription.document(path, true, true);
            serde_json::to_vec(&Document { last_event_id: Some(&last), ..document })
        }
    };
    let mut response = Response::new(Body::from(body.unwrap_or_default()));
    let headers = response.headers_mut();
    let media_type = if is_new { "application/mercure+json" } else { "application/ld+json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, must-revalidate"));
    headers.insert(
        HeaderName::from_static("link"),
        HeaderValue::from_static("</.well-known/mercure>; rel=\"mercure\""),
    );
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{last}\"")) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}
