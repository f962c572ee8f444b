use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use tidings_protocol::{EndReason, Object, Topic, limits};
use tokio::time::{Instant, sleep, timeout};

use crate::answer::{self, Failure};
use crate::backoff::Backoff;
use crate::client::send;
use crate::endpoint::Endpoint;
use crate::socket::Acknowledgement;
use crate::{Client, Interruption, Message, PublishError, defaults};

/// A publish that is about to be sent: await it, or [`send`](Self::send) it.
///
/// Where the hub is away, it is tried again, always under one idempotency key, so that the events are
/// published exactly once.
#[must_use = "nothing is published until it is awaited"]
pub struct Publish {
    client: Client,
    target: Target,
    messages: Vec<Message>,
    close: bool,
    reason: Option<String>,
    delete: bool,
    ttl: Option<Duration>,
    key: Option<String>,
    retry_for: Duration,
    on_retry: Option<OnRetry>,
}

type OnRetry = Box<dyn FnMut(&Interruption, Duration) + Send>;

enum Target {
    Topic(String),
    /// A topic for each message.
    Each(Vec<String>),
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    ids: Vec<String>,
    repeated: bool,
}

/// The request, the same for every attempt.
struct Letter {
    method: Method,
    url: Url,
    content_type: &'static str,
    body: Bytes,
    key: String,
    /// How many ids its answer has; an end alone may have one.
    events: usize,
    /// The same as an item of a WebSocket's message, where that means the same.
    item: Option<String>,
}

#[derive(Deserialize)]
struct Receipt {
    id: Option<String>,
    ids: Option<Vec<String>>,
}

// === impl Publish ===

impl Publish {
    pub(crate) fn new(client: Client, topic: String, messages: Vec<Message>) -> Self {
        Self {
            client,
            target: Target::Topic(topic),
            messages,
            close: false,
            reason: None,
            delete: false,
            ttl: None,
            key: None,
            retry_for: defaults::PUBLISH_RETRY,
            on_retry: None,
        }
    }

    pub(crate) fn each(client: Client, messages: impl Iterator<Item = (String, Message)>) -> Self {
        let (topics, messages) = messages.unzip();
        Self { target: Target::Each(topics), ..Self::new(client, String::new(), messages) }
    }

    pub(crate) fn deletion(client: Client, topic: String) -> Self {
        Self { delete: true, ..Self::new(client, topic, Vec::new()) }
    }

    /// Ends the topic with this.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Ends the topic with this, and tells its readers why: 1 to 64 characters of `[a-z0-9-]`, as `stopped`. Whoever
    /// streams to the topic is told that it has ended.
    pub fn close_because(mut self, reason: impl Into<String>) -> Self {
        self.close = true;
        self.reason = Some(reason.into());
        self
    }

    /// How long the events are delivered: no read gives them any more when they are older. Whoever waits has had them then.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The key under which the hub knows this publish, should it come twice. Without one, a random one is
    /// used, which makes the attempts of this publish known, and nothing else.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// For how long it is tried again where the hub cannot be reached or cannot take it now.
    /// [`Duration::ZERO`] is one attempt, [`Duration::MAX`] is for ever.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// Is told, before each further attempt, what became of the last one and how long is rested.
    pub fn on_retry(mut self, tell: impl FnMut(&Interruption, Duration) + Send + 'static) -> Self {
        self.on_retry = Some(Box::new(tell));
        self
    }

    /// Publishes. Once this resolves, the events are as durable as the hub promises.
    ///
    /// # Errors
    /// [`PublishError`] says whether the hub refused it, or could not be reached for too long.
    pub async fn send(mut self) -> Result<Published, PublishError> {
        if self.messages.is_empty() && !self.close && !self.delete {
            return Ok(Published { ids: Vec::new(), repeated: false });
        }
        let letter = self.letter()?;
        let started = Instant::now();
        let mut backoff = Backoff::new();
        let mut token_refused = false;
        loop {
            let (reason, after) = match attempt(&self.client, &letter).await {
                Ok(published) => return Ok(published),
                Err(Failure::Lasting(problem)) => return Err(PublishError::Refused(problem)),
                Err(Failure::Untrusted(reason)) => return Err(PublishError::Untrusted { reason }),
                Err(Failure::Unauthorized(problem)) => {
                    if token_refused || !self.client.token_may_change() {
                        return Err(PublishError::Refused(problem));
                    }
                    token_refused = true;
                    continue;
                }
                Err(Failure::Passing { reason, after }) => (reason, after),
            };
            let delay = backoff.next(after);
            if started.elapsed().saturating_add(delay) >= self.retry_for {
                return Err(PublishError::GaveUp { attempts: backoff.attempt(), last: reason });
            }
            tracing::debug!(%reason, ?delay, "publishing again");
            if let Some(tell) = &mut self.on_retry {
                tell(&reason, delay);
            }
            sleep(delay).await;
        }
    }

