//! Sends without waiting, and without a signal where the reader has left.

use std::os::fd::AsFd;

use rustix::net::{SendFlags, send};

/// Sends what a socket takes now.
pub(crate) fn send_now(socket: impl AsFd, bytes: &[u8]) -> rustix::io::Result<usize> {
    send(socket, bytes, FLAGS)
}

#[cfg(all(not(target_vendor = "apple"), not(all(target_os = "linux", feature = "portable"))))]
const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
/// Without `MSG_NOSIGNAL`, it is the socket that is told ([`without_signal`]); and Rust's own `main` ignores the signal
/// anyway.
#[cfg(any(target_vendor = "apple", all(target_os = "linux", feature = "portable")))]
const FLAGS: SendFlags = SendFlags::DONTWAIT;

/// Has no write to a socket raise SIGPIPE, where that is asked of the socket and not of the write.
#[cfg(target_vendor = "apple")]
pub(crate) fn without_signal(socket: impl AsFd) -> rustix::io::Result<()> {
    rustix::net::sockopt::set_socket_nosigpipe(socket, true)
}

#[cfg(not(target_vendor = "apple"))]
#[allow(clippy::unnecessary_wraps, reason = "other systems have something to do, and may fail")]
pub(crate) fn without_signal(_: impl AsFd) -> rustix::io::Result<()> {
    Ok(())
}
