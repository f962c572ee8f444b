use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidings_protocol::{Epoch, Sequence};

use crate::delivery::encoding::Encoding;
use crate::delivery::remainder::Held;

/// Events from the log that readers are in the middle of and that were let go. To find each again, and to frame it, for
/// every piece of it would take many times as long as to send it.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The one that was asked for last comes last.
    events: VecDeque<(Epoch, Encoding, Held)>,
    bytes: usize,
}

/// The memory for all of them; where one takes more, it is the only one.
const BYTES: usize = 16 << 20;

// === impl Lately ===

impl Lately {
    /// An event that is about to be needed again in a form.
    pub(crate) fn keep(&self, epoch: Epoch, event: Held, encoding: impl Into<Encoding>) {
        let encoding = encoding.into();
        let mut kept = self.kept();
        if kept.place(epoch, event.range(), encoding).is_some() {
            return;
        }
        kept.bytes += event.size();
        kept.events.push_back((epoch, encoding, event));
        while kept.bytes > BYTES && kept.events.len() > 1 {
            if let Some((_, _, event)) = kept.events.pop_front() {
                kept.bytes -= event.size();
            }
        }
    }

    /// What the events from the first to the last of a range were joined to, or the one that there is in it.
    pub(crate) fn find(
        &self,
        epoch: Epoch,
        range: (Sequence, Sequence),
        encoding: impl Into<Encoding>,
    ) -> Option<Held> {
        let mut kept = self.kept();
        let place = kept.place(epoch, range, encoding.into())?;
        let found = kept.events.remove(place)?;
        let event = found.2.clone();
        kept.events.push_back(found);
        Some(event)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Kept ===

impl Kept {
    fn place(&self, epoch: Epoch, range: (Sequence, Sequence), encoding: Encoding) -> Option<usize> {
        let wanted = (epoch, encoding, range);
        self.events.iter().rposition(|(own, form, event)| (*own, *form, event.range()) == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use bytes::Bytes;
    use tidings_hub::{Entry, Framing};
    use tidings_protocol::{Closing, Event, Format, Timestamp, Topic};

    fn event(sequence: u64, size: usize) -> Held {
        let event = Event {
            sequence,
            time: Timestamp::from_millis(0),
            topic: Topic::new("a").unwrap(),
            event_type: None,
            format: Format::Text,
            data: Bytes::from("x".repeat(size)),
            closing: Closing::No,
            expires: None,
        };
        Held::new(Arc::new(Entry::new(Arc::new(event), Epoch::from_random(0))), Framing::Line)
    }

    #[test]
    fn those_that_were_asked_for_lately_are_kept_within_their_memory() {
        let (lately, epoch) = (Lately::default(), Epoch::from_random(0));
        let has = |sequence| lately.find(epoch, (sequence, sequence), Framing::Line).is_some();
        for sequence in 1..=3 {
            lately.keep(epoch, event(sequence, BYTES / 7), Framing::Line);
            lately.keep(epoch, event(sequence, BYTES / 7), Framing::Line);
        }
        assert_eq!([has(2), has(3), has(1)], [true; 3]);
        lately.keep(epoch, event(4, BYTES / 7), Framing::Line);
        assert_eq!([has(1), has(2), has(3), has(4)], [true, false, true, true]);
        lately.keep(epoch, event(5, BYTES), Framing::Line);
        assert_eq!([has(1), has(3), has(4), has(5)], [false, false, false, true]);
        lately.keep(epoch, event(6, 10), Framing::Line);
        assert!(has(6) && !has(5) && lately.kept().bytes < 1_000);
    }
}
