use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use tidings_hub::Entry;
use tidings_protocol::Sequence;

use super::template::Template;
use crate::frames::Frames;

/// A connection that waits. All that it costs beside its socket is this, its number in its group, and a record
/// in the wheel; a test holds its size.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) socket: OwnedFd,
    /// Which of the entries that had this place it is.
    pub(super) generation: u32,
    /// Its group, and its place in it.
    pub(super) group: u32,
    pub(super) place: u32,
    /// Everything up to and including this has been sent, or passed over. A live entry has also seen what its
    /// shard has seen.
    pub(super) cursor: Sequence,
    /// The last id that its reader was told of. For a poll, the last cursor that it was given to go on with, while
    /// nothing up to there has ended its topic.
    pub(super) told: Sequence,
    /// What has to be sent before anything else.
    pub(super) pending: Option<Box<Pending>>,
    /// The request of a poll, to know the next one by. Entries with equal requests share it.
    pub(super) template: Option<Arc<Template>>,
    /// The tick of its record in the wheel.
    pub(super) scheduled: u32,
    /// The tick that its silence began at: of its last write. For a poll, the tick of its deadline.
    pub(super) since: u32,
    /// The tick since which its socket has taken no byte, where it is waited for.
    pub(super) blocked: Option<std::num::NonZeroU32>,
    pub(super) state: State,
    /// Whether its reader has sent something that was not read yet.
    pub(super) readable: bool,
}

/// What an entry is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has seen everything that the shard has, and waits for more.
    Live,
    /// It has to catch up: its turn will come, or its socket has to take bytes first.
    Lagging,
    /// It waits for a page from the log.
    Reading,
    /// It is done when what is pending has been sent.
    Ending,
    /// A poll that was answered, and may ask again.
    Idle,
}

/// Bytes that have to be sent before anything else, and how many of them have been.
#[derive(Debug)]
pub(super) enum Pending {
    Bytes(Bytes, usize),
    /// A frame that other readers get as well.
    Frame(Arc<Entry>, usize),
}

/// Names an entry of a shard, and no other that has its place later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

// === impl Parked ===

impl Parked {
    /// What is left of what has to be sent before anything else.
    pub(super) fn unsent(&self, frames: Frames) -> Vec<u8> {
        match self.pending.as_deref() {
            None => Vec::new(),
            Some(Pending::Bytes(bytes, sent)) => bytes[*sent..].to_vec(),
            Some(Pending::Frame(event, sent)) => event.frame(frames.framing())[*sent..].to_vec(),
        }
    }
}

// === impl Pending ===

impl Pending {
    /// How many of its bytes have been sent.
    pub(super) fn sent(&self) -> usize {
        match self {
            Self::Bytes(_, sent) | Self::Frame(_, sent) => *sent,
        }
    }
}

// === impl Key ===

impl Key {
    /// The key that no entry has; it names the mailbox.
    pub(super) const MAILBOX: Self = Self { index: u32::MAX, generation: u32::MAX };

    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Self { index: low(bits), generation: low(bits >> 32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The promise of less than a kilobyte for a waiting subscriber begins here: the slab has one of these for
    /// each.
    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Parked>(), 64);
        assert_eq!(size_of::<Key>(), 8);
    }

    #[test]
    fn keys_survive_the_kernel() {
        for key in [Key { index: 1, generation: 2 }, Key::MAILBOX] {
            assert_eq!(Key::from_bits(key.to_bits()), key);
        }
    }
}
