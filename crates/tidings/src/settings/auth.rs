use std::env::VarError;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use tidings_protocol::object;

/// The variable that may hold the secret itself. It is no flag: everyone on a machine can read a command line.
const SECRET_VARIABLE: &str = "TIDINGS_AUTH_HS256_SECRET";
/// The variable that may hold the public keys themselves.
pub(super) const PUBLIC_KEY_VARIABLE: &str = "TIDINGS_AUTH_PUBLIC_KEY";

/// The variables that are no flags.
pub(crate) const SECRET_VARIABLES: [&str; 2] = [SECRET_VARIABLE, PUBLIC_KEY_VARIABLE];

/// `[auth]`: the keys that tokens are signed with, and what needs no token.
///
/// The secret and the public keys may also be in TIDINGS_AUTH_HS256_SECRET and TIDINGS_AUTH_PUBLIC_KEY.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AuthSettings {
    /// A file with the secret that tokens are signed with by HS256: 32 random bytes or more [default: none; also the
    /// secret itself in TIDINGS_AUTH_HS256_SECRET]
    #[arg(
        id = "auth-hs256-secret-file",
        long = "auth-hs256-secret-file",
        env = "TIDINGS_AUTH_HS256_SECRET_FILE",
        value_name = "FILE"
    )]
    #[serde(alias = "hs256_secret_file")]
    hs256_secret_file: Option<PathBuf>,

    /// A PEM file with public keys that tokens are signed with by RS256, ES256 or EdDSA [default: none; also the keys
    /// themselves in TIDINGS_AUTH_PUBLIC_KEY]
    #[arg(
        id = "auth-public-key-file",
        long = "auth-public-key-file",
        env = "TIDINGS_AUTH_PUBLIC_KEY_FILE",
        value_name = "FILE"
    )]
    #[serde(alias = "public_key_file")]
    pub(super) public_key_file: Option<PathBuf>,

    /// Where such keys are published as a JSON Web Key Set [default: none]
    // It may name a user with a password.
    #[arg(
        id = "auth-jwks-url",
        long = "auth-jwks-url",
        env = "TIDINGS_AUTH_JWKS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    #[serde(alias = "jwks_url")]
    pub(super) jwks_url: Option<String>,

    /// The audience (`aud`) that tokens must be for [default: any]
    #[arg(id = "auth-audience", long = "auth-audience", env = "TIDINGS_AUTH_AUDIENCE", value_name = "TEXT")]
    pub(super) audience: Option<String>,

    /// The issuer (`iss`) that tokens must be from [default: any]
    #[arg(id = "auth-issuer", long = "auth-issuer", env = "TIDINGS_AUTH_ISSUER", value_name = "TEXT")]
    pub(super) issuer: Option<String>,

    /// A cookie that may carry a token, for reading, and for publishing from origins in `[cors]` [default: none]
    #[arg(id = "auth-cookie", long = "auth-cookie", env = "TIDINGS_AUTH_COOKIE", value_name = "NAME")]
    pub(super) cookie: Option<String>,

    /// Who may end a topic: `publish`, whoever may publish to it, or `claim`, only who has the right to end it
    /// [default: publish]
    #[arg(
        id = "auth-close",
        long = "auth-close",
        env = "TIDINGS_AUTH_CLOSE",
        value_enum,
        hide_possible_values = true
    )]
    pub(super) close: Option<Close>,

    #[command(flatten)]
    #[serde(default, deserialize_with = "object")]
    pub(super) anonymous: AnonymousSettings,
}

/// Who may end a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Close {
    /// Whoever may publish to it.
    Publish,
    /// Only who has the right to end it.
    Claim,
}

/// `[auth.anonymous]`: what needs no token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct AnonymousSettings {
    /// What everybody may publish to [default: nothing]
    #[arg(
        id = "auth-anonymous-publish",
        long = "auth-anonymous-publish",
        env = "TIDINGS_AUTH_ANONYMOUS_PUBLISH",
        value_name = "SELECTOR",
        value_delimiter = ','
    )]
    pub(super) publish: Option<Vec<String>>,

    /// What everybody may subscribe to [default: nothing]
    #[arg(
        id = "auth-anonymous-subscribe",
        long = "auth-anonymous-subscribe",
        env = "TIDINGS_AUTH_ANONYMOUS_SUBSCRIBE",
        value_name = "SELECTOR",
        value_delimiter = ','
    )]
    pub(super) subscribe: Option<Vec<String>>,

    /// What everybody may end, beside what they may publish to [default: nothing]
    #[arg(
        id = "auth-anonymous-close",
        long = "auth-anonymous-close",
        env = "TIDINGS_AUTH_ANONYMOUS_CLOSE",
        value_name = "SELECTOR",
        value_delimiter = ','
    )]
    pub(super) close: Option<Vec<String>>,

    /// What everybody may delete [default: nothing]
    #[arg(
        id = "auth-anonymous-delete",
        long = "auth-anonymous-delete",
        env = "TIDINGS_AUTH_ANONYMOUS_DELETE",
        value_name = "SELECTOR",
        value_delimiter = ','
    )]
    pub(super) delete: Option<Vec<String>>,

    /// The relays that everybody may use [default: none]
    #[arg(
        id = "auth-anonymous-relay",
        long = "auth-anonymous-relay",
        env = "TIDINGS_AUTH_ANONYMOUS_RELAY",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub(super) relay: Option<Vec<String>>,

    /// Whether everybody may list the topics that they may subscribe to [default: true]
    #[arg(
        id = "auth-anonymous-list",
        long = "auth-anonymous-list",
        env = "TIDINGS_AUTH_ANONYMOUS_LIST",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(super) list: Option<bool>,

    /// Whether everybody may read the metrics [default: false]
    #[arg(
        id = "auth-anonymous-metrics",
        long = "auth-anonymous-metrics",
        env = "TIDINGS_AUTH_ANONYMOUS_METRICS",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(super) metrics: Option<bool>,
}

