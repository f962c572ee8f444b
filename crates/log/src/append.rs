use std::sync::Arc;

use tidings_protocol::{Closing, EndReason, Epoch, Event, Lineage, NewEvent, Sequence, Timestamp, Topic};

use crate::AppendError;

/// Events that are appended together, whole or not at all, with consecutive sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The events, in order. May be empty where `close` is set; an empty batch that closes nothing appends
    /// nothing, and its key is not remembered.
    pub events: Vec<NewEvent>,
    /// The topic that ends with this batch. At a clean end, the last event of that topic in the batch becomes its last
    /// one; where the batch has none, or the end has a reason, an entry that is no event says that the topic has ended.
    pub close: Option<Close>,
    /// What makes a repetition of this batch known.
    pub idempotency: Option<Idempotency>,
}

/// The end of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// Which topic ends.
    pub topic: Topic,
    /// Why, where that is no clean end.
    pub reason: Option<EndReason>,
    /// Whether the topic is deleted, so that no event of it is read again and its name may be used anew. It may have ended before.
    pub deletes: bool,
}

/// What makes the repetition of a batch known (§2): a key within a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Among which batches the key is looked for.
    pub scope: Scope,
    /// The key, as the publisher chose it.
    pub key: String,
}

// === impl Close ===

impl From<Topic> for Close {
    /// A clean end.
    fn from(topic: Topic) -> Self {
        Self { topic, reason: None, deletes: false }
    }
}

impl Close {
    /// The end of a topic, and why, where that is no clean one.
    #[must_use]
    pub fn for_reason(topic: Topic, reason: Option<EndReason>) -> Self {
        Self { topic, reason, deletes: false }
    }
}

// === impl Idempotency ===

impl Idempotency {
    /// Whether a text can be a key (§2): 1 to 255 visible ASCII characters.
    #[must_use]
    pub fn is_key(text: &str) -> bool {
        let lengths = 1..=tidings_protocol::limits::IDEMPOTENCY_KEY_BYTES;
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

/// Among which batches an idempotency key is one and the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those to one topic, whoever publishes to it.
    Topic(Topic),
    /// Those over several topics of whoever publishes without a name.
    Batches,
    /// Those over several topics of one publisher. Nobody else can find out which keys it uses, or use one up.
    BatchesOf(Arc<str>),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The epoch that it was written in, also where that was before the present one.
    pub epoch: Epoch,
    /// The sequence number of the first entry.
    pub first: Sequence,
    /// How many entries: the events, and the end of the topic where that is an entry of its own.
    pub count: u32,
    /// The time that all of them have.
    pub time: Timestamp,
    /// Whether the batch was known by its idempotency key: nothing was appended now, and the rest says what
    /// was appended the first time.
    pub duplicate: bool,
}

/// What became of a batch, for a log that is one and the same for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) first: Sequence,
    pub(crate) count: u32,
    pub(crate) time: Timestamp,
    pub(crate) duplicate: bool,
}

// === impl Batch ===

impl Batch {
    /// A batch of one event.
    #[must_use]
    pub fn of(event: NewEvent) -> Self {
        Self { events: vec![event], close: None, idempotency: None }
    }

    /// A batch that deletes a topic.
    #[must_use]
    pub fn deletion(topic: Topic) -> Self {
        let close = Close { topic, reason: Some(EndReason::deleted()), deletes: true };
        Self { events: Vec::new(), close: Some(close), idempotency: None }
    }

    /// The topic that the batch deletes.
    #[must_use]
    pub fn deletes(&self) -> Option<&Topic> {
        self.close.as_ref().filter(|close| close.deletes).map(|close| &close.topic)
    }

    /// The topic whose deletion makes the batch's key unknown: a topic that begins anew knows nothing of what was published
    /// to the one before. Keys of batches over several topics stay.
    #[must_use]
    pub fn scope_topic(&self) -> Option<&Topic> {
        match &self.idempotency.as_ref()?.scope {
            Scope::Topic(topic) => Some(topic),
            Scope::Batches | Scope::BatchesOf(_) => None,
        }
    }

    /// How many bytes of memory the batch holds, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.data().len() + event.topic.as_str().len() + 128).sum::<usize>()
            + 128
    }

    /// What the log gets, in order: the events, and the end of the topic where none of them is its last one.
    #[must_use]
    pub fn into_entries(self) -> Vec<(NewEvent, Closing)> {
        let clean = self.close.as_ref().filter(|close| close.reason.is_none()).map(|close| &close.topic);
        // An event that expires does not take the end with it.
        let last = self.events.iter().rposition(|event| Some(&event.topic) == clean);
        let last = last.filter(|&last| self.events.get(last).is_some_and(|event| event.ttl().is_none()));
        let closing = |place| if Some(place) == last { Closing::After } else { Closing::No };
        let places = self.events.into_iter().enumerate();
        let mut entries: Vec<_> = places.map(|(place, event)| (event, closing(place))).collect();
        if let (Some(Close { topic, reason, deletes }), None) = (self.close, last) {
            let reason = reason.as_ref().map_or("", EndReason::as_str);
            let closing = if deletes { Closing::Deleted } else { Closing::Only };
            entries.push((NewEvent::text(topic, reason), closing));
        }
        entries
    }

    /// The topics that the batch appends to or ends.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        let closed = self.close.iter().map(|close| &close.topic);
        self.events.iter().map(|event| &event.topic).chain(closed)
    }
}

// === impl Numbered ===

impl Numbered {
    pub(crate) fn of(self, lineage: &Lineage) -> Appended {
        let Self { first, count, time, duplicate } = self;
        let epoch = lineage.epoch_of(first);
        Appended { epoch, first, count, time, duplicate }
    }
}

// === impl Appended ===

impl Appended {
    /// The sequence numbers, in order.
    pub fn sequences(&self) -> impl Iterator<Item = Sequence> + use<> {
        self.first..self.first + u64::from(self.count)
    }

    /// The sequence number of the last entry.
    #[must_use]
    pub fn last(&self) -> Sequence {
        self.first + u64::from(self.count).saturating_sub(1)
    }
}

/// Gives the entries of a batch their numbers, time and end, where no topic of it has ended.
pub(crate) fn number(
    batch: Batch,
    first: Sequence,
    time: Timestamp,
    is_closed: impl Fn(&Topic) -> bool,
) -> Result<Vec<Arc<Event>>, AppendError> {
    // What has ended may be deleted all the same.
    let deleted = batch.deletes().filter(|_| batch.events.is_empty());
    if let Some(topic) = batch.topics().find(|topic| Some(*topic) != deleted && is_closed(topic)) {
        return Err(AppendError::TopicClosed { topic: topic.clone() });
    }
    let entries = (first..).zip(batch.into_entries());
    Ok(entries.map(|(sequence, (event, closing))| Arc::new(event.at(sequence, time, closing))).collect())
}
