use std::fmt;
use std::path::Path;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// Where an engine is, as a URL with perhaps several hosts:
/// `nats://USER:PASSWORD@HOST:PORT,HOST:PORT/PATH?OPTION=VALUE`.
///
/// It is shown without user, password and options, so that no secret gets into a log by way of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    scheme: String,
    user: Option<Secret>,
    password: Option<Secret>,
    hosts: Vec<(String, Option<u16>)>,
    path: String,
    options: Vec<(String, String)>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The text is no address of an engine. The message holds nothing of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAddress(String);

// === impl Address ===

impl Address {
    /// The part before `://`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user, where one is named.
    #[must_use]
    pub fn user(&self) -> Option<&Secret> {
        self.user.as_ref()
    }

    /// The password: the one in the address, or the first line of the file that the option `password-file` names.
    ///
    /// # Errors
    /// [`InvalidAddress`] where that file cannot be read, or both are given.
    pub fn password(&mut self) -> Result<Option<Secret>, InvalidAddress> {
        match (self.password.clone(), self.option("password-file")) {
            (password, None) => Ok(password),
            (None, Some(file)) => Secret::from_file(Path::new(&file)).map(Some),
            (Some(_), Some(_)) => Err(InvalidAddress::new(
                "the password is in the address or in a `password-file`, not in both",
            )),
        }
    }

    /// The hosts, each with its port or `default`. IPv6 addresses have no brackets.
    pub fn hosts(&self, default: u16) -> impl Iterator<Item = (&str, u16)> {
        self.hosts.iter().map(move |(host, port)| (host.as_str(), port.unwrap_or(default)))
    }

    /// What follows the first slash after the hosts, decoded.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes an option out, so that [`finish`](Self::finish) knows it for one that exists.
    pub fn option(&mut self, name: &str) -> Option<String> {
        let place = self.options.iter().position(|(own, _)| own == name)?;
        Some(self.options.remove(place).1)
    }

    /// Takes an option out and reads its value.
    ///
    /// # Errors
    /// [`InvalidAddress`] where the value is none of the kind.
    pub fn parsed<T: FromStr>(&mut self, name: &str, kind: &str) -> Result<Option<T>, InvalidAddress> {
        self.option(name)
            .map(|text| text.parse().map_err(|_| InvalidAddress::new(format!("`{name}` is {kind}"))))
            .transpose()
    }

    /// Checks that every option was taken out. `known` names those that there are, for the message.
    ///
    /// # Errors
    /// [`InvalidAddress`] names one that is left.
    pub fn finish(self, known: &str) -> Result<(), InvalidAddress> {
        match self.options.first() {
            None => Ok(()),
            Some((name, _)) => Err(InvalidAddress::new(format!(
                "there is no option `{}`; there are {known}",
                name.escape_debug()
            ))),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let shape = || InvalidAddress::new("an engine's address is like `nats://HOST:PORT/STREAM`");
        let (scheme, rest) = text.split_once("://").ok_or_else(shape)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') {
            return Err(InvalidAddress::new("a `?` in a password is written as `%3F`"));
        }
        // Behind the last @, as a password that was not encoded may hold one.
        let at = rest.rfind('@').unwrap_or(0);
        let slash = rest[at..].find('/').map(|slash| at + slash);
        let (authority, path) = slash.map_or((rest, ""), |slash| (&rest[..slash], &rest[slash + 1..]));
        let (credentials, hosts) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(credentials, hosts)| (Some(credentials), hosts));
        let (user, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            None => (None, None),
            Some((user, password)) => (secret(user)?, secret(password)?),
        };
        let hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
        let options = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { scheme: scheme.to_owned(), user, password, hosts, path: decoded(path)?, options })
    }
}

fn secret(text: &str) -> Result<Option<Secret>, InvalidAddress> {
    Ok(if text.is_empty() { None } else { Some(Secret(decoded(text)?)) })
}

fn decoded(text: &str) -> Result<String, InvalidAddress> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(Into::into).map_err(|_| InvalidAddress::new("the address is not UTF-8 behind its percent signs"))
}

fn host(text: &str) -> Result<(String, Option<u16>), InvalidAddress> {
    let wrong = || InvalidAddress::new("a host is like `10.0.0.7:4222`, `example.org` or `[::1]:4222`");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '@') {
        return Err(wrong());
    }
    Ok((host.to_owned(), port.map(str::parse).transpose().map_err(|_| wrong())?))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        for (place, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            if host.contains(':') {
                write!(f, "{comma}[{host}]{port}")
            } else {
                write!(f, "{comma}{host}{port}")
            }?;
        }
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Secret ===

impl Secret {
    /// Reads the first line of a file.
    ///
    /// # Errors
    /// [`InvalidAddress`] where that cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, InvalidAddress> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| InvalidAddress::new(format!("failed to read {}: {error}", path.display())))?;
        Ok(Self(text.lines().next().unwrap_or_default().to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

// === impl InvalidAddress ===

impl InvalidAddress {
    /// Says what is wrong with an address, and what would be right.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_shown_without_its_secrets() {
        let text = "nats://me:p%40s:s/w@rd@one:1,[::1]:2,three/A%20B?tls-ca=/ca.pem&replicas=3";
        let mut address: Address = text.parse().unwrap();
        assert_eq!((address.scheme(), address.path()), ("nats", "A B"));
        assert_eq!(address.user().unwrap().expose(), "me");
        assert_eq!(address.password().unwrap().unwrap().expose(), "p@s:s/w@rd");
        assert_eq!(address.hosts(9).collect::<Vec<_>>(), [("one", 1), ("::1", 2), ("three", 9)]);
        assert_eq!(format!("{address} {address:?}"), "nats://one:1,[::1]:2,three/A B ".repeat(2).trim_end());
        assert_eq!(address.option("tls-ca").as_deref(), Some("/ca.pem"));
        assert_eq!(address.parsed::<u16>("replicas", "a number"), Ok(Some(3)));
        assert_eq!(address.finish("none"), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for text in [
            "redis://user:12?secret@h",
            "redis:/secret",
            "redis://me:secret@",
            "redis://secret@h:x/",
            "redis://:secret@[::1",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let mut address: Address = "redis://h?wait=some&word=secret".parse().unwrap();
        assert!(
            address.parsed::<u16>("wait", "a number").unwrap_err().to_string().contains("`wait` is a number")
        );
        let error = address.finish("`wait`").unwrap_err().to_string();
        assert_eq!(error, "there is no option `word`; there are `wait`");
    }

    #[test]
    fn a_password_may_be_in_a_file() {
        let mut address: Address = "redis://h?password-file=/none/such".parse().unwrap();
        assert!(address.password().unwrap_err().to_string().contains("/none/such"));
    }
}
