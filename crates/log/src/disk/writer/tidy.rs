//! What retention and the idempotency window ask for, as time passes.

use std::sync::Arc;
use std::time::Instant;

use tidings_protocol::Timestamp;

use super::super::keeper::Job;
use super::super::{keys, limits};
use super::Writer;

impl Writer {
    /// Does what retention says.
    pub(super) fn tidy(&mut self) {
        self.tidied = Instant::now();
        let shared = Arc::clone(&self.shared);
        let retention = shared.config.retention;
        let clock = (shared.clock)();
        self.check_clock(clock);
        let now = clock.max(self.time);
        let view = shared.view();
        let first = view.segments.last().and_then(|segment| segment.index().marks().first().copied());
        if let Some(first) = first
            && first.time.until(now) > retention.age / limits::SEGMENTS_IN_AGE
            && self.roll(0, limits::FORMAT).is_ok()
        {
            // It has come back here by itself.
            return;
        }
        let sizes: Vec<u64> = view.segments.iter().map(|segment| segment.index().summary().end).collect();
        // Keys count like what they are keys of, wherever they are.
        let keys: u64 = shared.keys().iter().map(|keys| keys.bytes()).sum();
        let mut bytes = sizes.iter().sum::<u64>() + keys + keys::bytes(self.active.answers.len());
        let sealed = view.segments.len().saturating_sub(1);
        let given_up = view
            .segments
            .iter()
            .zip(sizes)
            .take(sealed)
            .take_while(|(segment, size)| {
                let gone =
                    bytes > retention.bytes || segment.index().summary().time.until(now) > retention.age;
                bytes -= size;
                gone
            })
            .count();
        if given_up > 0 {
            let kept = view.segments[given_up..].to_vec();
            let earliest = kept.first().map_or(self.next, |segment| segment.base());
            let follower = shared.follower();
            {
                let mut view = shared.view_mut();
                view.segments = Arc::new(kept);
                view.earliest = earliest;
            }
            if let Some(follower) = &*follower {
                follower.trimmed(earliest);
            }
            drop(follower);
            for segment in &view.segments[..given_up] {
                self.keeper.send(Job::Remove(Arc::clone(segment)));
            }
        }
        self.tidy_keys(now, retention.bytes / limits::KEYS_SHARE);
        // A reader may have opened a segment just as it was removed.
        shared.handles.forget_before(shared.range().0);
        if !self.keeper.is_ready() {
            self.keeper.send(Job::Prepare(self.next_segment_bytes()));
        }
    }

    /// Lets go of keys whose window has passed, and of the oldest of those whose segments are gone already where they
    /// take more than `most` bytes.
    fn tidy_keys(&mut self, now: Timestamp, most: u64) {
        let window = self.shared.config.idempotency_window;
        let earliest = self.shared.range().0;
        let mut all = self.shared.keys();
        let (mut current, mut past): (Vec<_>, Vec<_>) =
            all.drain(..).partition(|keys| keys.newest.until(now) < window);
        let outlived = current.iter().filter(|keys| keys.base < earliest);
        let mut excess = outlived.map(|keys| keys.bytes()).sum::<u64>().saturating_sub(most);
        let early = current.iter().take_while(|keys| {
            let is_given_up = excess > 0 && keys.base < earliest;
            excess = excess.saturating_sub(keys.bytes());
            is_given_up
        });
        let early = early.count();
        past.extend(current.drain(..early));
        if early > 0 && self.told_keys.is_none_or(|told| told.elapsed() > limits::REPORT_AGAIN) {
            self.told_keys = Some(Instant::now());
            tracing::warn!(
                bound = most,
                "idempotency keys are forgotten before their window has passed, because they take more than their share \
                 of what the log may keep: raise retain-bytes, or shorten idempotency-window"
            );
        }
        *all = current;
        past.into_iter().for_each(|keys| self.keeper.send(Job::Forget(keys)));
        let mut bytes = 0;
        for keys in all.iter().rev() {
            bytes += keys.filter_bytes();
            if bytes > limits::KEY_FILTER_BYTES {
                keys.drop_filter();
            }
        }
    }

    /// Reports a clock that is behind the newest entry, as it is after it was once set far ahead.
    fn check_clock(&mut self, clock: Timestamp) {
        let behind = clock.until(self.time);
        if behind < limits::CLOCK_BEHIND
            || self.told_clock.is_some_and(|told| told.elapsed() < limits::REPORT_AGAIN)
        {
            return;
        }
        self.told_clock = Some(Instant::now());
        tracing::warn!(
            newest = %self.time,
            seconds = behind.as_secs(),
            "the clock is behind the newest event: until it has caught up, every event has that time, nothing is \
             discarded for its age, and idempotency keys are kept; docs/operations.md, \"The clock\", says what to do"
        );
    }
}
