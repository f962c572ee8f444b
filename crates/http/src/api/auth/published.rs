//! What is said of keys that are published at a URL.

use std::time::Duration;

use crate::defaults;

/// How often a set of keys is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwksTimes {
    /// How old it grows before it is fetched again.
    pub refresh: Duration,
    /// The least time between two fetches.
    pub pause: Duration,
    /// The same, while there are no keys at all.
    pub retry: Duration,
}

/// The URL is of no use.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJwksUrl {
    /// It is none, or of another scheme.
    #[error(
        "`{0}` is no URL like `https://login.example/.well-known/jwks.json`; `http` is for this machine, as anybody on the \
         way could give keys of their own"
    )]
    Url(String),
    /// Nothing could ever be fetched.
    #[error("no client for HTTPS could be set up: {0}")]
    Client(String),
    /// The program cannot fetch anything.
    #[error("this program was built without the feature `jwks`")]
    Unsupported,
}

// === impl JwksTimes ===

impl Default for JwksTimes {
    fn default() -> Self {
        Self { refresh: defaults::JWKS_REFRESH, pause: defaults::JWKS_PAUSE, retry: defaults::JWKS_RETRY }
    }
}
