use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::stream::StorageType;
use async_nats::{ConnectOptions, ServerAddr};
use tidings_engine::{Address, EngineError, InvalidAddress, Secret};
use tokio_util::sync::CancellationToken;

use crate::limits::{CONNECT, RECONNECT};

/// What an address says: `nats://USER:PASSWORD@HOST:PORT,…/STREAM?…`, or `tls://…`.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How the address is shown.
    pub(crate) shown: String,
    servers: Vec<ServerAddr>,
    pub(crate) stream: String,
    pub(crate) replicas: usize,
    pub(crate) storage: StorageType,
    login: Login,
    tls: bool,
    tls_first: bool,
    authority: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug, Clone)]
enum Login {
    None,
    Token(Secret),
    Password(Secret, Secret),
    /// A file with a JWT and the seed of its key, which is read for each connection.
    Credentials(PathBuf),
}

const OPTIONS: &str =
    "`replicas`, `storage`, `creds`, `password-file`, `tls-ca`, `tls-cert`, `tls-key` and `tls-first`";
const DEFAULT_PORT: u16 = 4_222;

// === impl Options ===

impl Options {
    pub(crate) fn new(mut address: Address) -> Result<Self, InvalidAddress> {
        let stream = address.path().to_owned();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if stream.is_empty() || !stream.chars().all(is_name) {
            return Err(InvalidAddress::new(
                "the path of the address is the name of a stream: letters, digits, `-` and `_`, like `nats://HOST:PORT/EVENTS`",
            ));
        }
        let tls = address.scheme() == "tls";
        let servers = address.hosts(DEFAULT_PORT).map(|(host, port)| {
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            format!("nats://{host}:{port}").parse().map_err(|_| InvalidAddress::new("a host is not one"))
        });
        let servers = servers.collect::<Result<_, _>>()?;
        let credentials = address.option("creds").map(PathBuf::from);
        let password = address.password()?;
        let login = match (address.user().cloned(), password, credentials) {
            (None, None, None) => Login::None,
            (None, None, Some(file)) => Login::Credentials(file),
            (Some(token), None, None) => Login::Token(token),
            (Some(user), Some(password), None) => Login::Password(user, password),
            (None, Some(_), None) => {
                return Err(InvalidAddress::new("the address has a password and no user"));
            }
            (_, _, Some(_)) => {
                return Err(InvalidAddress::new(
                    "the address has a user, and `creds`, which is another way to log in",
                ));
            }
        };
        let replicas = address.parsed("replicas", "a number from 1 to 5")?.unwrap_or(1);
        if !(1..=5).contains(&replicas) {
            return Err(InvalidAddress::new("`replicas` is a number from 1 to 5"));
        }
        let storage = match address.option("storage").as_deref() {
            None | Some("file") => StorageType::File,
            Some("memory") => StorageType::Memory,
            Some(_) => return Err(InvalidAddress::new("`storage` is `file` or `memory`")),
        };
        let authority = address.option("tls-ca").map(PathBuf::from);
        let certificate = match (address.option("tls-cert"), address.option("tls-key")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            _ => return Err(InvalidAddress::new("`tls-cert` and `tls-key` belong together")),
        };
        let tls_first = address.parsed("tls-first", "`true` or `false`")?.unwrap_or(false);
        if !tls && (tls_first || authority.is_some() || certificate.is_some()) {
            return Err(InvalidAddress::new("the options for TLS go with `tls://`"));
        }
        let shown = address.to_string();
        address.finish(OPTIONS)?;
        Ok(Self { shown, servers, stream, replicas, storage, login, tls, tls_first, authority, certificate })
    }

    /// Connects to one of the servers. `lost` is cancelled when that connection ends; the client then makes no other by
    /// itself, as whoever makes one looks first whether the log is still the same.
    pub(crate) async fn connect(&self, lost: CancellationToken) -> Result<async_nats::Client, EngineError> {
        let connected = Arc::new(AtomicBool::new(false));
        let once = Arc::clone(&connected);
        let mut options =
            ConnectOptions::new()
                .name("tidings")
                .connection_timeout(CONNECT)
                .require_tls(self.tls)
                .max_reconnects(self.servers.len())
                .reconnect_delay_callback(move |_| {
                    if once.load(Ordering::Acquire) { RECONNECT } else { Duration::ZERO }
                })
                .event_callback(move |event| {
                    let lost = lost.clone();
                    async move {
                        match event {
                            async_nats::Event::Disconnected | async_nats::Event::Closed => lost.cancel(),
                            async_nats::Event::ServerError(error) => {
                                tracing::warn!(%error, "NATS reports an error");
                            }
                            async_nats::Event::SlowConsumer(_) => {
                                tracing::warn!("NATS sends faster than is taken");
                            }
                            _ => {}
                        }
                    }
                });
        options = match &self.login {
            Login::None => options,
            Login::Token(token) => options.token(token.expose().to_owned()),
            Login::Password(user, password) => {
                options.user_and_password(user.expose().to_owned(), password.expose().to_owned())
            }
            Login::Credentials(file) => options.credentials_file(file).await.map_err(|error| {
                EngineError::refused(format!("failed to read the credentials in {}: {error}", file.display()))
            })?,
        };
        if self.tls_first {
            options = options.tls_first();
        }
        if let Some(authority) = &self.authority {
            options = options.add_root_certificates(authority.clone());
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        let client = options.connect(&self.servers[..]).await.map_err(|error| {
            use async_nats::ConnectErrorKind as Kind;
            let reason = format!("failed to connect to {}: {}", self.shown, chain(&error));
            match error.kind() {
                Kind::Authentication | Kind::AuthorizationViolation => EngineError::refused(reason),
                _ => EngineError::away(reason),
            }
        })?;
        connected.store(true, Ordering::Release);
        Ok(client)
    }
}

/// An error with all of its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, String> {
        Options::new(text.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_says_all_that_is_needed() {
        let options =
            options("tls://me:secret@a:1,b/EVENTS?replicas=3&storage=memory&tls-ca=/ca.pem").unwrap();
        assert_eq!((options.stream.as_str(), options.replicas, options.servers.len()), ("EVENTS", 3, 2));
        assert_eq!(options.storage, StorageType::Memory);
        assert!(options.tls && matches!(options.login, Login::Password(..)));
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (address, expected) in [
            ("nats://a", "the path of the address is the name of a stream"),
            ("nats://a/b.c", "the path of the address is the name of a stream"),
            ("nats://a/B?replicas=9", "`replicas` is a number from 1 to 5"),
            ("nats://a/B?storage=tape", "`storage` is `file` or `memory`"),
            ("nats://a/B?replica=1", "there is no option `replica`; there are `replicas`"),
            ("nats://u:p@a/B?creds=/x", "another way to log in"),
            ("nats://a/B?tls-ca=/x", "go with `tls://`"),
            ("tls://a/B?tls-cert=/x", "belong together"),
        ] {
            let error = options(address).unwrap_err();
            assert!(error.contains(expected), "{address}: {error}");
        }
    }
}
