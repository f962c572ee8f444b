use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidings_event_stream::Encoder;
use tidings_protocol::{
    Cursor, Epoch, Event, Format, Lineage, Sequence, Timestamp, Update, write_line, write_object,
};
use tidings_websocket::Deflater;

/// How an event is written to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// A block of `text/event-stream` (§3.2).
    Stream {
        /// With a `topic:` field, where the reader may get several topics.
        topic: bool,
        /// With the JSON object of §3.1 as its data.
        envelope: bool,
    },
    /// A line of `application/x-ndjson` (§3.3).
    Line,
    /// An element of a page's `events` (§3.1).
    Object,
    /// What follows the first `{` of a [`Line`](Self::Line), without its end, compressed for WebSockets (RFC 7692); empty where
    /// that is not worth it, or would hold up others for too long.
    Packed,
    /// A block of `text/event-stream` as Mercure has it (docs/mercure.md).
    Mercure,
}

/// An entry of the log, and what has been made of it for readers: each framing is encoded when it is first
/// asked for, and then shared by all, as far as there is memory for it.
#[derive(Debug)]
pub struct Entry {
    event: Arc<Event>,
    epoch: Epoch,
    /// The first event that is joined in it: its own, but for those that a reader has joined.
    first: Sequence,
    /// Each framing, once it was asked for; nothing is kept of one that there was no memory for.
    frames: [OnceLock<Option<Box<[u8]>>>; Framing::COUNT],
    memory: Option<Arc<FrameMemory>>,
    /// How many bytes of framings are counted there; [`LEFT`] is set once none is any more.
    counted: AtomicUsize,
    /// Whether its topic was deleted after it.
    deleted: AtomicBool,
}

/// Says of an entry that it has left the tail.
const LEFT: usize = 1 << (usize::BITS - 1);

/// The memory that the framings of a hub's entries take, which is a part of what its tail may take.
#[derive(Debug, Default)]
pub(crate) struct FrameMemory {
    taken: AtomicUsize,
    limit: AtomicUsize,
}

/// What the allocator takes beside the data and the topic of an entry.
const ALLOCATIONS: usize = 64;
/// What it takes beside a framing.
const FRAME_ALLOCATION: usize = 16;

/// The largest line that is compressed. It takes some milliseconds, for which everybody waits who is served by the thread.
const PACKED_BYTES: usize = 128 << 10;

thread_local! {
    /// What compresses takes some 300 KB: one for each thread that does.
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new());
}

// === impl Framing ===

impl Framing {
    const COUNT: usize = 8;

    fn index(self) -> usize {
        match self {
            Self::Stream { topic, envelope } => usize::from(topic) + 2 * usize::from(envelope),
            Self::Line => 4,
            Self::Object => 5,
            Self::Packed => 6,
            Self::Mercure => 7,
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Takes an entry that was written in `epoch`.
    #[must_use]
    pub fn new(event: Arc<Event>, epoch: Epoch) -> Self {
        Self::with(event, epoch, None)
    }

    /// Takes what events from `first` on were joined to.
    pub(crate) fn joined(event: Arc<Event>, epoch: Epoch, first: Sequence) -> Self {
        let mut entry = Self::new(event, epoch);
        entry.first = first;
        entry
    }

    /// Takes an entry whose framings are counted; none is kept where there is no memory for it.
    pub(crate) fn counted(event: Arc<Event>, epoch: Epoch, memory: &Arc<FrameMemory>) -> Self {
        Self::with(event, epoch, Some(Arc::clone(memory)))
    }

    fn with(event: Arc<Event>, epoch: Epoch, memory: Option<Arc<FrameMemory>>) -> Self {
        let (first, frames) = (event.sequence, Default::default());
        let (counted, deleted) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { event, epoch, first, frames, memory, counted, deleted }
    }

    /// Whether no read delivers it any more: its topic was deleted after it, or its lifetime has passed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
            || (self.event.expires.is_some() && self.event.is_expired(Timestamp::now()))
    }

    /// Its topic is deleted.
    pub(crate) fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Takes an entry of a log that has, or had, these epochs.
    #[must_use]
    pub fn of(event: Arc<Event>, lineage: &Lineage) -> Self {
        let epoch = lineage.epoch_of(event.sequence);
        Self::new(event, epoch)
    }

    /// What the log has.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The first event that it consists of: itself, or where [joined](crate::Conflate::Append) the first of those.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.first
    }

