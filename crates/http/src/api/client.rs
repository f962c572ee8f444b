use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use http::header::FORWARDED;
use http::{Extensions, HeaderMap, Request};
use ipnet::IpNet;

use crate::api::auth::Access;
use crate::api::forwarded;
use crate::api::origin::Way;
use crate::delivery::memory::Client;

/// Where a request comes from. [`Server`](crate::Server) leaves it in the extensions of every request.
///
/// It is the other end of the connection, or, where that is a proxy that is trusted, what the proxy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

/// The proxies whose word is taken on where a request comes from (`trusted-proxies`).
///
/// ```
/// use tidings_http::TrustedProxies;
/// let proxies: TrustedProxies = "10.0.0.0/8, ::1".parse()?;
/// assert!(proxies.contains("10.1.2.3".parse().unwrap()));
/// assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
/// # Ok::<(), tidings_http::InvalidNetwork>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// The text is no address and no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address like `192.0.2.7` or a network like `10.0.0.0/8`")]
pub struct InvalidNetwork(String);

/// The field that most proxies say it in, each appending its own peer.
const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// The bits of an IPv6 address that name a network; the others are its holder's to choose.
const NETWORK_BITS: u32 = 64;

// === impl ClientAddress ===

impl ClientAddress {
    /// An address. One of IPv4 that is written as IPv6 is taken for what it is.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address itself.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0
    }

    /// What limits by address count by: an IPv4 address, or the first of the /64 that an IPv6 address is in. Whoever
    /// has one address of such a network has all of them.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                let mask = u128::MAX << NETWORK_BITS;
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Whether the word of this address is taken.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Where a request comes from that came over a connection from `peer`.
    ///
    /// Each proxy adds the address that it was asked from at the end. So what is trusted is read from the end, and
    /// the first address that is no trusted proxy's is the client: whatever stands before it, the client may have
    /// written itself. `X-Forwarded-For` is listened to before `Forwarded`, never both: proxies that append to one
    /// pass the other on as it came.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let peer = ClientAddress::new(peer);
        if !self.contains(peer.0) {
            return peer;
        }
        if headers.contains_key(X_FORWARDED_FOR) {
            return self
                .first_untrusted(peer, forwarded::hops(headers, X_FORWARDED_FOR, forwarded::addresses));
        }
        self.first_untrusted(peer, forwarded::hops(headers, FORWARDED.as_str(), forwarded::forwarded))
    }

    /// Whether a request says where it comes from, whatever that is worth.
    pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
        headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED)
    }

    /// Leaves in the extensions of a request where it comes from, where somebody else's server says who is at the other
    /// end of the connection, and nobody has done so.
    pub(crate) fn identify<B>(&self, request: &mut Request<B>) {
        if request.extensions().get::<ClientAddress>().is_some() {
            return;
        }
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() else {
            return;
        };
        let (client, trusted) = (self.client(peer.ip(), request.headers()), self.contains(peer.ip()));
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(Way { encrypted: None, trusted });
    }

    /// Whether nobody's word is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes from hop to hop, beginning at the nearest, for as long as they are trusted. A trusted proxy that does not
    /// say whom it was asked by stands for whoever that was.
    fn first_untrusted(
        &self,
        peer: ClientAddress,
        hops: impl Iterator<Item = Option<ClientAddress>>,
    ) -> ClientAddress {
        let mut last = peer;
        for hop in hops {
            let Some(hop) = hop else { break };
            last = hop;
            if !self.contains(hop.0) {
                break;
            }
        }
        last
    }
}

