use std::fmt;

use crate::delivery::parking::REQUEST_BYTES;

/// The head of the request that was read last, from its first byte to its last: a poll may be known by it again.
///
/// It is told where heads begin and end by who follows the requests. What a connection happens to give at once is no
/// guide: a client, or a proxy for several of them, may cut its bytes anywhere.
#[derive(Default)]
pub(crate) struct Heard {
    bytes: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Nothing of a head has come yet.
    #[default]
    Before,
    Within,
    /// It is whole, and nothing has come after it.
    Whole,
    /// It is nothing that is kept.
    Other,
}

// === impl Heard ===

impl Heard {
    /// More of a head has come, or the beginning of the next one.
    pub(crate) fn push(&mut self, part: &[u8]) {
        if self.state == State::Whole {
            self.forget();
        }
        if self.state == State::Before {
            self.state = State::Within;
        }
        let is_get = !self.bytes.is_empty() || part.first() == Some(&b'G');
        if self.state == State::Within && is_get && self.bytes.len() + part.len() <= REQUEST_BYTES {
            self.bytes.extend_from_slice(part);
        } else if !part.is_empty() {
            self.bytes = Vec::new();
            self.state = State::Other;
        }
    }

    /// The head has come to its end.
    pub(crate) fn finish(&mut self) {
        self.state = if self.state == State::Within { State::Whole } else { State::Before };
    }

    /// What came was no head, or one that a body follows; or it has been answered.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Something was written, so that what came whole has been answered.
    pub(crate) fn answered(&mut self) {
        if self.state == State::Whole {
            self.forget();
        }
    }

    /// The head, where it is whole and nothing has come after it.
    pub(crate) fn into_head(self) -> Option<Vec<u8>> {
        (self.state == State::Whole).then_some(self.bytes)
    }
}

impl fmt::Debug for Heard {
    /// Without the bytes, which may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, state } = self;
        f.debug_struct("Heard").field("bytes", &bytes.len()).field("state", state).finish()
    }
}
