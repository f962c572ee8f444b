//! The certificate that the hub shows, from the settings.

use tidings_http::{Cleartext, Tls, TlsError};

use crate::settings::ConfigError;
use crate::settings::tls::{CleartextSetting, TlsSettings};

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
