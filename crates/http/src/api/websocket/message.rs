//! What is said on a WebSocket beside events.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidings_hub::{Folding, Published};
use tidings_protocol::{Cursor, Object, Problem, Selector, Start};
use tidings_websocket::{Opcode, encode};

use super::Reference;
use crate::api::problem::Refusal;
use crate::api::publish::{Publication, SinglePublication};
use crate::api::query::{folding, selector, shown};
use crate::delivery::encoding::SubscriptionName;
use crate::{Api, defaults};

/// What a client asks for in a message.
#[derive(Debug)]
pub(super) enum Command {
    Subscribe {
        name: SubscriptionName,
        selectors: Vec<Selector>,
        start: Option<Start>,
        types: Vec<String>,
        folding: Folding,
    },
    Unsubscribe(SubscriptionName),
    Publish(Box<SinglePublication>),
    Token(String),
}

/// A message that was refused, and what its problem is told with.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) name: Option<SubscriptionName>,
}

/// A message as it is written. `null` is as good as absent.
#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    subscribe: Option<Cow<'a, str>>,
    #[serde(borrow)]
    topics: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    since: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    conflate: Option<Cow<'a, str>>,
    #[serde(borrow)]
    every: Option<Cow<'a, str>>,
    #[serde(borrow)]
    unsubscribe: Option<Cow<'a, str>>,
    #[serde(borrow)]
    publish: Option<Object<Publication<'a>>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
}

/// All that is read of a message that is not understood.
#[derive(Debug, Deserialize)]
struct OnlyReference<'a> {
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
}

/// A message to the client.
#[derive(Debug, Default, Serialize)]
struct Reply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsubscribed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Terms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "ref")]
    reference: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
}

/// What became of a publication.
#[derive(Debug, Serialize)]
struct Receipt {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    time: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
}

/// Until when a token is valid.
#[derive(Debug, Serialize)]
struct Terms {
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// Reads a message, and what it is named by.
pub(super) fn read(text: &str, api: &Api) -> (Result<Command, Box<Refused>>, Reference) {
    let (command, reference) = match serde_json::from_str::<Object<Message<'_>>>(text) {
        Ok(Object(message)) => {
            let reference = message.reference;
            (message.command(api), reference)
        }
        Err(error) => {
            let reference =
                serde_json::from_str(text).ok().and_then(|Object(OnlyReference { reference })| reference);
            let refusal = Refusal::data(format!("the message is not understood: {error}"));
            (Err(refusal.into()), reference)
        }
    };
    match reference.filter(|reference| reference.get().len() > defaults::SOCKET_REFERENCE_BYTES) {
        Some(_) => {
            let detail = format!("`ref` is longer than {} bytes", defaults::SOCKET_REFERENCE_BYTES);
            (Err(Refusal::data(detail).into()), None)
        }
        None => (command, reference.map(ToOwned::to_owned)),
    }
}

/// Says that a subscription has begun, and where.
pub(super) fn subscribed(
    name: SubscriptionName,
    next: Option<Cursor>,
    reference: Option<&RawValue>,
) -> Vec<u8> {
    let next = next.map(|cursor| cursor.to_string());
    Reply { subscribed: Some(name.as_str()), next, reference, ..Reply::default() }.frame()
}

/// Says that a subscription has ended because its client asked for that.
pub(crate) fn unsubscribed(name: SubscriptionName, reference: Option<&RawValue>) -> Vec<u8> {
    Reply { unsubscribed: Some(name.as_str()), reference, ..Reply::default() }.frame()
}

/// Says what was refused.
pub(crate) fn problem(
    refusal: &Refusal,
    reference: Option<&RawValue>,
    name: Option<SubscriptionName>,
) -> Vec<u8> {
    let problem = Some(refusal.kind().problem(refusal.detail()));
    Reply { problem, reference, sub: name.as_ref().map(SubscriptionName::as_str), ..Reply::default() }.frame()
}

/// Says until when a token is valid.
pub(super) fn terms(until: Option<String>, reference: Option<&RawValue>) -> Vec<u8> {
    Reply { token: Some(Terms { until }), reference, ..Reply::default() }.frame()
}

/// Says that an event was appended, under an id; or without one, that a topic was ended.
pub(super) fn published(id: Option<Cursor>, published: &Published, reference: Option<&RawValue>) -> Vec<u8> {
    let receipt = Receipt {
        id: id.map(|id| id.to_string()),
        time: published.appended.time.to_string(),
        repeated: published.appended.duplicate,
    };
    Reply { published: Some(receipt), reference, ..Reply::default() }.frame()
}

// === impl Refused ===

impl From<Refusal> for Box<Refused> {
    fn from(refusal: Refusal) -> Self {
        Self::new(Refused { refusal, name: None })
    }
}

// === impl Message ===

impl Message<'_> {
    fn command(self, api: &Api) -> Result<Command, Box<Refused>> {
        let Self {
            subscribe,
            topics,
            since,
            event,
            unsubscribe,
            publish,
            token,
            conflate,
            every,
            reference: _,
        } = self;
        match (subscribe, unsubscribe, publish, token) {
            (Some(name), None, None, None) => {
                let name = named(&name)?;
                let told = |refusal| Box::new(Refused { refusal, name: Some(name) });
                let topics = topics.unwrap_or_default();
                let most = api.config.max_topics_per_request;
                if topics.is_empty() || topics.len() > most {
                    if topics.len() > most {
                        api.metrics.count_limit(crate::limit::Limit::TopicsPerRequest);
                    }
                    let detail = format!("a subscription has 1 to {most} selectors in `topics`");
                    return Err(told(Refusal::query(detail)));
                }
                let selectors: Result<_, _> = topics.iter().map(|text| selector(text)).collect();
                let start = since.as_deref().map(Start::from_since).transpose();
                let types: Vec<_> = event.unwrap_or_default().into_iter().map(Cow::into_owned).collect();
                if types.len() > defaults::EVENT_TYPES {
                    let detail =
                        format!("a subscription names at most {} event types", defaults::EVENT_TYPES);
                    return Err(told(Refusal::query(detail)));
                }
                Ok(Command::Subscribe {
                    name,
                    selectors: selectors.map_err(told)?,
                    start: start.map_err(|error| told(Refusal::query(error.to_string())))?,
                    types,
                    folding: folding(conflate.as_deref(), every.as_deref()).map_err(told)?,
                })
            }
            (None, Some(name), None, None) => Ok(Command::Unsubscribe(named(&name)?)),
            (None, None, Some(Object(publication)), None) => {
                Ok(Command::Publish(Box::new(publication.read(api)?)))
            }
            (None, None, None, Some(token)) => Ok(Command::Token(token.into_owned())),
            _ => {
                let detail = "a message has one of `subscribe`, `unsubscribe`, `publish` and `token`";
                Err(Refusal::data(detail).into())
            }
        }
    }
}

fn named(text: &str) -> Result<SubscriptionName, Refusal> {
    SubscriptionName::new(text).ok_or_else(|| {
        let most = defaults::SUBSCRIPTION_NAME_BYTES;
        Refusal::query(format!(
            "the name of a subscription has at most {most} bytes, not as `{}`",
            shown(text)
        ))
    })
}

// === impl Reply ===

impl Reply<'_> {
    fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        // What it consists of always serializes.
        encode(Opcode::Text, &serde_json::to_vec(self).unwrap_or_default(), &mut frame);
        frame
    }
}