/// A secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("failed to read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("failed to take the key in {name}: it is {problem}; unset it, or put the key into it")]
    Variable { name: &'static str, problem: &'static str },
}

// === impl AuthSettings ===

impl AuthSettings {
    /// What it takes to make tokens.
    pub(crate) fn for_tokens(
        secret: Option<PathBuf>,
        audience: Option<String>,
        issuer: Option<String>,
    ) -> Self {
        Self { hs256_secret_file: secret, audience, issuer, ..Self::default() }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            hs256_secret_file: self.hs256_secret_file.or(other.hs256_secret_file),
            public_key_file: self.public_key_file.or(other.public_key_file),
            jwks_url: self.jwks_url.or(other.jwks_url),
            audience: self.audience.or(other.audience),
            issuer: self.issuer.or(other.issuer),
            cookie: self.cookie.or(other.cookie),
            close: self.close.or(other.close),
            anonymous: AnonymousSettings {
                publish: self.anonymous.publish.or(other.anonymous.publish),
                subscribe: self.anonymous.subscribe.or(other.anonymous.subscribe),
                close: self.anonymous.close.or(other.anonymous.close),
                delete: self.anonymous.delete.or(other.anonymous.delete),
                relay: self.anonymous.relay.or(other.anonymous.relay),
                list: self.anonymous.list.or(other.anonymous.list),
                metrics: self.anonymous.metrics.or(other.anonymous.metrics),
            },
        }
    }

    /// The secret, and where it was found.
    pub(crate) fn secret(&self) -> Result<Option<(String, Vec<u8>)>, SecretError> {
        if let Some(path) = &self.hs256_secret_file {
            let secret = std::fs::read(path).map_err(unreadable(path))?;
            return Ok(Some((path.display().to_string(), of_file(secret))));
        }
        Ok(variable(SECRET_VARIABLE)?.map(|secret| (SECRET_VARIABLE.to_owned(), secret.into_bytes())))
    }

    /// What everybody may subscribe to.
    #[cfg(feature = "serve")]
    pub(crate) fn anonymous_subscribe(&self) -> Option<&[String]> {
        self.anonymous.subscribe.as_deref()
    }

    pub(crate) fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }
}

/// A key in a variable. One that is there and of no use is a mistake, and must not open the hub to everybody.
pub(super) fn variable(name: &'static str) -> Result<Option<String>, SecretError> {
    match std::env::var(name) {
        Ok(text) if text.trim().is_empty() => Err(SecretError::Variable { name, problem: "empty" }),
        Ok(text) => Ok(Some(text)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(SecretError::Variable { name, problem: "no UTF-8" }),
    }
}

/// The secret in a file. Editors end texts with a line's end, and some begin them with a mark, which nobody means as a part
/// of the secret. What is no text is a secret as it is: random bytes may well end like a line.
pub(super) fn of_file(bytes: Vec<u8>) -> Vec<u8> {
    let is_odd = |character: char| character.is_control() && !matches!(character, '\t' | '\r' | '\n');
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains(is_odd) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            text.as_bytes().trim_ascii_end().to_vec()
        }
        _ => bytes,
    }
}

pub(super) fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> SecretError {
    let path = path.to_owned();
    |source| SecretError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::of_file;

    #[test]
    fn a_text_loses_its_line_end_and_other_bytes_lose_nothing() {
        for (file, secret) in [
            ("a secret", "a secret"),
            ("a secret\n", "a secret"),
            ("\u{feff}ein Schlüssel \r\n", "ein Schlüssel"),
        ] {
            assert_eq!(of_file(file.into()), secret.as_bytes(), "{file:?}");
        }
        for end in [b'\n', b'\r', b' ', b'\t'] {
            for begin in [&b"\x80\xff"[..], b"\0\x01", b"\xef\xbb\xbf\x07"] {
                let secret = [begin, &[end]].concat();
                assert_eq!(of_file(secret.clone()), secret);
            }
        }
    }
}
