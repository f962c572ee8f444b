use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

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
    pub(super) certificate: Option<PathBuf>,

    /// A PEM file with the certificate's key [default: none]
    #[arg(id = "tls-key", long = "tls-key", env = "TIDINGS_TLS_KEY", value_name = "FILE")]
    pub(super) key: Option<PathBuf>,

    /// Who is served without TLS on the same port, where there is a certificate: `everyone`, `loopback` or `nobody`
    /// [default: loopback]
    #[arg(
        id = "tls-cleartext",
        long = "tls-cleartext",
        env = "TIDINGS_TLS_CLEARTEXT",
        value_enum,
        hide_possible_values = true
    )]
    pub(super) cleartext: Option<CleartextSetting>,
}

/// Who is served without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CleartextSetting {
    Everyone,
    #[default]
    Loopback,
    Nobody,
}

// === impl TlsSettings ===

#[cfg(feature = "serve")]
impl TlsSettings {
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            certificate: self.certificate.or(other.certificate),
            key: self.key.or(other.key),
            cleartext: self.cleartext.or(other.cleartext),
        }
    }
}
