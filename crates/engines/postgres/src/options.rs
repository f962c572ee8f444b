use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tidings_engine::{Address, InvalidAddress};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::limits::{CONNECT, SILENT_NETWORK};
use crate::password;
use crate::schema::Schema;
use crate::tls::Tls;

/// What an address says: `postgres://USER:PASSWORD@HOST:PORT,…/DATABASE?…`.
#[derive(Clone)]
pub(crate) struct Options {
    /// How the address is shown.
    pub(crate) shown: String,
    pub(crate) config: Config,
    pub(crate) tls: Tls,
    pub(crate) schema: Schema,
    pub(crate) commit: &'static str,
    /// Whether whatever takes over from a server has all that was acknowledged.
    pub(crate) lossless_failover: bool,
}

const OPTIONS: &str = "`schema`, `synchronous-commit`, `lossless-failover`, `sslmode`, `tls-ca`, `tls-cert`, `tls-key` and \
     `password-file`";
const DEFAULT_PORT: u16 = 5_432;
const DEFAULT_SCHEMA: &str = "tidings";
const COMMITS: [&str; 5] = ["on", "remote_apply", "remote_write", "local", "off"];

// === impl Options ===

impl Options {
    pub(crate) fn new(mut address: Address) -> Result<Self, InvalidAddress> {
        let database = address.path().to_owned();
        if database.is_empty() || database.contains('/') {
            return Err(InvalidAddress::new(
                "the path of the address is the name of a database, like `postgres://HOST:PORT/DATABASE`",
            ));
        }
        let mut config = Config::new();
        config
            .dbname(&database)
            .application_name("tidings")
            .connect_timeout(CONNECT)
            .keepalives_idle(SILENT_NETWORK)
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(2)
            .tcp_user_timeout(SILENT_NETWORK)
            // Of several hosts, the one that takes writes.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let mut local = true;
        let hosts: Vec<_> = address.hosts(DEFAULT_PORT).map(|(host, port)| (host.to_owned(), port)).collect();
        for (host, port) in &hosts {
            let host = percent_decode_str(host)
                .decode_utf8()
                .map_err(|_| InvalidAddress::new("a host is not UTF-8 behind its percent signs"))?;
            local &= is_local(&host);
            config.host(&*host).port(*port);
        }
        let user = address.user().map(|user| user.expose().to_owned()).or_else(|| variable("PGUSER"));
        if let Some(user) = &user {
            config.user(user);
        }
        let given = address.password()?.map(|password| password.expose().to_owned());
        let password = match given.or_else(|| variable("PGPASSWORD")) {
            None => password::from_passfile(&hosts, &database, user.as_deref()),
            password => password,
        };
        if let Some(password) = password {
            config.password(password);
        }
        let schema = Schema::new(address.option("schema").as_deref().unwrap_or(DEFAULT_SCHEMA))?;
        let commit = match address.option("synchronous-commit") {
            None => "on",
            Some(text) => {
                let text = text.replace('-', "_");
                let known = COMMITS.into_iter().find(|known| *known == text);
                known.ok_or_else(|| {
                    InvalidAddress::new(
                        "`synchronous-commit` is `on`, `remote-apply`, `remote-write`, `local` or `off`",
                    )
                })?
            }
        };
        let lossless_failover = address.parsed("lossless-failover", "`true` or `false`")?.unwrap_or_default();
        let mode = match address.option("sslmode").as_deref() {
            None if local => SslMode::Disable,
            Some("disable") => SslMode::Disable,
            None | Some("require" | "verify-full") => SslMode::Require,
            Some(_) => {
                return Err(InvalidAddress::new(
                    "`sslmode` is `disable`, or `require`, which checks the certificate as `verify-full` does",
                ));
            }
        };
        config.ssl_mode(mode);
        let authority = address.option("tls-ca").map(PathBuf::from);
        let certificate = match (address.option("tls-cert"), address.option("tls-key")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            _ => return Err(InvalidAddress::new("`tls-cert` and `tls-key` belong together")),
        };
        if mode == SslMode::Disable && (authority.is_some() || certificate.is_some()) {
            return Err(InvalidAddress::new("the options for TLS go with `sslmode=require`"));
        }
        let tls = Tls { wanted: mode == SslMode::Require, authority, certificate };
        let shown = address.to_string();
        address.finish(OPTIONS)?;
        Ok(Self { shown, config, tls, schema, commit, lossless_failover })
    }
}

/// Whether what is sent to a host does not leave the machine.
fn is_local(host: &str) -> bool {
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback || host == "localhost" || host.starts_with('/')
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("at", &self.shown)
            .field("schema", &self.schema)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
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
        let given = options(
            "postgres://me:secret@a:1,b/events?schema=two&sslmode=require&tls-ca=/ca.pem&synchronous-commit=remote-apply",
        )
        .unwrap();
        assert_eq!(given.config.get_dbname(), Some("events"));
        assert_eq!(given.config.get_user(), Some("me"));
        assert_eq!(given.config.get_password(), Some(&b"secret"[..]));
        assert_eq!(given.config.get_ports(), [1, 5_432]);
        assert_eq!((given.commit, given.schema.quoted()), ("remote_apply", "\"two\""));
        assert!(given.tls.wanted && !given.lossless_failover);
        assert!(!format!("{given:?}").contains("secret"));
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_that_is_refused() {
        for (address, wanted) in [
            ("postgres://localhost/e", false),
            ("postgres://127.0.0.1/e", false),
            ("postgres://[::1]:1/e", false),
            ("postgres://%2Fvar%2Frun%2Fpostgresql/e", false),
            ("postgres://localhost/e?sslmode=require", true),
            ("postgres://example.org/e", true),
            ("postgres://localhost,example.org/e", true),
            ("postgres://example.org/e?sslmode=disable", false),
        ] {
            assert_eq!(options(address).unwrap().tls.wanted, wanted, "{address}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (address, expected) in [
            ("postgres://a", "the path of the address is the name of a database"),
            ("postgres://a/b/c", "the path of the address is the name of a database"),
            ("postgres://a/b?schema=Two", "`schema` is a name of lower-case letters"),
            ("postgres://a/b?sslmode=prefer", "`sslmode` is `disable`, or `require`"),
            ("postgres://localhost/b?tls-ca=/x", "go with `sslmode=require`"),
            ("postgres://a/b?tls-cert=/x", "belong together"),
            ("postgres://a/b?synchronous-commit=never", "`synchronous-commit` is `on`"),
            ("postgres://a/b?shema=x", "there is no option `shema`; there are `schema`"),
        ] {
            let error = options(address).unwrap_err();
            assert!(error.contains(expected), "{address}: {error}");
        }
    }
}
