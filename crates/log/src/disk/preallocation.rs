//! Room for a file, reserved before it is written.

use std::fs::File;
use std::io;

/// Reserves room for so many bytes, so that it is in one piece, and a full disk is known at once.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // Not every file system can; the zeros that follow reserve the room as well.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        other => Ok(other?),
    }
}

/// The zeros that follow reserve the room.
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
#[allow(clippy::unnecessary_wraps, reason = "Linux has something to do, and may fail")]
pub(super) fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}
