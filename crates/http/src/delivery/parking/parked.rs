use std::sync::Arc;

use bytes::Bytes;
use tidings_hub::Reader;

use super::sink::Sink;
use super::template::Template;
use crate::delivery::remainder::Remainder;

/// A connection that waits. All that it costs beside its sink is this, its number in its group, and a record
/// in the wheel; a test holds its size.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) sink: Sink,
    /// Which of the entries that had this place it is.
    pub(super) generation: u32,
    /// Its group, and its place in it.
    pub(super) group: u32,
    pub(super) place: u32,
    /// How far its reader is.
    pub(super) seen: Reader,
    /// What has to be sent before anything else.
    pub(super) pending: Option<Box<Pending>>,
    /// The request of a poll, to know the next one by. Entries with equal requests share it.
    pub(super) template: Option<Arc<Template>>,
    /// The tick of its record in the wheel; its last 16 bits, as none is further away than that.
    pub(super) scheduled: u16,
    /// The tick that its silence began at: of its last write. For a poll, the tick of its deadline.
    pub(super) since: u32,
    /// The tick since which its sink has taken no byte, where it is waited for.
    pub(super) blocked: Option<std::num::NonZeroU32>,
    pub(super) reader: ReaderSigns,
}

/// What is known of an entry's reader, in a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ReaderSigns(u8);

/// What has to be sent before anything else.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is in a box, and few readers have one")]
pub(super) enum Pending {
    /// A few bytes, and how many of them have been sent.
    Bytes(Bytes, usize),
    /// What is left of events.
    Rest {
        rest: Remainder,
        /// Whether the log has been asked for more of them.
        asked: bool,
    },
}

/// Names an entry of a shard, and no other that has its place later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) index: u32,
    /// Its highest bit is 0. Where it is 1, the key names something else than an entry: a connection of HTTP/2, or where the
    /// next bit is 1 as well, a WebSocket.
    pub(super) generation: u32,
}

// === impl Parked ===

impl Parked {
    /// Has something sent after what has to be sent before it.
    pub(super) fn send_then(&mut self, bytes: Vec<u8>) {
        match self.pending.as_deref_mut() {
            None => self.pending = Some(Box::new(Pending::Bytes(bytes.into(), 0))),
            Some(Pending::Bytes(before, sent)) => {
                (*before, *sent) = ([&before[*sent..], &bytes].concat().into(), 0);
            }
            Some(Pending::Rest { rest, .. }) => rest.then(&bytes),
        }
    }

    /// Whether the log has been asked for what is pending.
    pub(super) fn is_read_for(&self) -> bool {
        matches!(self.pending.as_deref(), Some(Pending::Rest { asked: true, .. }))
    }

    /// Whether what is pending is found in the log alone.
    pub(super) fn depends_on_log(&self) -> bool {
        matches!(self.pending.as_deref(), Some(Pending::Rest { rest, .. }) if !rest.is_whole())
    }
}

// === impl ReaderSigns ===

impl ReaderSigns {
    const READABLE: u8 = 1;
    const LEFT: u8 = 2;

    /// Whether it has sent something that was not read yet.
    pub(super) fn is_readable(self) -> bool {
        self.0 & Self::READABLE != 0
    }

    pub(super) fn set_readable(&mut self, readable: bool) {
        self.0 = self.0 & !Self::READABLE | if readable { Self::READABLE } else { 0 };
    }

    /// Whether it sends nothing more, and may have left: it gets the answer that is under way, and is not held.
    pub(super) fn has_left(self) -> bool {
        self.0 & Self::LEFT != 0
    }

    pub(super) fn set_left(&mut self) {
        self.0 |= Self::LEFT;
    }
}

// === impl Pending ===

impl Pending {
    /// What changes when some of it is sent.
    pub(super) fn progress(&self) -> [usize; 4] {
        match self {
            Self::Bytes(_, sent) => [*sent; 4],
            Self::Rest { rest, .. } => rest.progress(),
        }
    }
}

// === impl Key ===

impl Key {
    /// The key that no entry has; it names the mailbox.
    pub(super) const MAILBOX: Self = Self { index: u32::MAX, generation: u32::MAX };
    /// The highest generation of an entry.
    const MOST: u32 = u32::MAX >> 1;

    /// The bit that tells WebSockets from connections of HTTP/2.
    const WEB_SOCKET: u32 = 1 << 30;

    /// The key of a connection of HTTP/2.
    pub(super) fn connection(index: u32, generation: u32) -> Self {
        Self { index, generation: (generation & !Self::WEB_SOCKET) | !Self::MOST }
    }

    /// The key of a WebSocket.
    pub(super) fn websocket(index: u32, generation: u32) -> Self {
        Self { index, generation: generation | Self::WEB_SOCKET | !Self::MOST }
    }

    /// Whether it names a connection of HTTP/2.
    pub(super) fn is_connection(self) -> bool {
        self.generation > Self::MOST && self.generation & Self::WEB_SOCKET == 0
    }

    /// Whether it names a WebSocket.
    pub(super) fn is_websocket(self) -> bool {
        self.generation > Self::MOST && self.generation & Self::WEB_SOCKET != 0
    }

    /// The generation after one.
    pub(super) fn next_generation(generation: u32) -> u32 {
        generation.wrapping_add(1) & Self::MOST
    }

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
        for generation in [0, 1, Key::WEB_SOCKET, Key::MOST] {
            let keys =
                [Key { index: 1, generation }, Key::connection(1, generation), Key::websocket(1, generation)];
            let kinds = keys.map(|key| (key.is_connection(), key.is_websocket()));
            assert_eq!(kinds, [(false, false), (true, false), (false, true)]);
        }
    }
}
