use crate::CloseCode;

/// The peer did what the protocol, or a limit, does not allow: the socket is to be closed, with this code and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct ProtocolError {
    /// What the peer is told.
    pub code: CloseCode,
    /// What it did.
    pub reason: &'static str,
}

// === impl ProtocolError ===

impl ProtocolError {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self { code: CloseCode::PROTOCOL, reason }
    }

    pub(crate) const fn text() -> Self {
        Self { code: CloseCode::INVALID_DATA, reason: "text is not UTF-8" }
    }

    pub(crate) const fn size() -> Self {
        Self { code: CloseCode::TOO_LARGE, reason: "a message is larger than allowed" }
    }
}