    fn letter(&self) -> Result<Letter, PublishError> {
        for message in &self.messages {
            message.check()?;
        }
        let key = match &self.key {
            None => random_key(),
            Some(key) => {
                let fits = (1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&key.len());
                if !fits || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(PublishError::IdempotencyKey);
                }
                key.clone()
            }
        };
        let mut url = match &self.target {
            Target::Topic(topic) => {
                Topic::new(topic)?;
                if self.is_named_in_body(topic) {
                    self.client.endpoint().events()
                } else {
                    self.client.endpoint().topic(topic).ok_or(PublishError::Unaddressable)?
                }
            }
            Target::Each(topics) => {
                topics.iter().try_for_each(|topic| Topic::new(topic).map(drop))?;
                if self.close {
                    return Err(PublishError::CloseOfBatch);
                }
                self.client.endpoint().events()
            }
        };
        if self.close {
            url.query_pairs_mut().append_pair("close", "true");
        }
        if let Some(ttl) = self.ttl {
            url.query_pairs_mut().append_pair("ttl", &ttl_text(ttl));
        }
        if let Some(reason) = &self.reason {
            EndReason::new(reason)?;
            url.query_pairs_mut().append_pair("reason", reason);
        }
        let (content_type, body) = match (&self.target, self.messages.as_slice()) {
            (Target::Topic(_), []) => ("text/plain; charset=utf-8", Bytes::new()),
            // With `close`, an empty body means that there is no event: an empty event needs the form of a batch.
            (Target::Topic(topic), [message])
                if !(self.close && message.data().is_empty() || self.is_named_in_body(topic)) =>
            {
                if let Some(event_type) = message.event_type_name() {
                    url.query_pairs_mut().append_pair("event", event_type);
                }
                (message.content_type(), message.data().clone())
            }
            _ => ("application/x-ndjson", self.lines()?),
        };
        let item = match (&self.target, self.messages.as_slice()) {
            (Target::Topic(topic), [message])
                if !self.close && self.ttl.is_none() && Endpoint::is_plain(topic) =>
            {
                message.item(topic, &key)
            }
            _ => None,
        };
        let method = if self.delete { Method::DELETE } else { Method::POST };
        Ok(Letter { method, url, content_type, body, key, events: self.messages.len(), item })
    }

    /// Whether the topic stands in each item of a batch, as something on the way might read a path that names it in its own
    /// way. Ending or deleting a topic takes a path.
    fn is_named_in_body(&self, topic: &str) -> bool {
        !self.close && !self.delete && !Endpoint::is_plain(topic)
    }

    fn lines(&self) -> Result<Bytes, PublishError> {
        let mut lines = Vec::new();
        for (index, message) in self.messages.iter().enumerate() {
            let topic = match &self.target {
                Target::Topic(topic) => self.is_named_in_body(topic).then_some(topic.as_str()),
                Target::Each(topics) => topics.get(index).map(String::as_str),
            };
            message.write_line(topic, &mut lines).map_err(|error| {
                PublishError::Data(tidings_protocol::InvalidData::NotJson { reason: error.to_string() })
            })?;
        }
        Ok(lines.into())
    }
}

async fn attempt(client: &Client, letter: &Letter) -> Result<Published, Failure> {
    if let Some(answered) = through_socket(client, letter).await {
        return answered;
    }
    let request = client.request(letter.method.clone(), letter.url.clone()).await?;
    let request = request
        .header(CONTENT_TYPE, letter.content_type)
        .header("idempotency-key", &letter.key)
        .body(letter.body.clone());
    let transfer = u64::try_from(letter.body.len()).unwrap_or(u64::MAX) / defaults::SLOWEST_UPLOAD;
    let patience = defaults::PUBLISH_TIMEOUT.saturating_add(Duration::from_secs(transfer));
    let Some(response) = send(client, request, "application/json", patience).await? else {
        return Err(Interruption::Unexpected { what: format!("status {}", StatusCode::NO_CONTENT) }.into());
    };
    let status = response.status();
    let body = answer::body(response, defaults::ANSWER_BYTES, defaults::POLL_GRACE).await?;
    let Object::<Receipt>(receipt) =
        serde_json::from_slice(&body).map_err(|error| Interruption::Malformed(error.to_string()))?;
    let ids = receipt.ids.unwrap_or_else(|| receipt.id.into_iter().collect());
    if letter.events > 0 && ids.len() != letter.events {
        let what = format!("it has the ids of {} events, and {} were published", ids.len(), letter.events);
        return Err(Interruption::Malformed(what).into());
    }
    Ok(Published { ids, repeated: status == StatusCode::OK })
}

