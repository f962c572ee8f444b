use std::fmt;
use std::io;

/// What one side tells the other when something is wrong, or over (RFC 8446 §6): the reason for which a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alert {
    CloseNotify = 0,
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    IllegalParameter = 47,
    DecodeError = 50,
    InternalError = 80,
    NoRenegotiation = 100,
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// What the peer sent is not allowed. It is told so.
    #[error("the peer sent what it may not: {0}")]
    Refused(Alert),
    /// The peer said that something was wrong, by the number of its alert.
    #[error("the peer ended the connection with alert {0}")]
    Told(u8),
    /// No more records may be sealed with the keys, and there are no further ones.
    #[error("the keys have sealed as many records as they may")]
    Exhausted,
}

// === impl Alert ===

impl Alert {
    /// As it is sent.
    pub(super) fn to_bytes(self) -> [u8; 2] {
        const WARNING: u8 = 1;
        const FATAL: u8 = 2;
        let is_warning = matches!(self, Self::CloseNotify | Self::NoRenegotiation);
        [if is_warning { WARNING } else { FATAL }, self as u8]
    }
}

impl fmt::Display for Alert {
    /// By its name in the RFC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloseNotify => "close_notify",
            Self::UnexpectedMessage => "unexpected_message",
            Self::BadRecordMac => "bad_record_mac",
            Self::RecordOverflow => "record_overflow",
            Self::IllegalParameter => "illegal_parameter",
            Self::DecodeError => "decode_error",
            Self::InternalError => "internal_error",
            Self::NoRenegotiation => "no_renegotiation",
        })
    }
}

// === impl Fault ===

impl From<Alert> for Fault {
    fn from(alert: Alert) -> Self {
        Self::Refused(alert)
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}
