//! Open files of sealed segments: a bounded number, however much a log keeps.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tidings_protocol::Sequence;

use super::files::{File, Files};
use super::{limits, segment};

/// Which file of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Log,
    Index,
    Keys,
}

type Handle = (Sequence, Kind, Arc<dyn File>);

/// Opens files as they are needed and keeps those used last open.
#[derive(Debug)]
pub(crate) struct Handles {
    files: Arc<dyn Files>,
    dir: PathBuf,
    /// The one used last is at the end.
    open: Mutex<Vec<Handle>>,
}

// === impl Kind ===

impl Kind {
    /// How the names of such files end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Index => "index",
            Self::Keys => "keys",
        }
    }
}

// === impl Handles ===

impl Handles {
    pub(crate) fn new(files: Arc<dyn Files>, dir: PathBuf) -> Self {
        Self { files, dir, open: Mutex::new(Vec::new()) }
    }

    pub(crate) fn path(&self, base: Sequence, kind: Kind) -> PathBuf {
        segment::path(&self.dir, base, kind.extension())
    }

    pub(crate) fn get(&self, base: Sequence, kind: Kind) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = open.iter().rposition(|(of, what, _)| (*of, *what) == (base, kind)) {
            let entry = open.remove(place);
            let file = Arc::clone(&entry.2);
            open.push(entry);
            return Ok(file);
        }
        drop(open);
        let file = self.files.open(&self.path(base, kind))?;
        self.keep(base, kind, Arc::clone(&file));
        Ok(file)
    }

    /// Takes a file that is open already.
    pub(crate) fn keep(&self, base: Sequence, kind: Kind, file: Arc<dyn File>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(of, what, _)| (*of, *what) != (base, kind));
        open.push((base, kind, file));
        if open.len() > limits::OPEN_FILES {
            open.remove(0);
        }
    }

    /// Closes the segments before `earliest`, so that their room on the disk is free.
    pub(crate) fn forget_before(&self, earliest: Sequence) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(of, what, _)| *of >= earliest || *what == Kind::Keys);
    }

    /// Closes a file, which whoever reads it just now does not notice.
    pub(crate) fn forget(&self, base: Sequence, kind: Kind) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(of, what, _)| (*of, *what) != (base, kind));
    }
}