impl FromIterator<IpNet> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl FromStr for TrustedProxies {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(network).collect()
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, network) in self.0.iter().enumerate() {
            write!(f, "{}{network}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

fn network(text: &str) -> Result<IpNet, InvalidNetwork> {
    let address = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    text.parse().or_else(|_| address()).map_err(|_| InvalidNetwork(text.chars().take(64).collect()))
}

impl Client {
    /// Whom a request is from: the subject of its token, else its address.
    pub(crate) fn of(extensions: &Extensions, access: Option<&Access>) -> Self {
        Self::at(extensions.get::<ClientAddress>().copied(), access)
    }

    /// Who is at an address, as far as that is known.
    pub(crate) fn at(address: Option<ClientAddress>, access: Option<&Access>) -> Self {
        if let Some(subject) = access.and_then(Access::subject) {
            return Self::Subject(Arc::clone(subject));
        }
        address.map_or(Self::Unknown, |address| Self::Network(address.network()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    /// Who a request is from, given the values of a field.
    fn client(peer: &str, name: &str, values: &[&str]) -> String {
        let proxies: TrustedProxies = "10.0.0.0/8, ::1, 2001:db8:1::/48".parse().unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            let name = HeaderName::try_from(name).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        for name in ["x-forwarded-for", "forwarded"] {
            let value = if name == "forwarded" { "for=192.0.2.1" } else { "192.0.2.1" };
            assert_eq!(client("10.1.1.1", name, &[value]), "192.0.2.1");
            assert_eq!(client("::ffff:10.1.1.1", name, &[value]), "192.0.2.1");
            assert_eq!(client("::1", name, &[value]), "192.0.2.1");
            assert_eq!(client("192.0.2.9", name, &[value]), "192.0.2.9");
            assert_eq!(client("::2", name, &[value]), "::2");
            assert_eq!(client("10.1.1.1", name, &[]), "10.1.1.1");
        }
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_believed() {
        let forged =
            ["8.8.8.8, 192.0.2.1", "8.8.8.8, 192.0.2.1, 10.0.0.2", "10.0.0.9,192.0.2.1 ,10.0.0.2,10.0.0.3"];
        for value in forged {
            assert_eq!(client("10.1.1.1", "x-forwarded-for", &[value]), "192.0.2.1", "{value}");
            let value = value.split(',').map(|hop| format!("For={};proto=http", hop.trim()));
            let value = value.collect::<Vec<_>>().join(", ");
            assert_eq!(client("10.1.1.1", "forwarded", &[&value]), "192.0.2.1", "{value}");
        }
        assert_eq!(client("10.1.1.1", "x-forwarded-for", &["8.8.8.8", "192.0.2.1", "10.0.0.2"]), "192.0.2.1");
    }

    #[test]
    fn a_field_that_its_proxy_passes_on_does_not_count() {
        let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("forwarded", HeaderValue::from_static("for=8.8.8.8"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        assert_eq!(proxies.client("10.0.0.1".parse().unwrap(), &headers).to_string(), "192.0.2.1");
    }

    #[test]
    fn addresses_come_with_ports_and_quotes() {
        for (name, value, expected) in [
            ("x-forwarded-for", "192.0.2.1:4711", "192.0.2.1"),
            ("x-forwarded-for", "2001:db8::7", "2001:db8::7"),
            ("x-forwarded-for", "[2001:db8::7]:4711", "2001:db8::7"),
            ("x-forwarded-for", "::ffff:192.0.2.1", "192.0.2.1"),
            ("x-forwarded-for", "2001:db8::7, 2001:db8:1::5", "2001:db8::7"),
            ("forwarded", "for=\"[2001:db8::7]:4711\";proto=https", "2001:db8::7"),
            ("forwarded", "proto=https; FOR=192.0.2.1:80;by=10.0.0.1", "192.0.2.1"),
            ("forwarded", "for=\"192.0.2.1\";by=\"a, for=8.8.8.8\"", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1;host=\"x;for=8.8.8.8\", for=10.0.0.2", "192.0.2.1"),
            ("forwarded", "by=\"\\\", for=8.8.8.8\";for=192.0.2.1", "192.0.2.1"),
            ("forwarded", "for=\"192.0.2.\\1\"", "192.0.2.1"),
        ] {
            assert_eq!(client("10.1.1.1", name, &[value]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn who_is_not_named_is_who_asked() {
        for value in
            ["", "unknown", "_hidden", "192.0.2.1, unknown", "\u{fc}", "for=192.0.2.1", "192.0.2.1, [::1"]
        {
            assert_eq!(client("10.1.1.1", "x-forwarded-for", &[value]), "10.1.1.1", "{value}");
        }
        assert_eq!(client("10.1.1.1", "x-forwarded-for", &["unknown, 10.0.0.2"]), "10.0.0.2");
        for value in [
            "",
            "for=unknown",
            "for=_hidden",
            "for=\"_x:80\"",
            "for=192.0.2.1, for=unknown",
            "proto=https",
            "192.0.2.1",
            "for=\"192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.1\\\"",
            "for=\"x, for=192.0.2.1",
            "for=192.0.2.1\"",
            "for=192.0.2.1, \u{fc}",
        ] {
            assert_eq!(client("10.1.1.1", "forwarded", &[value]), "10.1.1.1", "{value}");
            // What was said before a line of no use is not believed in its place.
            let expected = if value.is_empty() { "192.0.2.9" } else { "10.1.1.1" };
            assert_eq!(client("10.1.1.1", "forwarded", &["for=192.0.2.9", value]), expected, "{value}");
        }
    }

    #[test]
    fn all_lines_are_one_list_and_empty_elements_say_nothing() {
        for (name, written) in [("x-forwarded-for", "{}"), ("forwarded", "for={}")] {
            let hop = |address: &str| written.replace("{}", address);
            let (client_hop, proxy) = (hop("192.0.2.1"), hop("10.0.0.2"));
            for values in [
                vec![format!("{client_hop}, ,, {proxy} , ")],
                vec![format!(",{client_hop},"), String::new(), ", ,".into(), format!(",{proxy}")],
                vec![hop("8.8.8.8"), client_hop.clone(), ",".into()],
            ] {
                let values: Vec<_> = values.iter().map(String::as_str).collect();
                assert_eq!(client("10.1.1.1", name, &values), "192.0.2.1", "{name}: {values:?}");
            }
        }
    }

    #[test]
    fn limits_count_ipv6_by_network() {
        let network = |text: &str| ClientAddress::new(text.parse().unwrap()).network().to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn networks_are_written_as_usual() {
        let proxies: TrustedProxies = " 10.0.0.0/8,::1 , 192.0.2.7".parse().unwrap();
        assert_eq!(proxies.to_string(), "10.0.0.0/8, ::1/128, 192.0.2.7/32");
        assert!(
            proxies.contains("192.0.2.7".parse().unwrap()) && !proxies.contains("192.0.2.8".parse().unwrap())
        );
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        let error = "10.0.0.0/8, nginx".parse::<TrustedProxies>().unwrap_err().to_string();
        assert!(error.starts_with("`nginx` is not an address"), "{error}");
    }
}
