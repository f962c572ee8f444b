//! How the commands that talk to a hub find it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use clap::Args;
use tidings_client::{BuildError, Client, defaults};

/// Which hub to talk to, and with what right.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The hub
    #[arg(long, env = "TIDINGS_URL", value_name = "URL", default_value = defaults::URL)]
    url: String,

    /// The token to show it; better set as a variable, for everyone on this machine can read a command line
    #[arg(long, env = "TIDINGS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<Token>,
}

/// A secret.
#[derive(Clone)]
struct Token(String);

// === impl Connection ===

impl Connection {
    pub(crate) fn client(&self) -> Result<Client, BuildError> {
        let builder = Client::builder(&self.url);
        match self.token() {
            Some(token) => builder.token(token).build(),
            None => builder.build(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| &*token.0).filter(|token| !token.is_empty())
    }
}

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
        let connection = Connection { url: "http://hub".into(), token: Some(Token("s3cret".into())) };
        assert!(!format!("{connection:?}").contains("s3cret"));
    }
}
