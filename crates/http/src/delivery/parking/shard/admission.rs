//! Connections that come to a shard, and what they bring: a template, and the lease of a token.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use tidings_hub::{Reader, ReaderState as State};
use tidings_websocket::CloseCode;

use super::Shard;
use crate::defaults;
use crate::delivery::parking::group::{Shape, narrow};
use crate::delivery::parking::parked::{Key, Parked, Pending, ReaderSigns};
use crate::delivery::parking::parked_connections::Arrival;
use crate::delivery::parking::template::Template;
use crate::delivery::parking::wheel::ticks;

impl Shard {
    pub(super) fn admit(&mut self, arrival: Arrival) {
        let Arrival { link, mut reader, unread, permit } = arrival;
        // Said first: from then on the shard is rung for whatever comes after the place that it begins at.
        self.mailbox.occupy(self.entries.len() + 1);
        if self.entries.is_empty() {
            let end = self.context.hub.end();
            (self.lineage, self.position) = (end.lineage, end.latest);
        } else if self.lineage.place(reader.cursor).is_err() {
            // The routes may have heard first that the log was renewed.
            self.renew();
        }
        let index = narrow(self.entries.vacant_key());
        self.generation = Key::next_generation(self.generation);
        let key = Key { index, generation: self.generation };
        let sink = match self.sinks.take_in(link, key) {
            Ok(Some(sink)) => sink,
            gone => {
                if let Err(error) = gone {
                    tracing::warn!(%error, "failed to watch a connection");
                }
                self.mailbox.occupy(self.entries.len());
                return;
            }
        };
        let mut signs = ReaderSigns::default();
        if self.sinks.has_ended(&sink) {
            // It was read with the request, so that the kernel has nothing to tell of it.
            signs.set_left();
        }
        let since = match reader.interest.shape {
            Shape::Stream { .. } => self.now,
            // The present tick has begun already, so that it is not counted.
            Shape::Poll { .. } => self.now.saturating_add(ticks(reader.wait)).saturating_add(1),
        };
        self.counts.arrive(&reader.interest.shape);
        let template = reader.template.map(|template| self.share(template));
        if let Some(lease) = reader.lease {
            let left = lease.until.saturating_duration_since(Instant::now());
            self.leases.add(key, self.now.saturating_add(ticks(left)), lease);
        }
        let (group, place) = self.groups.join(reader.interest, index);
        self.groups.wait(group);
        self.entries.insert(Parked {
            sink,
            generation: key.generation,
            group,
            place,
            seen: Reader::new(reader.cursor.sequence),
            pending: (!reader.opening.is_empty())
                .then(|| Box::new(Pending::Bytes(Bytes::from(reader.opening), 0))),
            template,
            scheduled: 0,
            since,
            blocked: None,
            reader: signs,
        });
        if self.permits.len() <= index as usize {
            self.permits.resize_with(index as usize + 1, || None);
        }
        self.permits[index as usize] = permit;
        if !unread.is_empty() {
            self.unread.insert(key, unread);
        }
        if let Some(observer) = reader.observed.take() {
            self.observers.insert(key, observer);
        }
        if reader.asked.is_some() {
            // Whoever comes back with a cursor had a delivery just before.
            self.note_delivery(index, 1);
        }
        self.schedule(index);
        if let Err(reason) = self.lineage.place(reader.cursor) {
            self.tell_gap(index, reason, reader.cursor);
        } else if !self.draining {
            self.resume(index);
        }
        if self.draining && self.find(key).is_some() {
            self.dismiss(index, defaults::DRAIN_RETRY);
        }
    }

    pub(super) fn forget_template(&mut self, index: u32) {
        if let Some(template) = self.entries[index as usize].template.take()
            // This one, and the set's.
            && Arc::strong_count(&template) <= 2
        {
            self.templates.remove(&template);
        }
    }

    /// Ends an entry whose token has ended: a stream is told to come back with a new one, and the next request of a poll
    /// is one like any other.
    pub(super) fn end_lease(&mut self, key: Key) {
        if key.is_websocket() {
            let reason = "the token has ended; open another socket with a new one";
            if self.sinks.websockets.find(key).is_some() {
                self.leave_websocket(key.index, CloseCode::UNAUTHORIZED, reason.into());
            }
            return;
        }
        let Some(entry) = self.find(key) else { return };
        let idle = entry.seen.state() == State::Idle;
        self.forget_template(key.index);
        if idle {
            self.give_back(key.index, &[]);
        } else {
            self.dismiss(key.index, self.context.config.retry);
        }
    }

    pub(super) fn share(&mut self, template: Template) -> Arc<Template> {
        if let Some(shared) = self.templates.get(&template) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(template);
        self.templates.insert(Arc::clone(&shared));
        shared
    }
}
