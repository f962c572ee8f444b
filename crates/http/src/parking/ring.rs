//! Many sends in one system call.

use std::io;
use std::os::fd::AsRawFd as _;

use io_uring::{IoUring, opcode, types};

use super::parked::Parked;
use super::shard::Sent;

/// Sends that are handed to the kernel together.
pub(super) struct Ring {
    ring: IoUring,
}

/// How many sends are handed over at once.
const BATCH: u32 = 256;

// === impl Ring ===

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { ring: IoUring::builder().setup_single_issuer().build(BATCH)? })
    }

    /// Offers the same bytes to many sockets, and calls back with how each of them took it. Says whether the kernel
    /// played its part; if not, those that were not called back for have been sent nothing.
    pub(super) fn offer<'a>(
        &mut self,
        targets: impl Iterator<Item = (u32, &'a Parked)>,
        bytes: &[u8],
        mut sent: impl FnMut(u32, Sent),
    ) -> io::Result<()> {
        let mut targets = targets.peekable();
        while targets.peek().is_some() {
            let mut waiting = 0;
            for (index, entry) in targets.by_ref().take(BATCH as usize) {
                self.push(index, entry, bytes)?;
                waiting += 1;
            }
            while waiting > 0 {
                match self.ring.submit_and_wait(1) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
                for done in self.ring.completion() {
                    waiting -= 1;
                    let index = u32::try_from(done.user_data()).unwrap_or(u32::MAX);
                    sent(index, outcome(done.result(), bytes.len()));
                }
            }
        }
        Ok(())
    }

    #[allow(unsafe_code, reason = "the kernel is handed an address")]
    fn push(&mut self, index: u32, entry: &Parked, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let send = opcode::Send::new(types::Fd(entry.socket.as_raw_fd()), bytes.as_ptr(), length)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build()
            .user_data(u64::from(index));
        // SAFETY: `offer` returns only after the kernel has said of every send that it is done with it, and holds the
        // bytes and the sockets borrowed until then. It returns early only where the kernel refuses the call as such,
        // and with MSG_DONTWAIT a send that the kernel took is over when the call is.
        unsafe { self.ring.submission().push(&send) }.map_err(io::Error::other)
    }
}

fn outcome(result: i32, length: usize) -> Sent {
    match usize::try_from(result) {
        Ok(count) if count == length => Sent::All,
        Ok(count) => Sent::Some(count),
        Err(_) if result == -libc::EAGAIN || result == -libc::EINTR => Sent::Some(0),
        Err(_) => Sent::Failed,
    }
}
