use std::path::PathBuf;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
    TlsCertificates,
};
use tidings_engine::{Address, EngineError, InvalidAddress, Secret};

/// What an address says: `redis://USER:PASSWORD@HOST:PORT,…/NAME?…`, or `rediss://…`.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How the address is shown.
    pub(crate) shown: String,
    /// The servers, of which one is the master; or with `sentinel`, those that know it.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) sentinel: Option<String>,
    /// What the keys of the log begin with.
    pub(crate) name: String,
    /// How many replicas have to have what is acknowledged.
    pub(crate) replicas: usize,
    database: i64,
    user: Option<Secret>,
    password: Option<Secret>,
    tls: bool,
    authority: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
}

const OPTIONS: &str =
    "`db`, `sentinel`, `wait-replicas`, `password-file`, `tls-ca`, `tls-cert` and `tls-key`";
const DEFAULT_NAME: &str = "tidings";
const DEFAULT_PORT: u16 = 6_379;
const DEFAULT_SENTINEL_PORT: u16 = 26_379;

// === impl Options ===

impl Options {
    pub(crate) fn new(mut address: Address) -> Result<Self, InvalidAddress> {
        let name = match address.path() {
            "" => DEFAULT_NAME.to_owned(),
            name => name.to_owned(),
        };
        if name.contains(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c))) {
            return Err(InvalidAddress::new(
                "the path of the address is the name of the log: letters, digits, `-`, `_`, `:` and `.`, like `redis://HOST:PORT/events`",
            ));
        }
        let tls = address.scheme() == "rediss";
        let sentinel = address.option("sentinel");
        let port = if sentinel.is_some() { DEFAULT_SENTINEL_PORT } else { DEFAULT_PORT };
        let hosts = address.hosts(port).map(|(host, port)| (host.to_owned(), port)).collect();
        let password = address.password()?;
        let user = address.user().cloned();
        if user.is_some() && password.is_none() {
            return Err(InvalidAddress::new(
                "the address has a user and no password; a password alone is `redis://:PASSWORD@HOST`",
            ));
        }
        let replicas = address.parsed("wait-replicas", "a number of replicas")?.unwrap_or(0);
        let database = address.parsed("db", "the number of a database")?.unwrap_or(0);
        let authority = address.option("tls-ca").map(PathBuf::from);
        let certificate = match (address.option("tls-cert"), address.option("tls-key")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            _ => return Err(InvalidAddress::new("`tls-cert` and `tls-key` belong together")),
        };
        if !tls && (authority.is_some() || certificate.is_some()) {
            return Err(InvalidAddress::new("the options for TLS go with `rediss://`"));
        }
        let shown = address.to_string();
        address.finish(OPTIONS)?;
        Ok(Self {
            shown,
            hosts,
            sentinel,
            name,
            replicas,
            database,
            user,
            password,
            tls,
            authority,
            certificate,
        })
    }

    /// A client for one server. It is not connected yet.
    pub(crate) fn client(&self, host: &str, port: u16) -> Result<Client, EngineError> {
        let mut login = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.user {
            login = login.set_username(user.expose());
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.expose());
        }
        let info = self.info(host, port)?.set_redis_settings(login);
        self.open(info)
    }

    /// A client for a sentinel, which asks for no login.
    pub(crate) fn sentinel(&self, host: &str, port: u16) -> Result<Client, EngineError> {
        self.open(self.info(host, port)?)
    }

    fn info(&self, host: &str, port: u16) -> Result<ConnectionInfo, EngineError> {
        let host = host.to_owned();
        let address = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        address.into_connection_info().map_err(EngineError::refused)
    }

    fn open(&self, info: ConnectionInfo) -> Result<Client, EngineError> {
        if !self.tls {
            return Client::open(info).map_err(EngineError::refused);
        }
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|error| EngineError::refused(format!("failed to read {}: {error}", path.display())))
        };
        let client_tls = match &self.certificate {
            Some((certificate, key)) => {
                Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
            }
            None => None,
        };
        let root_cert = self.authority.as_ref().map(read).transpose()?;
        let client = Client::build_with_tls(info, TlsCertificates { client_tls, root_cert });
        client.map_err(|error| EngineError::refused(format!("failed to set up TLS: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, String> {
        Options::new(text.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_says_all_that_is_needed() {
        let options = options("redis://:secret@a:1,b/events?wait-replicas=1&db=3").unwrap();
        assert_eq!((options.name.as_str(), options.replicas, options.database), ("events", 1, 3));
        assert_eq!(options.hosts, [("a".to_owned(), 1), ("b".to_owned(), 6_379)]);
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let plain = options("redis://a").unwrap();
        assert_eq!((plain.name.as_str(), plain.replicas, plain.tls), ("tidings", 0, false));
        assert_eq!(options("rediss://a?sentinel=main").unwrap().hosts, [("a".to_owned(), 26_379)]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (address, expected) in [
            ("redis://a/b c", "the path of the address is the name of the log"),
            ("redis://a?db=x", "`db` is the number of a database"),
            ("redis://me@a", "a password alone is"),
            ("redis://a?tls-ca=/x", "go with `rediss://`"),
            ("redis://a?wait=1", "there is no option `wait`"),
        ] {
            let error = options(address).unwrap_err();
            assert!(error.contains(expected), "{address}: {error}");
        }
    }
}
