use serde::{Deserialize, Serialize};

/// A place where the hub cannot show that nothing is missing (§3.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why it cannot.
    pub reason: GapReason,
    /// The cursor that the reader gave, as it gave it.
    pub since: String,
    /// The cursor before the first event that follows.
    pub resumed: String,
}

/// Why something may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// Retention has discarded events after the cursor.
    Expired,
    /// The cursor is of another epoch, or is no cursor.
    Unknown,
    /// The cursor is beyond the end of the log.
    Ahead,
}

// === impl GapReason ===

impl GapReason {
    /// The word that the protocol has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Ahead => "ahead",
        }
    }
}
