//! Standard error itself.

use std::io;

/// Writes some of it, and waits as long as that takes.
///
/// Not by the standard library's handle: its lock would be held while a write waits.
#[cfg(unix)]
pub(super) fn write(bytes: &[u8]) -> io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;

    let out = rustix::stdio::stderr();
    loop {
        match rustix::io::write(out, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => return Ok(taken),
            Err(Errno::INTR) => {}
            // Whoever shares it with the program may have set it so that writes do not wait.
            Err(Errno::AGAIN) => match poll(&mut [PollFd::from_borrowed_fd(out, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(unix))]
pub(super) fn write(bytes: &[u8]) -> io::Result<usize> {
    match io::Write::write(&mut io::stderr(), bytes)? {
        0 if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
        taken => Ok(taken),
    }
}
