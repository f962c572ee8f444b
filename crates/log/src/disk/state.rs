//! What a log knows of itself beside its entries.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidings_protocol::{Cursor, Epoch, Lineage, Sequence};

use super::files::{self, Files};
use super::{Durability, OpenError, limits};

/// The contents of the file `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) format: u32,
    /// Tells the segments of this log from those of another one.
    log: String,
    epoch: String,
    /// The last places of the epochs before, oldest first, as cursors. Not in logs of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<String>,
    /// Keys the hashes of idempotency keys and topics.
    secret: String,
    /// What the run that wrote this promises.
    pub(crate) durability: Durability,
    /// How the log ended; `null` while it is open, and so after a crash.
    pub(crate) clean: Option<Clean>,
}

/// How a log that was closed cleanly ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clean {
    pub(crate) earliest: Sequence,
    pub(crate) latest: Sequence,
    /// Where the last record ends in the newest segment.
    pub(crate) end: u64,
}

#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

// === impl State ===

impl State {
    pub(crate) fn new(log: u64, epoch: Epoch, secret: [u8; 16], durability: Durability) -> Self {
        Self {
            format: limits::FORMAT,
            log: format!("{log:016x}"),
            epoch: epoch.to_string(),
            past: Vec::new(),
            secret: format!("{:032x}", u128::from_le_bytes(secret)),
            durability,
            clean: None,
        }
    }

    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("state")
    }

    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let damaged = |reason: &dyn std::fmt::Display| {
            OpenError::damaged(path, 0, format!("the state is not readable: {reason}"))
        };
        let AnyFormat { format } = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if format != limits::FORMAT {
            let file = path.to_path_buf();
            return Err(OpenError::UnknownFormat { file, found: format, supported: limits::FORMAT });
        }
        let state: Self = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if state.lineage().is_none() || state.log().is_none() || state.secret().is_none() {
            return Err(damaged(&"it has no valid epoch, log or secret"));
        }
        Ok(state)
    }

    pub(crate) fn write(&self, files: &dyn Files, dir: &Path) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        files::replace(files, &Self::path(dir), &bytes)
    }

    pub(crate) fn lineage(&self) -> Option<Lineage> {
        let past: Result<Vec<Cursor>, _> = self.past.iter().map(|end| end.parse()).collect();
        Some(Lineage::new(past.ok()?, self.epoch.parse().ok()?))
    }

    pub(crate) fn set_lineage(&mut self, lineage: &Lineage) {
        self.epoch = lineage.present().to_string();
        self.past = lineage.past().iter().map(Cursor::to_string).collect();
    }

    pub(crate) fn log(&self) -> Option<u64> {
        u64::from_str_radix(&self.log, 16).ok()
    }

    pub(crate) fn secret(&self) -> Option<[u8; 16]> {
        u128::from_str_radix(&self.secret, 16).ok().map(u128::to_le_bytes)
    }
}