    /// The cursor after this entry: the event's id.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.event.sequence)
    }

    /// The entry as a reader gets it. It is encoded once for all of them, or for each, where there is no memory to keep it.
    pub fn frame(&self, framing: Framing) -> Cow<'_, [u8]> {
        let encode = || {
            let mut out = Vec::new();
            self.encode(framing, &mut out);
            out
        };
        let mut own = None;
        let kept = self.frames[framing.index()].get_or_init(|| {
            let out = encode();
            if self.take(out.len() + FRAME_ALLOCATION) {
                Some(out.into_boxed_slice())
            } else {
                own = Some(out);
                None
            }
        });
        match kept {
            Some(frame) => Cow::Borrowed(frame),
            None => Cow::Owned(own.unwrap_or_else(encode)),
        }
    }

    /// What an entry without data and without a framing takes in memory, about.
    pub(crate) const LEAST: usize = size_of::<Self>() + size_of::<Event>() + ALLOCATIONS;

    /// How many bytes the entry takes in memory, about, without its framings.
    pub(crate) fn bytes(&self) -> usize {
        Self::LEAST + self.event.data.len() + self.event.topic.as_str().len()
    }

    /// Takes memory for a framing, where there is some. What is in no tail is its reader's, who bounds it.
    fn take(&self, bytes: usize) -> bool {
        let Some(memory) = &self.memory else { return true };
        if !memory.take(bytes) {
            return false;
        }
        if self.counted.fetch_add(bytes, Ordering::AcqRel) & LEFT != 0 {
            memory.give_back(bytes);
        }
        true
    }

    /// The entry leaves the tail: its framings count no more, whoever holds it still.
    pub(crate) fn leave(&self) {
        let counted = self.counted.fetch_or(LEFT, Ordering::AcqRel);
        if let Some(memory) = self.memory.as_ref().filter(|_| counted & LEFT == 0) {
            memory.give_back(counted);
        }
    }

    fn encode(&self, framing: Framing, out: &mut Vec<u8>) {
        match framing {
            Framing::Line => write_line(&self.event, self.epoch, out),
            Framing::Object => write_object(&self.event, self.epoch, out),
            Framing::Packed => {
                let line = self.frame(Framing::Line);
                let tail = line.get(1..line.len().saturating_sub(1)).unwrap_or_default();
                if tail.len() <= PACKED_BYTES {
                    let packed = DEFLATER.with_borrow_mut(|deflater| deflater.compress(tail));
                    out.extend_from_slice(&packed.unwrap_or_default());
                }
            }
            Framing::Mercure => self.encode_update(out),
            Framing::Stream { topic, envelope } => {
                let mut encoder = Encoder::new(out);
                encoder.id(&self.cursor().to_string());
                if let Some(event_type) = &self.event.event_type {
                    encoder.event(event_type.as_str());
                }
                if topic {
                    encoder.field("topic", self.event.topic.as_str());
                }
                if envelope {
                    let mut object = Vec::new();
                    write_line(&self.event, self.epoch, &mut object);
                    encoder.data(object.trim_ascii_end());
                } else if self.event.format == Format::Binary {
                    encoder.data(STANDARD.encode(&self.event.data).as_bytes());
                } else {
                    encoder.data(&self.event.data);
                }
                encoder.end();
            }
        }
    }
}

impl Entry {
    /// What the ids begin with that a hub gives to the updates of Mercure: an absolute IRI, with the cursor behind it.
    pub const MERCURE_ID: &'static str = "urn:tidings:";

    fn encode_update(&self, out: &mut Vec<u8>) {
        let update = Update::of(&self.event);
        let own_id = || format!("{}{}", Self::MERCURE_ID, self.cursor());
        let mut encoder = Encoder::new(out);
        let Some(update) = update else {
            if let Some(event_type) = &self.event.event_type {
                encoder.event(event_type.as_str());
            }
            encoder.id(&own_id());
            match self.event.format {
                Format::Binary => encoder.data(STANDARD.encode(&self.event.data).as_bytes()),
                Format::Text | Format::Json => encoder.data(&self.event.data),
            };
            encoder.end();
            return;
        };
        if let Some(event_type) = &update.event_type {
            encoder.event(event_type);
        }
        if let Some(retry) = update.retry {
            encoder.retry(retry);
        }
        encoder.id(&update.id.map_or_else(own_id, Cow::into_owned));
        encoder.data(update.data.as_bytes());
        encoder.end();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.leave();
    }
}

