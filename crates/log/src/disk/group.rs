//! The batches that are written in one piece, and what their publishers are told.

use std::collections::HashMap;
use std::sync::Arc;

use tidings_protocol::{Event, Sequence, Timestamp, Topic};

use super::limits;
use super::queue::Answering;
use super::record::{self, Role, Stamp};
use crate::AppendError;
use crate::append::Numbered;
use crate::idempotency::{Answer, Fingerprint};

/// Batches that are numbered and encoded, and not yet on the disk.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) entries: Vec<Arc<Event>>,
    pub(crate) places: Vec<Extent>,
    pub(crate) buffer: Vec<u8>,
    /// The time of the last entry.
    pub(crate) time: Timestamp,
    /// Topics that end with an entry of the group, or that are deleted by one and so have not ended.
    pub(crate) ended: HashMap<Topic, bool>,
    /// The entries of the group that delete topics.
    pub(crate) deleted: HashMap<Topic, Sequence>,
    /// The idempotent batches of the group.
    pub(crate) answers: HashMap<u128, Answer>,
    /// Shares of the queue that are given back in the end.
    pub(crate) reserved: usize,
    waiting: Vec<PendingAnswer>,
}

/// Where an entry lies in the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Whether it ends a batch with an idempotency key.
    pub(crate) keyed: bool,
}

#[derive(Debug)]
struct PendingAnswer {
    to: Answering,
    answer: Result<Numbered, AppendError>,
    /// Whether the answer is only right where the group is written.
    depends: bool,
}

// === impl Group ===

impl Group {
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Adds an answer that is right whatever becomes of the group.
    pub(crate) fn answer(&mut self, to: Answering, answer: Result<Numbered, AppendError>) {
        self.wait(to, answer, false);
    }

    /// Adds an answer that was given for the sake of something that is perhaps in the group.
    pub(crate) fn answer_after(&mut self, to: Answering, answer: Result<Numbered, AppendError>) {
        self.wait(to, answer, true);
    }

    fn wait(&mut self, to: Answering, answer: Result<Numbered, AppendError>, depends: bool) {
        if answer.is_err() {
            to.refuse();
        }
        self.waiting.push(PendingAnswer { to, answer, depends });
    }

    /// Adds the entries of a batch.
    pub(crate) fn add(
        &mut self,
        entries: Vec<Arc<Event>>,
        fingerprint: Option<Fingerprint>,
        time: Timestamp,
        stamp: Stamp,
        fence: bool,
        to: Answering,
    ) {
        let first = entries.first().map_or(0, |entry| entry.sequence);
        let count = entries.len();
        for (place, entry) in entries.iter().enumerate() {
            let offset = self.buffer.len();
            let is_last = place + 1 == count;
            let role = Role {
                continues: !is_last,
                fence: fence && offset == 0,
                fingerprint: fingerprint.filter(|_| place == 0),
            };
            record::encode(&mut self.buffer, entry, &role, stamp);
            self.places.push(Extent {
                offset: offset as u64,
                length: (self.buffer.len() - offset) as u64,
                keyed: is_last && fingerprint.is_some(),
            });
            if entry.closes() {
                self.ended.insert(entry.topic.clone(), !entry.deletes());
            }
            if entry.deletes() {
                self.deleted.insert(entry.topic.clone(), entry.sequence);
            }
        }
        let appended =
            Numbered { first, count: u32::try_from(count).unwrap_or(u32::MAX), time, duplicate: false };
        if let Some(Fingerprint { key, content }) = fingerprint
            && count > 0
        {
            self.answers.insert(key, Answer { content, appended });
        }
        self.time = time;
        self.entries.extend(entries);
        self.answer_after(to, Ok(appended));
    }

    /// Nothing of the group was appended.
    pub(crate) fn fail(&mut self, error: &AppendError) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.depends) {
            waiting.to.refuse();
            waiting.answer = Err(error.clone());
        }
    }

    /// Tells everybody.
    pub(crate) fn resolve(&mut self) {
        for PendingAnswer { to, answer, .. } in self.waiting.drain(..) {
            to.tell(answer);
        }
    }

    /// Makes the group empty, and keeps what memory is of use to the next one.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
        self.buffer.clear();
        self.buffer.shrink_to(limits::BUFFER_KEPT_BYTES);
        self.ended.clear();
        self.deleted.clear();
        self.answers.clear();
        self.reserved = 0;
    }
}
