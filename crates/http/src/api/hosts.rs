use std::fmt;
use std::str::FromStr;

use crate::api::guard::host_of;

/// The names by which a hub may be asked for, beside those of the machine itself (`allowed-hosts`). Where there are
/// none, a hub that asks for tokens answers to every name.
///
/// ```
/// use tidings_http::AllowedHosts;
/// let hosts: AllowedHosts = "hub.example, *.internal".parse()?;
/// assert!(hosts.contains("Hub.example:8080") && hosts.contains("a.b.internal"));
/// assert!(!hosts.contains("evil.example") && !hosts.contains("internal"));
/// # Ok::<(), tidings_http::InvalidHost>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Name>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Any,
    /// What ends in this, which begins with a dot.
    Below(String),
    This(String),
}

/// The text names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a host like `hub.example` or `192.0.2.7`, all that is below one (`*.example`), or `*` for any"
)]
pub struct InvalidHost(String);

// === impl AllowedHosts ===

impl AllowedHosts {
    /// Whether the hub may be asked for by this name or address, with or without a port.
    #[must_use]
    pub fn contains(&self, host: &str) -> bool {
        let Some(host) = host_of(host) else { return false };
        self.0.iter().any(|name| match name {
            Name::Any => true,
            Name::Below(end) => host.len() > end.len() && host.ends_with(end),
            Name::This(name) => host == *name,
        })
    }

    /// Whether no name is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for AllowedHosts {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(name)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            match name {
                Name::Any => f.write_str("*")?,
                Name::Below(end) => write!(f, "*{end}")?,
                Name::This(name) => f.write_str(name)?,
            }
        }
        Ok(())
    }
}

fn name(text: &str) -> Result<Name, InvalidHost> {
    let invalid = || InvalidHost(text.chars().take(64).collect());
    if text == "*" {
        return Ok(Name::Any);
    }
    let (is_below, bare) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    // An address of IPv6 may be written without its brackets here: there is no port that it could be mixed up with.
    let bare = if bare.parse::<std::net::Ipv6Addr>().is_ok() { &format!("[{bare}]") } else { bare };
    let host = host_of(bare).ok_or_else(invalid)?;
    let has_port = bare.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    if has_port || host.contains(['*', '/']) {
        return Err(invalid());
    }
    Ok(if is_below { Name::Below(format!(".{host}")) } else { Name::This(host) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_without_ports() {
        let hosts: AllowedHosts = "hub.example, *.Internal,192.0.2.7 , 2001:db8::7".parse().unwrap();
        assert_eq!(hosts.to_string(), "hub.example, *.internal, 192.0.2.7, 2001:db8::7");
        for host in ["HUB.example", "hub.example.:1", "a.internal", "192.0.2.7:80", "[2001:db8::7]:80"] {
            assert!(hosts.contains(host), "{host}");
        }
        for host in
            ["", "example", "a.hub.example", ".internal", "evilinternal", "192.0.2.70", "hub.example@evil"]
        {
            assert!(!hosts.contains(host), "{host}");
        }
        assert!("*".parse::<AllowedHosts>().unwrap().contains("anything.example"));
        assert!("".parse::<AllowedHosts>().unwrap().is_empty());
        for text in ["hub.example:80", "https://hub.example", "a.*.example", "*.*", "hub example", "[::1]:80"]
        {
            assert!(text.parse::<AllowedHosts>().is_err(), "{text}");
        }
    }
}
