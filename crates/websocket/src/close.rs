use std::fmt;

/// Why a socket is closed (RFC 6455 §7.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

// === impl CloseCode ===

impl CloseCode {
    /// All that was to be said has been said.
    pub const NORMAL: Self = Self(1000);
    /// The server stops, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// Something that the protocol does not allow.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of message that is not taken, for example a binary one.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A message is not what its type says, for example text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// Something that the server's rules do not allow.
    pub const POLICY: Self = Self(1008);
    /// A message is too large.
    pub const TOO_LARGE: Self = Self(1009);
    /// Something went wrong on the server.
    pub const INTERNAL: Self = Self(1011);
    /// No token, or one that is not valid or no longer valid.
    pub const UNAUTHORIZED: Self = Self(4401);
    /// The token does not allow it.
    pub const FORBIDDEN: Self = Self(4403);
    /// The peer did not say in time what it had to.
    pub const TIMEOUT: Self = Self(4408);
    /// Too many sockets, or too much asked in too little time.
    pub const TOO_MANY: Self = Self(4429);

    /// Whether a close frame may have it: 1005, 1006 and 1015 only stand for what no frame said, and others below 3000
    /// mean nothing.
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NORMAL => "normal",
            Self::GOING_AWAY => "going away",
            Self::PROTOCOL => "protocol error",
            Self::UNSUPPORTED => "unsupported data",
            Self::INVALID_DATA => "invalid data",
            Self::POLICY => "policy violation",
            Self::TOO_LARGE => "message too large",
            Self::INTERNAL => "internal error",
            Self::UNAUTHORIZED => "unauthorized",
            Self::FORBIDDEN => "forbidden",
            Self::TIMEOUT => "timeout",
            Self::TOO_MANY => "too many requests",
            _ => return None,
        })
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
