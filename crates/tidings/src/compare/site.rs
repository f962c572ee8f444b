//! The hub at which is compared.

use std::error::Error;

use tidings_client::tls::Trust;

use super::lane::Wire;
use crate::bench::browser::Client;
use crate::bench::dialect::{Dialect, Target};
use crate::bench::server::{Location, Server};
use crate::failure::WrongArguments;

/// Where a hub is, and with what right it is asked.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) authority: String,
    /// What comes before `/topics`.
    pub(crate) prefix: String,
    pub(crate) token: Option<Token>,
    pub(crate) trust: Trust,
    /// What the topics begin with.
    pub(crate) topic: String,
    /// Its process, where that is known.
    pub(crate) pid: Option<u32>,
}

/// A secret.
#[derive(Clone)]
pub(crate) struct Token(pub(crate) String);

// === impl Token ===

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

// === impl Site ===

impl Site {
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| &*token.0)
    }

    /// The hub, spoken to in this way.
    pub(crate) fn server(&self, wire: Wire) -> Result<Server, WrongArguments> {
        let location = Location { is_tls: wire.tls, authority: &self.authority, prefix: &self.prefix };
        Server::new(location, &self.trust, wire.http2)
    }

    /// What to say to it, with topics that nobody else has.
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::new(Target::Tidings, Client::Bare, &self.authority, &self.prefix, self.token())
            .below(&self.topic)
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(&self, wire: Wire) -> Result<bool, Box<dyn Error>> {
        Ok(self.server(wire)?.address.ip().is_loopback())
    }
}
