//! The cases of h2spec, run through a hub.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tidings_http::Cleartext;
use tidings_http2::conformance::{self, Received, Server, Transport};

use crate::support::{Authority, Running, Setup};

/// How long nothing comes before nothing will.
const SILENCE: Duration = Duration::from_secs(10);

struct Hub {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

struct Connection<T>(T);

impl Server for Hub {
    fn connect(&self) -> Box<dyn Transport> {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        match &self.tls {
            None => Box::new(Connection(socket)),
            Some(config) => {
                let name = ServerName::try_from("hub").unwrap();
                let client = ClientConnection::new(Arc::clone(config), name).unwrap();
                Box::new(Connection(StreamOwned::new(client, socket)))
            }
        }
    }

    fn scheme(&self) -> &str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    fn authority(&self) -> &str {
        "hub"
    }

    fn path(&self) -> &str {
        "/topics/a"
    }
}

impl<T: Read + Write> Transport for Connection<T> {
    fn send(&mut self, bytes: &[u8]) {
        // It may have been closed already.
        drop(self.0.write_all(bytes).and_then(|()| self.0.flush()));
    }

    fn receive(&mut self) -> Received {
        let mut bytes = vec![0; 16 << 10];
        match self.0.read(&mut bytes) {
            Ok(count @ 1..) => Received::Bytes(bytes[..count].to_vec()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Received::Nothing
            }
            Ok(_) | Err(_) => Received::End,
        }
    }
}

async fn is_conformant(hub: &Running, tls: Option<Arc<ClientConfig>>) {
    hub.publish("a", "some data").await;
    let server = Hub { address: hub.address, tls };
    let failures = tokio::task::spawn_blocking(move || conformance::run(&server)).await.unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
    // It serves on, and keeps nothing of all that.
    hub.publish("a", "more").await;
    for transport in ["sse", "long-poll"] {
        hub.readers(transport, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_clear() {
    is_conformant(&Running::start().await, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls() {
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Loopback));
    is_conformant(&setup.start().await, Some(authority.trusted("h2"))).await;
}
