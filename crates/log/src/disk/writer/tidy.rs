//! What retention and the idempotency window ask for, as time passes.

use std::sync::Arc;
use std::time::Instant;

use tidings_protocol::Timestamp;

use super::super::keeper::Job;
use super::super::limits;
use super::Writer;

impl Writer {
    /// Does what retention says.
    pub(super) fn tidy(&mut self) {
        self.tidied = Instant::now();
        let shared = Arc::clone(&self.shared);
        let retention = shared.config.retention;
        let now = (shared.clock)().max(self.time);
        let view = shared.view();
        let first = view.segments.last().and_then(|segment| segment.index().marks().first().copied());
        if let Some(first) = first
            && first.time.until(now) > retention.age / limits::SEGMENTS_IN_AGE
            && self.roll(0).is_ok()
        {
            // It has come back here by itself.
            return;
        }
        let sizes: Vec<u64> = view.segments.iter().map(|segment| segment.index().summary().end).collect();
        let mut bytes: u64 = sizes.iter().sum();
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
        self.tidy_keys(now);
        // A reader may have opened a segment just as it was removed.
        shared.handles.forget_before(shared.range().0);
        if !self.keeper.is_ready() {
            self.keeper.send(Job::Prepare(shared.config.segment_bytes()));
        }
    }

    fn tidy_keys(&self, now: Timestamp) {
        let window = self.shared.config.idempotency_window;
        let mut all = self.shared.keys();
        let (current, past): (Vec<_>, Vec<_>) =
            all.drain(..).partition(|keys| keys.newest.until(now) < window);
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
}