// === impl FrameMemory ===

impl FrameMemory {
    /// How many bytes there are in use.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Sets how many bytes there may be.
    pub(crate) fn limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let grown = |taken: usize| taken.checked_add(bytes).filter(|&taken| taken <= limit);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tidings_protocol::{Closing, EventType, Timestamp, Topic};

    fn entry(format: Format, data: &'static [u8]) -> Entry {
        let event = Event {
            sequence: 7,
            time: Timestamp::from_millis(0),
            topic: Topic::new("a").unwrap(),
            event_type: Some(EventType::new("t").unwrap()),
            format,
            data: Bytes::from_static(data),
            closing: Closing::No,
            expires: None,
        };
        Entry::new(Arc::new(event), "q7m2x9".parse().unwrap())
    }

    fn frame(entry: &Entry, framing: Framing) -> String {
        String::from_utf8(entry.frame(framing).into_owned()).unwrap()
    }

    #[test]
    fn framings_are_kept_as_far_as_there_is_memory() {
        let memory = Arc::new(FrameMemory::default());
        let plain = entry(Format::Text, b"x");
        let line = frame(&plain, Framing::Line);
        memory.limit(line.len() + FRAME_ALLOCATION);
        let counted = Entry::counted(Arc::clone(&plain.event), plain.epoch, &memory);
        for _ in 0..2 {
            assert_eq!(frame(&counted, Framing::Line), line);
            assert_eq!(frame(&counted, Framing::Object), frame(&plain, Framing::Object));
        }
        assert!(matches!(counted.frame(Framing::Line), Cow::Borrowed(_)), "it is shared");
        assert!(matches!(counted.frame(Framing::Object), Cow::Owned(_)), "there was no memory for it");
        assert_eq!(memory.taken(), line.len() + FRAME_ALLOCATION);
        counted.leave();
        assert_eq!(memory.taken(), 0, "what its readers hold is theirs");
        assert!(!counted.frame(Framing::Stream { topic: false, envelope: false }).is_empty());
        drop(counted);
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn a_stream_frame_has_a_data_line_for_each_line() {
        let entry = entry(Format::Text, b"x\ny\r\nz\r");
        let plain = Framing::Stream { topic: false, envelope: false };
        assert_eq!(frame(&entry, plain), "id: q7m2x9-7\nevent: t\ndata: x\ndata: y\ndata: z\ndata:\n\n");
        let topic = Framing::Stream { topic: true, envelope: false };
        assert_eq!(
            frame(&entry, topic),
            "id: q7m2x9-7\nevent: t\ntopic: a\ndata: x\ndata: y\ndata: z\ndata:\n\n"
        );
    }

    #[test]
    fn an_envelope_is_one_line() {
        let entry = entry(Format::Json, b"{\n}");
        let envelope = Framing::Stream { topic: false, envelope: true };
        assert_eq!(
            frame(&entry, envelope),
            "id: q7m2x9-7\nevent: t\ndata: {\"id\":\"q7m2x9-7\",\"topic\":\"a\",\"event\":\"t\",\"time\":\"1970-01-01T00:00:00.000Z\",\"data\":{ }}\n\n"
        );
    }

    #[test]
    fn what_is_very_large_is_not_compressed() {
        for (length, is_packed) in [(1_000, true), (PACKED_BYTES - 1_000, true), (PACKED_BYTES, false)] {
            let data: &'static [u8] = "a b c d ".repeat(length / 8 + 1).leak().as_bytes();
            let entry = entry(Format::Text, &data[..length]);
            let packed = entry.frame(Framing::Packed);
            assert_eq!(!packed.is_empty(), is_packed, "{length}");
            assert!(packed.len() < length / 4, "{length}");
        }
    }

    #[test]
    fn bytes_are_base64_in_a_stream() {
        let entry = entry(Format::Binary, b"\xff\x00");
        let plain = Framing::Stream { topic: false, envelope: false };
        assert_eq!(frame(&entry, plain), "id: q7m2x9-7\nevent: t\ndata: /wA=\n\n");
    }
}
