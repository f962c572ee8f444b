use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};
use tidings_protocol::{EventType, Format, Timestamp};

use crate::append::{Numbered, Scope};
use crate::{AppendError, Batch};

/// A key of an idempotent batch and what the batch was, both as keyed hashes of 128 bits: the size of an entry
/// does not depend on what publishers send, and without the log's secret nobody can make two batches meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of the scope and the key.
    pub key: u128,
    /// Of the events and the end.
    pub content: u128,
}

/// What was answered to an idempotent batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) content: u128,
    pub(crate) appended: Numbered,
}

/// The idempotent batches of the recent past, in memory.
#[derive(Debug)]
pub(crate) struct Answers {
    window: Duration,
    by_key: HashMap<u128, Answer>,
}

// === impl Fingerprint ===

impl Fingerprint {
    /// The fingerprint of a batch that has a key. Who shares a log shares its `secret`.
    #[must_use]
    pub fn of(batch: &Batch, secret: [u8; 16]) -> Option<Self> {
        let idempotency = batch.idempotency.as_ref()?;
        let mut key = SipHasher24::new_with_key(&secret);
        // The first two are as they were before there was the third, so that keys of today stay known. No text has a
        // byte of 0xff, which ends each here, so no owner and key are another key.
        match &idempotency.scope {
            Scope::Topic(topic) => Some(topic.as_str()).hash(&mut key),
            Scope::Batches => None::<&str>.hash(&mut key),
            Scope::BatchesOf(owner) => (None::<&str>, &**owner).hash(&mut key),
        }
        idempotency.key.hash(&mut key);
        let mut content = SipHasher24::new_with_key(&secret);
        batch.close.as_ref().map(|close| close.topic.as_str()).hash(&mut content);
        if let Some(reason) = batch.close.as_ref().and_then(|close| close.reason.as_ref()) {
            // No topic begins with this byte, so no event is taken for a reason; a clean end is as it was before there were any.
            content.write_u8(0xfe);
            reason.as_str().hash(&mut content);
        }
        if batch.deletes().is_some() {
            content.write_u8(0xfc);
        }
        for event in &batch.events {
            event.topic.as_str().hash(&mut content);
            event.event_type.as_ref().map(EventType::as_str).hash(&mut content);
            content.write_u8(match event.format() {
                Format::Text => 0,
                Format::Json => 1,
                Format::Binary => 2,
            });
            event.data().hash(&mut content);
            if let Some(ttl) = event.ttl() {
                // No text and no data has this before it; without a lifetime it is as it was before there were any.
                content.write_u8(0xfd);
                content.write_u128(ttl.as_millis());
            }
        }
        Some(Self { key: key.finish128().as_u128(), content: content.finish128().as_u128() })
    }
}

// === impl Answer ===

impl Answer {
    /// The answer to a repetition: the first answer, or a refusal where the repetition is none.
    pub(crate) fn repeat(&self, batch: &Batch, content: u128) -> Result<Numbered, AppendError> {
        if self.content == content {
            return Ok(Numbered { duplicate: true, ..self.appended });
        }
        let key = batch.idempotency.as_ref().map(|idempotency| idempotency.key.clone()).unwrap_or_default();
        Err(AppendError::KeyConflict { key })
    }
}

// === impl Answers ===

impl Answers {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, by_key: HashMap::new() }
    }

    pub(crate) fn get(&self, key: u128, now: Timestamp) -> Option<Answer> {
        let answer = self.by_key.get(&key)?;
        (answer.appended.time.until(now) < self.window).then_some(*answer)
    }

    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, appended: Numbered) {
        self.by_key.insert(fingerprint.key, Answer { content: fingerprint.content, appended });
    }

    /// Forgets what the window has left behind.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.by_key.retain(|_, answer| answer.appended.time.until(now) < self.window);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}
