//! Where a server is, and how it is spoken to.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tidings_client::tls::Trust;

use super::connection::ConnectionError;
use crate::failure::WrongArguments;

#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) http2: bool,
}

/// How connections are made where they are encrypted.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// A URL in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location<'a> {
    pub(crate) is_tls: bool,
    pub(crate) authority: &'a str,
    pub(crate) prefix: &'a str,
}

// === impl Server ===

impl Server {
    pub(crate) fn new(location: Location<'_>, trust: &Trust, http2: bool) -> Result<Self, WrongArguments> {
        let address = location.resolve().map_err(|error| WrongArguments::at("--url", &error))?;
        let tls = location.is_tls.then(|| Tls::new(location.host(), trust, http2)).transpose()?;
        Ok(Self { address, tls, http2 })
    }

    /// In words: the version of HTTP.
    pub(crate) fn http(&self) -> &'static str {
        if self.http2 { "h2" } else { "http/1.1" }
    }
}

// === impl Tls ===

impl Tls {
    fn new(host: &str, trust: &Trust, http2: bool) -> Result<Self, WrongArguments> {
        let mut config = trust.tls().map_err(|error| WrongArguments::at("--ca-file", &error))?;
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        // Each connection is that of another user, who has not been here before.
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            WrongArguments::at("--url", &format!("`{host}` is no name that a certificate could have"))
        })?;
        Ok(Self { config: config.into(), name })
    }

    /// The same, where the server may choose among these protocols.
    pub(crate) fn offering(&self, protocols: &[&[u8]]) -> Self {
        let mut config = (*self.config).clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self { config: config.into(), name: self.name.clone() }
    }

    pub(crate) fn session(&self) -> Result<ClientConnection, ConnectionError> {
        let mut session = ClientConnection::new(self.config.clone(), self.name.clone())
            .map_err(|error| ConnectionError::of_tls(&error))?;
        session.set_buffer_limit(None);
        Ok(session)
    }
}

// === impl Location ===

impl<'a> Location<'a> {
    pub(crate) fn of(url: &'a str) -> Result<Self, WrongArguments> {
        let (is_tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => {
                let what = format!(
                    "`{url}` is no URL to measure: right would be `http://HOST:PORT` or `https://HOST:PORT`, perhaps with a path"
                );
                return Err(WrongArguments::new(what));
            }
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Ok(Self { is_tls, authority, prefix: path.trim_end_matches('/') })
    }

    /// The authority without its port.
    fn host(self) -> &'a str {
        let host = match self.port() {
            Some(_) => self.authority.rsplit_once(':').map_or(self.authority, |(host, _)| host),
            None => self.authority,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }

    fn port(self) -> Option<u16> {
        self.authority.rsplit_once(':')?.1.parse().ok()
    }

    fn resolve(self) -> Result<SocketAddr, String> {
        let authority = self.authority;
        let port = self.port().unwrap_or(if self.is_tls { 443 } else { 80 });
        let addresses = (self.host(), port).to_socket_addrs();
        let found =
            addresses.map_err(|error| format!("failed to find the address of {authority}: {error}"))?;
        let mut found: Vec<_> = found.collect();
        // `localhost` is often both, and most servers listen on the older one.
        found.sort_by_key(SocketAddr::is_ipv6);
        found.first().copied().ok_or_else(|| format!("{authority} has no address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, authority, prefix, address) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "", "127.0.0.1:8080"),
            ("http://127.0.0.1:8080/push/", "127.0.0.1:8080", "/push", "127.0.0.1:8080"),
            ("http://127.0.0.1", "127.0.0.1", "", "127.0.0.1:80"),
            ("https://127.0.0.1/push", "127.0.0.1", "/push", "127.0.0.1:443"),
            ("https://[::1]:8443", "[::1]:8443", "", "[::1]:8443"),
            ("https://[::1]", "[::1]", "", "[::1]:443"),
        ] {
            let location = Location::of(url).unwrap();
            assert_eq!((location.authority, location.prefix), (authority, prefix), "{url}");
            assert_eq!(location.is_tls, url.starts_with("https"));
            assert_eq!(location.resolve().unwrap().to_string(), address, "{url}");
        }
        assert!(Location::of("ftp://127.0.0.1").is_err());
    }
}
