use std::time::Duration;

use reqwest::Url;
use tidings_protocol::{Selector, format_duration, limits};

use crate::ladder;
use crate::session::Session;
use crate::stream::Patience;
use crate::{Client, Since, SubscribeError, Subscription, Transport, defaults};

/// A subscription that is about to be opened.
///
/// ```no_run
/// use tidings_client::{Client, Since, Transport};
///
/// # fn demo(client: Client, saved: String) -> Result<(), tidings_client::SubscribeError> {
/// let subscription = client
///     .subscribe(["orders/*"])
///     .since(Since::Cursor(saved))
///     .event_types(["shipped", "delivered"])
///     .transport(Transport::Auto)
///     .open()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is subscribed to until it is opened"]
pub struct Subscribe {
    client: Client,
    selectors: Vec<String>,
    since: Since,
    plan: Plan,
}

/// What a hub makes of events that are pending at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conflate {
    /// Of each topic only the newest one is sent.
    Latest,
    /// Consecutive texts of one topic and type are joined into one event, whose id is the last one's.
    Append,
}

/// What every attempt of a subscription has in common.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// At least one, none twice, and none of them `Auto`.
    pub(crate) transports: Vec<Transport>,
    pub(crate) event_types: Vec<String>,
    pub(crate) conflate: Option<Conflate>,
    pub(crate) every: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) stream_again: Duration,
    pub(crate) wait: Duration,
    pub(crate) interval: Duration,
    pub(crate) event_bytes: usize,
}

/// The longest interval between deliveries that a hub takes.
const LONGEST_EVERY: Duration = Duration::from_secs(60);

// === impl Conflate ===

impl Conflate {
    fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Append => "append",
        }
    }
}

// === impl Subscribe ===

impl Subscribe {
    pub(crate) fn new(client: Client, selectors: Vec<String>) -> Self {
        let plan = Plan {
            transports: ladder::transports([Transport::Auto]),
            event_types: Vec::new(),
            conflate: None,
            every: Duration::ZERO,
            heartbeat: defaults::HEARTBEAT,
            first_byte: defaults::FIRST_BYTE,
            stream_again: defaults::STREAM_AGAIN,
            wait: defaults::LONG_POLL_WAIT,
            interval: defaults::POLL_INTERVAL,
            event_bytes: defaults::EVENT_BYTES,
        };
        Self { client, selectors, since: Since::Latest, plan }
    }

    /// Where to begin; [`Since::Latest`] without this.
    pub fn since(mut self, since: Since) -> Self {
        self.since = since;
        self
    }

    /// Goes on after what [`Subscription::cursor`] gave, by whatever transport that was.
    pub fn cursor(self, cursor: impl Into<String>) -> Self {
        self.since(Since::Cursor(cursor.into()))
    }

    /// How events are fetched; [`Transport::Auto`] without this. Any other one is kept, whatever becomes of it.
    pub fn transport(self, transport: Transport) -> Self {
        self.transports([transport])
    }

    /// How events are fetched: by the first of these that works. [`Transport::Auto`] among them stands for a stream, a long
    /// poll and a short poll.
    ///
    /// ```
    /// # fn demo(client: tidings_client::Client) -> Result<(), tidings_client::SubscribeError> {
    /// use tidings_client::Transport;
    /// let subscription = client.subscribe(["a"]).transports([Transport::WebSocket, Transport::Auto]).open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.plan.transports = ladder::transports(transports);
        self
    }

    /// Only events of these types. An event without a type has the type `message`.
    pub fn event_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.plan.event_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// What is made of events that are pending at once: when catching up, or where there is an interval between
    /// [deliveries](Self::every). Each event is sent without this.
    ///
    /// ```
    /// # fn demo(client: tidings_client::Client) -> Result<(), tidings_client::SubscribeError> {
    /// use tidings_client::{Conflate, Since};
    /// // An answer of a model so far, in one event, and then on as it is written.
    /// let text = client.subscribe(["chat/42"]).since(Since::Earliest).conflate(Conflate::Append).open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn conflate(mut self, conflate: Conflate) -> Self {
        self.plan.conflate = Some(conflate);
        self
    }

    /// The shortest time between two deliveries, at most 60 s. What comes meanwhile is pending.
    pub fn every(mut self, interval: Duration) -> Self {
        self.plan.every = interval.min(LONGEST_EVERY);
        self
    }

    /// The interval of heartbeats to ask for, from 1 s to 60 s. A stream that is silent for two and a half of
    /// them counts as dead.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.plan.heartbeat = interval.clamp(Duration::from_secs(1), Duration::from_secs(60));
        self
    }

    /// How long a stream may take to begin before [`Transport::Auto`] goes on by long poll.
    pub fn first_byte(mut self, time: Duration) -> Self {
        self.plan.first_byte = time;
        self
    }

    /// How long after it gave up streams [`Transport::Auto`] tries one again.
    pub fn stream_again(mut self, time: Duration) -> Self {
        self.plan.stream_again = time;
        self
    }

    /// How long a long poll asks the hub to wait.
    pub fn wait(mut self, time: Duration) -> Self {
        self.plan.wait = time;
        self
    }

    /// How long to rest between two short polls.
    pub fn interval(mut self, time: Duration) -> Self {
        self.plan.interval = time;
        self
    }

    /// The largest event that is taken, in bytes as it arrives. A larger one makes the subscription try again
    /// and again, for it must not be passed over.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.plan.event_bytes = bytes;
        self
    }

    #[cfg(test)]
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The subscription. It begins once it is polled.
    ///
    /// # Errors
    /// [`SubscribeError`] where the selectors are not such that a hub takes them.
    pub fn open(self) -> Result<Subscription, SubscribeError> {
        let count = self.selectors.len();
        if count == 0 || count > limits::SELECTORS {
            return Err(SubscribeError::Selectors { count });
        }
        let selectors: Result<Vec<_>, _> = self
            .selectors
            .into_iter()
            .map(|text| Selector::new(&text).map_err(|source| SubscribeError::Selector { text, source }))
            .collect();
        let mut url = self.client.endpoint().selectors(&selectors?);
        for event_type in &self.plan.event_types {
            url.query_pairs_mut().append_pair("event", event_type);
        }
        if let Some(conflate) = self.plan.conflate {
            url.query_pairs_mut().append_pair("conflate", conflate.as_str());
        }
        if !self.plan.every.is_zero() {
            url.query_pairs_mut().append_pair("every", &format_duration(self.plan.every));
        }
        Ok(Subscription::new(Session::new(self.client, url, self.since, self.plan)))
    }
}

// === impl Plan ===

impl Plan {
    pub(crate) fn patience(&self, may_fall: bool) -> Patience {
        let silence = self.heartbeat.mul_f64(defaults::SILENT_HEARTBEATS);
        // Where nothing else is tried, giving up on a stream early wins nothing.
        Patience { first_byte: if may_fall { self.first_byte } else { silence }, silence }
    }

    /// A page ends at about a mebibyte of data, or after one larger event.
    pub(crate) fn page_bytes(&self) -> usize {
        self.event_bytes.saturating_mul(2)
    }

    /// Adds to `url` where to begin.
    pub(crate) fn begin_at(url: &mut Url, since: &Since, cursor: Option<&str>) {
        let given = if let Since::Cursor(cursor) = since { Some(cursor.as_str()) } else { None };
        match cursor.or(given) {
            // Unlike `since`, this is never the caller's mistake: a cursor from elsewhere is a gap.
            Some(cursor) => url.query_pairs_mut().append_pair("lastEventId", cursor),
            None => url.query_pairs_mut().append_pair("since", &since.to_string()),
        };
    }
}
