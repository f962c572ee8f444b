use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

use crate::limit::Limit;
use crate::metrics::Metrics;

/// Has the kernel notice a client that vanished without a word, as one does whose network is gone: a connection of which
/// bytes are not acknowledged for the write timeout is given up, and one that is silent for as long is asked whether it is
/// there.
///
/// The kernel gives up a little later ([`LATER`]) than the hub itself, which closes a connection that takes nothing of what
/// is pending for it: otherwise which of the two comes first would be luck, and what is counted with it.
///
/// Nothing else would notice. What is written to it goes into the kernel's queue, which takes heartbeats for hours.
pub(crate) fn notice(socket: impl AsFd, write_timeout: Duration) -> io::Result<()> {
    give_up_unacknowledged(&socket, write_timeout)?;
    // The kernel counts these in seconds.
    let silence = Duration::from_secs(write_timeout.as_secs().clamp(1, MOST_SILENCE_SECONDS));
    #[cfg(not(target_os = "openbsd"))]
    ask_after(&socket, silence)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    Ok(())
}

#[cfg(not(target_os = "openbsd"))]
fn ask_after(socket: impl AsFd, silence: Duration) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(&socket, silence)?;
    sockopt::set_tcp_keepintvl(&socket, (silence / PROBES).max(Duration::from_secs(1)))?;
    sockopt::set_tcp_keepcnt(&socket, PROBES)
}

#[cfg(all(target_os = "linux", not(feature = "portable")))]
fn give_up_unacknowledged(socket: impl AsFd, write_timeout: Duration) -> rustix::io::Result<()> {
    let millis = u32::try_from(write_timeout.saturating_add(LATER).as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(&socket, millis)
}

/// Others give up by themselves, after some minutes.
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
#[allow(clippy::unnecessary_wraps, reason = "Linux has something to do, and may fail")]
fn give_up_unacknowledged(_: impl AsFd, _: Duration) -> rustix::io::Result<()> {
    Ok(())
}

/// How much later than the hub the kernel gives up a connection that takes nothing.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
const LATER: Duration = Duration::from_secs(2);
/// The longest silence that the kernel takes, in seconds.
const MOST_SILENCE_SECONDS: u64 = 32_767;
/// How often a silent client is asked.
const PROBES: u32 = 4;

/// Takes note of a connection that the kernel gave up because its client had vanished.
pub(crate) fn count(metrics: &Metrics) {
    tracing::debug!("closed a connection that acknowledged nothing for the write timeout");
    metrics.slow_closes.inc();
    metrics.count_limit(Limit::WriteTimeout);
}

/// Whether this is why a socket failed.
pub(crate) fn is_cause(socket: impl AsFd) -> bool {
    matches!(sockopt::socket_error(socket), Ok(Err(Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_kernel_is_told_of_the_write_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for (timeout, millis, silence) in
            [(7_000, 9_000, 7), (10, 2_010, 1), (100_000_000, 100_002_000, 32_767)]
        {
            notice(&socket, Duration::from_millis(timeout)).unwrap();
            if !cfg!(feature = "portable") {
                assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), millis);
            }
            assert_eq!(sockopt::tcp_keepidle(&socket).unwrap(), Duration::from_secs(silence));
            assert!(sockopt::socket_keepalive(&socket).unwrap());
        }
        assert!(!is_cause(&socket));
    }
}
