//! HTTP/1.1 for the client's side, without I/O: one request after the other.

use super::body::Body;
use super::connection::{ConnectionError, Listener};
use super::head::Head;

/// What one connection has heard.
#[derive(Debug)]
pub(crate) struct Http1 {
    stage: Stage,
    /// The beginning of a head whose end has not come.
    unread: Vec<u8>,
    /// An answer has begun.
    answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is asked.
    Idle,
    Head,
    Body {
        body: Body,
        close: bool,
    },
    /// After 101: whatever comes is of another protocol.
    Switched,
}

/// The status after which another protocol is spoken.
const SWITCHING: u16 = 101;
/// The one slot that there is.
const SLOT: usize = 0;

// === impl Http1 ===

impl Http1 {
    pub(crate) fn new() -> Self {
        Self { stage: Stage::Idle, unread: Vec::new(), answered: false }
    }

    /// A request is sent.
    pub(crate) fn ask(&mut self) {
        self.stage = Stage::Head;
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// Whether an answer has begun and not ended, or none has before.
    pub(crate) fn is_midway(&self) -> bool {
        !self.answered
            || matches!(self.stage, Stage::Body { .. } | Stage::Switched)
            || !self.unread.is_empty()
    }

    pub(crate) fn take<L: Listener>(&mut self, mut bytes: &[u8], listener: &mut L) -> Result<(), L::Error> {
        while !bytes.is_empty() {
            match self.stage {
                // Nobody asked for it.
                Stage::Idle => return Ok(()),
                Stage::Switched => return listener.piece(SLOT, bytes),
                Stage::Head => {
                    let (begun, joined);
                    let whole = if self.unread.is_empty() {
                        begun = 0;
                        bytes
                    } else {
                        begun = self.unread.len();
                        self.unread.extend_from_slice(bytes);
                        joined = std::mem::take(&mut self.unread);
                        &joined
                    };
                    let Some((head, length)) = Head::read(whole).map_err(ConnectionError::from)? else {
                        self.unread = whole.to_vec();
                        return Ok(());
                    };
                    self.answered = true;
                    listener.head(SLOT, &head)?;
                    self.stage = match head.status {
                        SWITCHING => Stage::Switched,
                        _ => Stage::Body { body: Body::new(head.length), close: head.close },
                    };
                    bytes = &bytes[length - begun..];
                }
                Stage::Body { mut body, close } => {
                    while let Some(piece) = body.next(&mut bytes).map_err(ConnectionError::from)? {
                        listener.piece(SLOT, piece)?;
                    }
                    self.stage = Stage::Body { body, close };
                }
            }
            if let Stage::Body { body: Body::Ended, close } = self.stage {
                self.stage = Stage::Idle;
                listener.end(SLOT, close)?;
            }
        }
        Ok(())
    }

    /// The server has ended the connection, and an answer with it where that is how its end is told.
    pub(crate) fn ended<L: Listener>(&mut self, listener: &mut L) -> Result<(), L::Error> {
        if let Stage::Body { body: Body::UntilClose, .. } = self.stage {
            self.stage = Stage::Idle;
            listener.end(SLOT, true)?;
        }
        Ok(())
    }
}
