//! What the log asks of a file system, and nothing more: the seam where tests tear writes, fill disks and cut
//! the power.

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::preallocation;

/// Held while it lives.
pub(crate) type Lock = Box<dyn Any + Send + Sync>;

/// A file system.
pub(crate) trait Files: Debug + Send + Sync + 'static {
    /// Creates a directory, with those above it, for good.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Locks a file against other processes, and against other locks of this one; `None` where it is locked.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
    fn names(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens a file that exists.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Creates a file, empty.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes away what everybody on the machine may do with a file or directory, where that can be done. What a group
    /// may do stays, where nobody else may do anything: somebody has chosen that.
    fn seclude(&self, path: &Path);
    /// What tells the file that has this name now from others; `None` where there is none.
    fn identity(&self, path: &Path) -> Option<Identity>;
}

/// Tells a file from others that have, or had, the same name.
pub(crate) type Identity = (u64, u64);

/// A file that is open.
pub(crate) trait File: Debug + Send + Sync + 'static {
    fn len(&self) -> io::Result<u64>;
    /// Reads as much as there is, up to the length of `buffer`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reserves room on the disk.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Returns when the data, and the length, are on the disk.
    fn sync(&self) -> io::Result<()>;
}

/// The log is its owner's alone: events may be anybody's, and who can open `LOCK` can keep a hub from starting.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// What everybody may do.
const OTHERS: u32 = 0o007;

/// The system's own files.
#[derive(Debug, Default)]
pub(crate) struct SystemFiles {
    /// The log's folder is kept open: it has to be synced also where the process has no open file left, as clients
    /// that connect can bring about.
    folder: OnceLock<(PathBuf, fs::File)>,
}

// === impl SystemFiles ===

impl Files for SystemFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<_> = dir.ancestors().take_while(|level| !level.exists()).collect();
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent)?;
        }
        // Made with its mode at once, so that nobody has it open before.
        match DirBuilder::new().mode(FOLDER_MODE).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            other => other?,
        }
        // A directory is lost with the power until the one above it is synced.
        for parent in missing.iter().filter_map(|level| level.parent()) {
            self.sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        // Another one may hold it already: then this is opened whenever it is synced.
        drop(self.folder.set((dir.to_owned(), fs::File::open(dir)?)));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        Ok(Arc::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.folder.get() {
            Some((path, folder)) if path == dir => folder.sync_all(),
            _ => fs::File::open(dir)?.sync_all(),
        }
    }

    fn seclude(&self, path: &Path) {
        let Ok(metadata) = fs::metadata(path) else { return };
        if metadata.mode() & OTHERS == 0 {
            return;
        }
        let mode = if metadata.is_dir() { FOLDER_MODE } else { FILE_MODE };
        if let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode)) {
            tracing::warn!(
                file = %path.display(),
                %error,
                "other users of this machine can open a file of the log, and that cannot be changed"
            );
        }
    }

    fn identity(&self, path: &Path) -> Option<Identity> {
        fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        preallocation::reserve(self, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // `fdatasync`. On macOS, where that leaves the data in the disk's cache, the standard library asks for
        // `F_FULLFSYNC`, which does not.
        self.sync_data()
    }
}

/// Whether an error says that there is no room: on the disk, or within what the process may take of it (`RLIMIT_FSIZE`).
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Reads a whole small file.
pub(crate) fn read_whole(file: &dyn File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Replaces a file whole or not at all.
pub(crate) fn replace(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let file = files.create(&new)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    files.rename(&new, path)?;
    path.parent().map_or(Ok(()), |dir| files.sync_dir(dir))
}