/// Publishes through a socket that is open. `None` where there is none, or it ends before what became of it is told: under
/// the same key, nothing is published twice.
async fn through_socket(client: &Client, letter: &Letter) -> Option<Result<Published, Failure>> {
    let socket = client.socket()?;
    let publication = socket.publish(letter.item.as_ref()?)?;
    match timeout(defaults::SOCKET_ACKNOWLEDGEMENT, publication.acknowledged()).await {
        Ok(Some(Acknowledgement::Published(published))) => Some(Ok(published)),
        // A request may have a newer token.
        Ok(Some(Acknowledgement::Refused(Failure::Unauthorized(_))) | None) | Err(_) => None,
        Ok(Some(Acknowledgement::Refused(failure))) => Some(Err(failure)),
    }
}

impl IntoFuture for Publish {
    type Output = Result<Published, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = match &self.target {
            Target::Topic(topic) => std::slice::from_ref(topic),
            Target::Each(topics) => topics,
        };
        f.debug_struct("Publish")
            .field("topics", &topics)
            .field("messages", &self.messages.len())
            .field("close", &self.close)
            .field("retry_for", &self.retry_for)
            .finish_non_exhaustive()
    }
}

/// A lifetime as a hub reads it, which takes none of nothing.
pub(crate) fn ttl_text(ttl: Duration) -> String {
    format!("{}ms", ttl.as_millis())
}

/// 128 random bits. Two publishers that draw the same key would take each other's events for repetitions.
pub(crate) fn random_key() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    format!("{:032x}", u128::from_ne_bytes(bytes))
}

// === impl Published ===

impl Published {
    pub(crate) fn new(ids: Vec<String>, repeated: bool) -> Self {
        Self { ids, repeated }
    }

    /// The ids of the events, in their order.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The id of the last event; `None` where a topic was only ended.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.ids.last().map(String::as_str)
    }

    /// Whether the hub knew the idempotency key, and so appended nothing this time.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new("http://hub").unwrap()
    }

    fn letter(publish: &Publish) -> (String, &'static str, String) {
        let letter = publish.letter().unwrap();
        (letter.url.to_string(), letter.content_type, String::from_utf8(letter.body.to_vec()).unwrap())
    }

    #[test]
    fn one_event_is_its_own_body() {
        assert_eq!(
            letter(&client().publish("a/b", Message::json_text("{ }").event_type("x y"))),
            ("http://hub/topics/a/b?event=x+y".into(), "application/json", "{ }".into())
        );
    }

    #[test]
    fn several_events_are_a_batch() {
        assert_eq!(
            letter(&client().publish_batch("a", ["1", "2"]).close()),
            (
                "http://hub/topics/a?close=true".into(),
                "application/x-ndjson",
                "{\"data\":\"1\"}\n{\"data\":\"2\"}\n".into()
            )
        );
        assert_eq!(
            letter(&client().publish_each([("a", "1"), ("b", "2")])),
            (
                "http://hub/events".into(),
                "application/x-ndjson",
                "{\"topic\":\"a\",\"data\":\"1\"}\n{\"topic\":\"b\",\"data\":\"2\"}\n".into()
            )
        );
    }

    #[test]
    fn a_topic_that_a_path_may_not_keep_stands_in_the_body() {
        for topic in ["a/../b", "a/./b", "a//b", ".."] {
            assert_eq!(
                letter(&client().publish(topic, Message::json_text("1").event_type("t"))),
                (
                    "http://hub/events".into(),
                    "application/x-ndjson",
                    format!("{{\"topic\":\"{topic}\",\"event\":\"t\",\"data\":1}}\n")
                )
            );
        }
        assert_eq!(letter(&client().publish("a..b/.c", "1")).0, "http://hub/topics/a..b/.c");
    }

    #[test]
    fn an_end_and_an_empty_last_event_differ() {
        let url = "http://hub/topics/a?close=true".to_owned();
        assert_eq!(letter(&client().close("a")), (url.clone(), "text/plain; charset=utf-8", String::new()));
        assert_eq!(
            letter(&client().publish("a", "").close()),
            (url, "application/x-ndjson", "{\"data\":\"\"}\n".into())
        );
        let stopped = client().close("a").close_because("stopped");
        assert_eq!(letter(&stopped).0, "http://hub/topics/a?close=true&reason=stopped");
    }

    #[test]
    fn what_a_hub_would_refuse_is_not_sent() {
        let refused = |publish: Publish| publish.letter().err().unwrap();
        assert!(matches!(refused(client().publish("a/*", "x")), PublishError::Topic(_)));
        assert!(matches!(refused(client().publish("..", "x").close()), PublishError::Unaddressable));
        assert!(matches!(refused(client().close("a").close_because("Why?")), PublishError::Reason(_)));
        assert!(matches!(
            refused(client().publish("a", "x").idempotency_key("two words")),
            PublishError::IdempotencyKey
        ));
        assert!(matches!(refused(client().publish_each([("a", "x")]).close()), PublishError::CloseOfBatch));
    }

    #[test]
    fn each_publish_has_a_key_of_its_own() {
        let keys = [random_key(), random_key()];
        assert!(keys[0] != keys[1] && keys.iter().all(|key| key.len() == 32));
    }
}
