use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tidings_hub::{Conflate, Entry, Found, Recent};
use tidings_protocol::{Selection, Sequence, Timestamp};

use crate::delivery::frames::Frames;
use crate::delivery::remainder::Held;

/// Events framed one after the other, to be sent to every entry of a group that is at the same place.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Each event, with the end of its frame in `bytes`.
    marks: Vec<(usize, Arc<Entry>)>,
    /// Everything up to and including this is seen by whoever got the chunk whole.
    pub(super) next: Sequence,
    /// Whether the topic ends here, so that the stream does as well.
    pub(super) ended: bool,
    /// How far what was folded was looked for, where what comes later would be folded with it.
    folded_until: Option<Sequence>,
}

/// Where a write stopped in a chunk.
#[derive(Debug)]
pub(super) enum Cut {
    /// Within the frame of an event, after so many bytes of it: the frame is to be finished.
    Frame(Held, usize),
    /// Between two events; everything up to and including this has been sent.
    Between(Sequence),
    /// Within the last event of the topic, after so many bytes of its frame, where there is one; then the chunk is to be
    /// sent from here.
    End(Option<(Held, usize)>, usize),
}

// === impl Chunk ===

impl Chunk {
    /// Frames the events of `recent` that belong to the selection.
    pub(super) fn new(recent: &Recent, selection: &Selection, frames: &Frames) -> Self {
        let mut chunk = Self {
            bytes: Bytes::new(),
            marks: Vec::new(),
            next: recent.next,
            ended: false,
            folded_until: None,
        };
        let mut bytes = Vec::new();
        for entry in &recent.entries {
            if selection.matches(entry.event()) {
                frames.encoding().write(entry, &mut bytes);
                chunk.marks.push((bytes.len(), Arc::clone(entry)));
            }
            if selection.is_ended_by(entry.event()) {
                chunk.ended = true;
                frames.end(entry.cursor(), entry.event().end_reason().as_ref(), &mut bytes);
                if entry.event().deletes() {
                    chunk.next = entry.event().sequence;
                }
                break;
            }
        }
        chunk.bytes = bytes.into();
        chunk
    }

    /// Takes note of how its events were folded.
    pub(super) fn folded(self, conflate: Option<Conflate>, found: &Found) -> Self {
        let is_done = match conflate {
            None => true,
            // More follows, but would not be joined.
            Some(Conflate::Append) => found.is_cut(),
            Some(Conflate::Latest) => false,
        };
        Self { folded_until: (!is_done).then_some(found.until), ..self }
    }

    /// Whether it is what a reader at its place would be given now, where everything up to `position` is seen.
    pub(super) fn is_current(&self, position: Sequence) -> bool {
        self.folded_until.is_none_or(|until| until >= position)
            && !self.marks.iter().any(|(_, entry)| entry.is_gone())
    }

    /// The memory that it takes, with the events that it refers to.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.marks.iter().map(|(_, entry)| entry.event().data.len()).sum::<usize>()
    }

    /// An event with its frame, which is at a place of the chunk.
    fn held(&self, entry: &Arc<Entry>, place: Range<usize>) -> Held {
        let frame = &self.bytes[place.clone()];
        // A small piece does not keep all of it.
        let is_small = frame.len() < self.bytes.len() / 2;
        let frame = if is_small { Bytes::copy_from_slice(frame) } else { self.bytes.slice(place) };
        Held::framed(Arc::clone(entry), frame)
    }

    pub(super) fn events(&self) -> usize {
        self.marks.len()
    }

    /// The time of the first event in it.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.marks.first().map(|(_, entry)| entry.event().time)
    }

    /// The last event in it.
    pub(super) fn last(&self) -> Option<Sequence> {
        self.marks.last().map(|(_, entry)| entry.event().sequence)
    }

    /// Where a write of `sent` bytes, which are not all, stopped. `start` is the place before the chunk.
    pub(super) fn cut(&self, sent: usize, start: Sequence) -> Cut {
        let whole = self.marks.partition_point(|(end, _)| *end <= sent);
        let (begin, last) = match whole.checked_sub(1).and_then(|place| self.marks.get(place)) {
            Some((end, entry)) => (*end, entry.event().sequence),
            None => (0, start),
        };
        match self.marks.get(whole) {
            None => Cut::End(None, sent),
            // After this event nothing is left to read that would tell of the end.
            Some((end, entry)) if self.ended && sent > begin && entry.event().closes() => {
                Cut::End(Some((self.held(entry, begin..*end), sent - begin)), *end)
            }
            Some(_) if sent == begin => Cut::Between(last),
            Some((end, entry)) => Cut::Frame(self.held(entry, begin..*end), sent - begin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::frames::Form;
    use tidings_protocol::{Closing, Epoch, Event, Format, Lineage, Topic};

    fn recent(count: u64, closing: Closing) -> Recent {
        let entries = (11..11 + count).map(|sequence| {
            let event = Event {
                sequence,
                time: Timestamp::from_millis(0),
                topic: Topic::new("a").unwrap(),
                event_type: None,
                format: Format::Text,
                data: Bytes::from_static(b"x"),
                closing: if sequence == 10 + count { closing } else { Closing::No },
                expires: None,
            };
            Arc::new(Entry::new(Arc::new(event), Epoch::from_random(0)))
        });
        Recent { lineage: Lineage::of(Epoch::from_random(0)), entries: entries.collect(), next: 20 }
    }

    /// However few bytes a socket takes, what was sent and what the cut says is left make up the chunk.
    #[test]
    fn a_cut_leaves_nothing_out_and_repeats_nothing() {
        let (one, all) = (Selection::new([Topic::new("a").unwrap().into()]), Selection::all());
        let frames = Frames::new(Form::Stream, false, false);
        let closings = [Closing::No, Closing::After, Closing::Only];
        for (selection, closing) in [&one, &all].into_iter().flat_map(|own| closings.map(|how| (own, how))) {
            let recent = recent(3, closing);
            let chunk = Chunk::new(&recent, selection, &frames);
            assert_eq!(chunk.ended, closing != Closing::No && selection.single_topic().is_some());
            for sent in 0..chunk.bytes.len() {
                let mut whole = chunk.bytes[..sent].to_vec();
                let after = match chunk.cut(sent, 10) {
                    Cut::End(event, rest) => {
                        assert!(chunk.ended, "a topic among others ends nothing");
                        if let Some((event, offset)) = event {
                            whole.extend_from_slice(&event.frame(frames.encoding())[offset..]);
                        }
                        whole.extend_from_slice(&chunk.bytes[rest..]);
                        assert_eq!(whole, chunk.bytes);
                        continue;
                    }
                    Cut::Between(sequence) => sequence,
                    Cut::Frame(entry, offset) => {
                        whole.extend_from_slice(&entry.frame(frames.encoding())[offset..]);
                        entry.sequence()
                    }
                };
                let entries = recent.entries.iter().filter(|entry| entry.event().sequence > after);
                let rest =
                    Recent { lineage: recent.lineage.clone(), entries: entries.cloned().collect(), next: 20 };
                let rest = Chunk::new(&rest, selection, &frames);
                whole.extend_from_slice(&rest.bytes);
                assert_eq!(whole, chunk.bytes, "cut after {sent}");
            }
        }
    }
}
