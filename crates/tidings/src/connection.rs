//! How the commands that talk to a hub find it.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use tidings_client::{BuildError, Client, Interruption, defaults};

use crate::failure::WrongArguments;

/// Which hub to talk to, and with what right.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The hub
    #[arg(long, env = "TIDINGS_URL", value_name = "URL", default_value = defaults::URL)]
    url: String,

    #[command(flatten)]
    credentials: Credentials,
}

/// With what right to talk to a hub, and whose certificates are trusted.
#[derive(Debug, Args)]
pub(crate) struct Credentials {
    /// The token; prefer the variable, as other users of this machine can read the command line
    #[arg(long, env = "TIDINGS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<Token>,

    /// A PEM file with certificates to trust instead of those that the system trusts: an authority's, or the hub's own
    #[arg(long, env = "TIDINGS_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// What answers at the URL is no hub.
#[derive(Debug)]
pub(crate) struct NotAHub(String);

/// A secret.
#[derive(Clone)]
struct Token(String);

// === impl Connection ===

impl Connection {
    pub(crate) fn client(&self) -> Result<Client, WrongArguments> {
        let mut builder = Client::builder(&self.url);
        if let Some(token) = self.token() {
            builder = builder.token(token);
        }
        if let Some(path) = self.ca_file() {
            builder = builder.ca_file(path);
        }
        builder.build().map_err(|error| match error {
            BuildError::InvalidUrl { .. } => WrongArguments::at("--url", &error),
            BuildError::InvalidToken => WrongArguments::at("--token", &error),
            BuildError::Certificates { .. } => WrongArguments::at("--ca-file", &error),
            error => WrongArguments::new(error.to_string()),
        })
    }

    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.credentials.ca_file()
    }

    /// Whose certificates are trusted.
    #[cfg(all(feature = "bench", target_os = "linux"))]
    pub(crate) fn trust(&self) -> tidings_client::tls::Trust {
        self.credentials.trust()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.credentials.token()
    }
}

// === impl Credentials ===

impl Credentials {
    /// Where none is named, as by an empty variable, the system's count.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    /// Whose certificates are trusted.
    #[cfg(all(feature = "bench", target_os = "linux"))]
    pub(crate) fn trust(&self) -> tidings_client::tls::Trust {
        use tidings_client::tls::Trust;
        self.ca_file().map_or(Trust::System, |path| Trust::File(path.to_owned()))
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| &*token.0).filter(|token| !token.is_empty())
    }
}

// === impl NotAHub ===

impl NotAHub {
    /// Where an attempt that no hub has answered before came to this, and a hub would not have answered so.
    pub(crate) fn of(url: &str, reason: &Interruption) -> Option<Self> {
        let what = match reason {
            Interruption::Unexpected { what } => what.clone(),
            malformed @ Interruption::Malformed(_) => malformed.to_string(),
            _ => return None,
        };
        Some(Self(format!(
            "{url} does not answer as a hub does: {what}; `--url` is the address of a hub, like `{}`",
            defaults::URL
        )))
    }
}

impl fmt::Display for NotAHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NotAHub {}

// === impl Token ===

impl FromStr for Token {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let credentials = Credentials { token: Some(Token("s3cret".into())), ca_file: None };
        let connection = Connection { url: "http://hub".into(), credentials };
        assert!(!format!("{connection:?}").contains("s3cret"));
    }
}
