use std::sync::Arc;

use tidings_protocol::{Closing, Event, NewEvent, Sequence, Timestamp, Topic};

use crate::AppendError;

/// Events that are appended together, whole or not at all, with consecutive sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The events, in order. May be empty where `close` is set; an empty batch that closes nothing appends
    /// nothing, and its key is not remembered.
    pub events: Vec<NewEvent>,
    /// The topic that ends with this batch. The last event of that topic in the batch becomes its last one;
    /// where the batch has none, an entry that is no event says that the topic has ended.
    pub close: Option<Topic>,
    /// What makes a repetition of this batch known.
    pub idempotency: Option<Idempotency>,
}

/// What makes the repetition of a batch known (§2): a key within a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The topic that the key belongs to; `None` for batches over several topics, which share one scope.
    pub scope: Option<Topic>,
    /// The key, as the publisher chose it.
    pub key: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
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

// === impl Batch ===

impl Batch {
    /// A batch of one event.
    #[must_use]
    pub fn of(event: NewEvent) -> Self {
        Self { events: vec![event], close: None, idempotency: None }
    }

    /// How many bytes of memory the batch holds, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.data.len() + event.topic.as_str().len() + 128).sum::<usize>()
            + 128
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
    for topic in batch.events.iter().map(|event| &event.topic).chain(&batch.close) {
        if is_closed(topic) {
            return Err(AppendError::TopicClosed { topic: topic.clone() });
        }
    }
    let last = batch.events.iter().rposition(|event| Some(&event.topic) == batch.close.as_ref());
    let mut entries = Vec::with_capacity(batch.events.len() + 1);
    for (place, event) in batch.events.into_iter().enumerate() {
        let closing = if Some(place) == last { Closing::After } else { Closing::No };
        entries.push(entry(event, first + place as u64, time, closing));
    }
    if let (Some(topic), None) = (batch.close, last) {
        entries.push(entry(NewEvent::text(topic, ""), first + entries.len() as u64, time, Closing::Only));
    }
    Ok(entries)
}

fn entry(event: NewEvent, sequence: Sequence, time: Timestamp, closing: Closing) -> Arc<Event> {
    let NewEvent { topic, event_type, format, data } = event;
    Arc::new(Event { sequence, time, topic, event_type, format, data, closing })
}
