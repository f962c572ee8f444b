use std::io;
use std::path::{Path, PathBuf};

/// Why a log on disk was not opened. Nothing was changed then, but for files that the log derives itself.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody has it open.
    #[error("the log in {dir} is in use by another process; one directory serves one hub", dir = dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// There is no log in the directory, and something else.
    #[error(
        "{dir} holds no log, and other files, for example `{file}`; use an empty directory, or one that does not exist",
        dir = dir.display()
    )]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// One of the files in it.
        file: String,
    },
    /// A file is not what was written to it, and events that were acknowledged may be lost with it.
    #[error("the log is damaged: {file} at byte {offset}: {reason}", file = file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where in it, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The log was written by another version of this program.
    #[error(
        "{file} has format {found}, and this program reads format {supported}; use the version that wrote it, or an empty directory",
        file = file.display()
    )]
    UnknownFormat {
        /// Which file.
        file: PathBuf,
        /// The format that it has.
        found: u32,
        /// The format that this program reads and writes.
        supported: u32,
    },
    /// There is no room for a new log.
    #[error(
        "{dir} has no room for a new log: its first segment takes {wanted} bytes, and the next one as many: {source}",
        dir = dir.display()
    )]
    NoRoom {
        /// The directory.
        dir: PathBuf,
        /// What the first segment takes, in bytes.
        wanted: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something.
    #[error("{operation} {path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as in "open".
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

// === impl OpenError ===

impl OpenError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, operation, source }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_path_buf(), offset, reason: reason.into() }
    }
}
