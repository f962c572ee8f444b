//! The address that a hub listens on, and what to do where it cannot.

use std::io::{Error, ErrorKind};

use tokio::net::TcpListener;

use crate::failure::WrongArguments;

/// Listens, or says why that is not possible, and what would be.
pub(crate) async fn listen(address: &str) -> Result<TcpListener, Box<dyn std::error::Error + Send + Sync>> {
    tidings_http::listen(address).await.map_err(|error| {
        let what = format!("failed to listen on {address}: {}; {}", plain(&error), advice(address, &error));
        // What names no host or no port is wrong on every machine.
        let is_whole = address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if is_whole { what.into() } else { WrongArguments::new(what).into() }
    })
}

fn plain(error: &Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "the address is in use".into(),
        ErrorKind::AddrNotAvailable => "no such address is this machine's".into(),
        _ => error.to_string(),
    }
}

fn advice(address: &str, error: &Error) -> String {
    let Some((host, port)) = address.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) else {
        return match address.parse::<u16>() {
            Ok(port) => with_host(&port.to_string()),
            Err(_) => "an address is like `127.0.0.1:8080`".into(),
        };
    };
    match error.kind() {
        ErrorKind::AddrInUse => {
            let next = port.parse::<u16>().ok().and_then(|port| port.checked_add(1)).unwrap_or(8_080);
            format!(
                "end what listens there, perhaps another hub (`ss -ltnp 'sport = {port}'` shows it), or take another port \
                 with `--listen {host}:{next}`"
            )
        }
        ErrorKind::PermissionDenied => {
            format!(
                "ports below 1024 take a right (`CAP_NET_BIND_SERVICE`); `--listen {host}:8080` needs none"
            )
        }
        _ if host.is_empty() => with_host(port),
        _ => "an address is like `127.0.0.1:8080`".into(),
    }
}

/// What to write where only a port was given.
fn with_host(port: &str) -> String {
    format!(
        "`127.0.0.1:{port}` is for this machine alone, and `0.0.0.0:{port}` or `[::]:{port}` for others too"
    )
}
