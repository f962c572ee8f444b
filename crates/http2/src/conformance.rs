//! What every server of HTTP/2 has to do, as cases that any server can be run through, over any transport: those of
//! [h2spec](https://github.com/summerwind/h2spec), for servers, with its names and numbers.
//!
//! A [`Server`] opens connections; a [`Transport`] is one, with TLS or without. For `GET`, `HEAD` and `POST` of the
//! target, the server has to answer with a body of at least [`BODY_BYTES`] bytes.
//!
//! ```no_run
//! use std::io::{ErrorKind, Read, Write};
//! use std::net::{Shutdown, SocketAddr, TcpStream};
//! use std::time::Duration;
//! use tidings_http2::conformance::{self, Received, Server, Transport};
//!
//! struct Plain(SocketAddr);
//! struct Socket(TcpStream);
//!
//! impl Server for Plain {
//!     fn connect(&self) -> Box<dyn Transport> {
//!         let socket = TcpStream::connect(self.0).unwrap();
//!         socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
//!         Box::new(Socket(socket))
//!     }
//!
//!     fn scheme(&self) -> &str { "http" }
//!     fn authority(&self) -> &str { "localhost" }
//!     fn path(&self) -> &str { "/" }
//! }
//!
//! impl Transport for Socket {
//!     fn send(&mut self, bytes: &[u8]) {
//!         // It may have been closed already, which `receive` tells.
//!         drop(self.0.write_all(bytes));
//!     }
//!
//!     fn receive(&mut self) -> Received {
//!         let mut bytes = vec![0; 4096];
//!         match self.0.read(&mut bytes) {
//!             Ok(count @ 1..) => Received::Bytes(bytes[..count].to_vec()),
//!             Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Received::Nothing,
//!             Ok(_) | Err(_) => Received::End,
//!         }
//!     }
//! }
//!
//! let failures = conformance::run(&Plain("127.0.0.1:80".parse().unwrap()));
//! assert!(failures.is_empty(), "{failures:#?}");
//! ```
#![allow(
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    reason = "what it sends is short, and a test that fails panics, wherever it is defined"
)]

mod encoder;
mod frames;
mod generic;
mod hpack;
mod messages;
mod peer;
mod streams;
mod windows;

use std::fmt;

pub use peer::{Frame, Peer, Seen};

/// The least bytes that the body of an answer has, so that a window can be smaller than it.
pub const BODY_BYTES: usize = 5;

/// A server that is to be examined.
pub trait Server {
    /// Opens a connection, on which nothing was sent yet.
    fn connect(&self) -> Box<dyn Transport>;
    /// `http` or `https`.
    fn scheme(&self) -> &str;
    /// Whom requests are for.
    fn authority(&self) -> &str;
    /// What they ask for.
    fn path(&self) -> &str;
}

/// A connection.
pub trait Transport {
    /// Sends bytes, where the other side takes them.
    fn send(&mut self, bytes: &[u8]);
    /// Receives what has come, or waits for it.
    fn receive(&mut self) -> Received;
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Some bytes, at least one.
    Bytes(Vec<u8>),
    /// Nothing, for so long that nothing will come.
    Nothing,
    /// The end of the connection, however it ended.
    End,
}

/// Something that a server has to do.
#[derive(Clone, Copy)]
pub struct Case {
    /// The number of the section that it is about, with what it is a section of.
    pub section: &'static str,
    /// What is sent.
    pub name: &'static str,
    run: fn(&mut Peer) -> Result<(), String>,
}

/// A case that a server has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which one.
    pub case: String,
    /// What came instead of what had to come.
    pub reason: String,
}

/// All cases, in the order of h2spec.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    [generic::CASES, streams::CASES, frames::CASES, windows::CASES, messages::CASES, hpack::CASES]
        .into_iter()
        .flatten()
}

/// Runs a server through all cases, each on a connection of its own, and returns those that it failed.
pub fn run(server: &dyn Server) -> Vec<Failure> {
    cases().filter_map(|case| case.run(server).err()).collect()
}

// === impl Case ===

impl Case {
    /// Runs a server through it.
    ///
    /// # Errors
    /// Where it does something else than it has to.
    pub fn run(&self, server: &dyn Server) -> Result<(), Failure> {
        let mut peer = Peer::new(server);
        (self.run)(&mut peer).map_err(|reason| Failure { case: self.to_string(), reason })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.section, self.name)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
