//! What a service manager, such as systemd, hands over and is told.

use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use listenfd::ListenFd;

/// The longest that a service manager may take to be told something.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(1);

/// The listening sockets that were handed over (`LISTEN_FDS`). A service manager keeps them open while the hub is
/// started again, and nobody is refused meanwhile. To be called before there are threads: the environment is cleared
/// of them.
pub(crate) fn sockets() -> Result<Vec<TcpListener>, String> {
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for number in 0..handed.len() {
        let socket = handed.take_tcp_listener(number).map_err(|error| {
            format!("failed to take the socket that was handed over: {error}; a hub listens on `ListenStream=` with a port")
        })?;
        sockets.extend(socket);
    }
    Ok(sockets)
}

/// Tells the service manager how things stand (`NOTIFY_SOCKET`), where there is one that wants to know.
pub(crate) fn notify(state: &str) {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => abstract_address(name),
        None => SocketAddr::from_pathname(&place),
    };
    let told = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(NOTIFY_TIMEOUT))?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
    if let Err(error) = told {
        tracing::warn!(%error, state, "failed to tell the service manager");
    }
}

/// An address of Linux's own that is no file.
#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has addresses that begin with `@`"))
}
