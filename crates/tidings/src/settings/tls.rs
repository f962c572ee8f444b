use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use tidings_http::{Cleartext, Tls, TlsError};

use super::ConfigError;

/// `[tls]`: the certificate that the hub shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TlsSettings {
    /// A PEM file with the hub's certificate and those that lead to its authority, with which it speaks TLS
    /// [default: none]
    #[arg(
        id = "tls-certificate",
        long = "tls-certificate",
        env = "TIDINGS_TLS_CERTIFICATE",
        value_name = "FILE"
    )]
    certificate: Option<PathBuf>,

    /// A PEM file with the certificate's key [default: none]
    #[arg(id = "tls-key", long = "tls-key", env = "TIDINGS_TLS_KEY", value_name = "FILE")]
    key: Option<PathBuf>,

    /// Who is served without TLS on the same port, where there is a certificate: `everyone`, `loopback` or `nobody`
    /// [default: loopback]
    #[arg(
        id = "tls-cleartext",
        long = "tls-cleartext",
        env = "TIDINGS_TLS_CLEARTEXT",
        value_enum,
        hide_possible_values = true
    )]
    cleartext: Option<CleartextSetting>,
}

/// Who is served without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum, Default)]
#[serde(rename_all = "kebab-case")]
enum CleartextSetting {
    Everyone,
    #[default]
    Loopback,
    Nobody,
}

/// TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsSetupError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("failed to set up TLS: {0}")]
    Files(#[from] TlsError),
}

// === impl TlsSettings ===

impl TlsSettings {
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            certificate: self.certificate.or(other.certificate),
            key: self.key.or(other.key),
            cleartext: self.cleartext.or(other.cleartext),
        }
    }

    pub(crate) fn cleartext(&self) -> Cleartext {
        match self.cleartext.unwrap_or_default() {
            CleartextSetting::Everyone => Cleartext::Everyone,
            CleartextSetting::Loopback => Cleartext::Loopback,
            CleartextSetting::Nobody => Cleartext::Nobody,
        }
    }

    /// The certificate, where one is set.
    pub(crate) fn open(&self) -> Result<Option<Tls>, TlsSetupError> {
        let missing = |name, other: &str| ConfigError::Value {
            name,
            problem: format!("`{other}` is set, and neither is of use without the other"),
        };
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some(Tls::open(certificate, key)?)),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing("tls-key", "tls-certificate").into()),
            (None, Some(_)) => Err(missing("tls-certificate", "tls-key").into()),
        }
    }
}
