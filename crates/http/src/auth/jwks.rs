//! Keys that are published at a URL, as identity providers do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jsonwebtoken::Header;
use jsonwebtoken::jwk::JwkSet;
use reqwest::{Client, Url};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tidings_protocol::ProblemKind;
use tokio_util::task::AbortOnDropHandle;

use super::keys::KeySet;
use crate::defaults;
use crate::problem::Refusal;

/// A published set of keys, and where it is.
#[derive(Debug, Clone)]
pub(super) struct Jwks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    url: Url,
    http: Client,
    state: Mutex<State>,
    /// Whoever fetches has it; who comes meanwhile shares what comes.
    fetching: tokio::sync::Mutex<()>,
    /// A fetch that nobody waits for. It ends with the hub.
    refresh: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    /// The last ones that came, however long ago.
    keys: Option<Arc<KeySet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

/// The URL is of no use.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJwksUrl {
    /// It is none, or of another scheme.
    #[error("`{0}` is no URL like `https://login.example/.well-known/jwks.json`")]
    Url(String),
    /// Nothing could ever be fetched.
    #[error("no client for HTTPS could be set up: {0}")]
    Client(String),
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the set has more than {} bytes", defaults::JWKS_BYTES)]
    Size,
    #[error("the answer is no set of keys: {0}")]
    Set(#[from] serde_json::Error),
    #[error("the set has no key of RSA, P-256 or Ed25519 for signatures")]
    Empty,
}

// === impl Jwks ===

impl Jwks {
    pub(super) fn new(text: &str) -> Result<Self, InvalidJwksUrl> {
        let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        let url = url.ok_or_else(|| InvalidJwksUrl::Url(text.to_owned()))?;
        let failed = |error: &dyn std::fmt::Display| InvalidJwksUrl::Client(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(|error| failed(&error))?
            .with_no_client_auth();
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(defaults::JWKS_TIMEOUT)
            .redirect(reqwest::redirect::Policy::limited(defaults::JWKS_REDIRECTS))
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self(Arc::new(Shared {
            url,
            http,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            refresh: Mutex::default(),
        })))
    }

    pub(super) async fn warm(&self) {
        while self.state().keys.is_none() {
            self.fetch(|state| state.keys.is_none()).await;
            if self.state().keys.is_none() {
                tokio::time::sleep(defaults::JWKS_RETRY).await;
            }
        }
    }

    /// The keys, with that of a token if it is published.
    pub(super) async fn keys_for(&self, header: &Header) -> Result<Arc<KeySet>, Refusal> {
        let knows = |state: &State| state.keys.as_ref().is_some_and(|keys| keys.knows(header));
        if knows(&self.state()) {
            self.refresh_if_old();
        } else {
            // A key that is not known is perhaps a new one. Whoever invents names must not have the hub ask for each.
            self.fetch(|state| {
                let pause = if state.keys.is_some() { defaults::JWKS_PAUSE } else { defaults::JWKS_RETRY };
                !knows(state) && state.tried.is_none_or(|tried| tried.elapsed() >= pause)
            })
            .await;
        }
        self.state().keys.clone().ok_or_else(|| {
            let detail = "the keys that tokens are signed with could not be fetched yet; try again";
            Refusal::new(ProblemKind::Unavailable, detail)
        })
    }

    /// Fetches the keys anew after a while, so that those that were withdrawn go. Nobody waits for it.
    fn refresh_if_old(&self) {
        let is_due = |state: &State| {
            state.fetched.is_none_or(|fetched| fetched.elapsed() >= defaults::JWKS_REFRESH)
                && state.tried.is_none_or(|tried| tried.elapsed() >= defaults::JWKS_PAUSE)
        };
        if is_due(&self.state()) {
            let mut refresh = self.0.refresh.lock().unwrap_or_else(PoisonError::into_inner);
            if refresh.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
                let own = self.clone();
                let fetch = async move { own.fetch(is_due).await };
                *refresh = Some(AbortOnDropHandle::new(tokio::spawn(fetch)));
            }
        }
    }

    async fn fetch(&self, is_due: impl Fn(&State) -> bool) {
        let _fetching = self.0.fetching.lock().await;
        {
            let mut state = self.state();
            if !is_due(&state) {
                return;
            }
            state.tried = Some(Instant::now());
        }
        let url = self.0.url.as_str();
        match self.0.download().await {
            Ok(keys) => {
                tracing::info!(url, keys = keys.len(), "fetched the keys that tokens are signed with");
                let mut state = self.state();
                state.keys = Some(Arc::new(keys));
                state.fetched = Some(Instant::now());
            }
            Err(error) => {
                let kept = self.state().keys.as_ref().map_or(0, |keys| keys.len());
                tracing::warn!(url, %error, kept, "failed to fetch the keys that tokens are signed with");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Shared ===

impl Shared {
    async fn download(&self) -> Result<KeySet, FetchError> {
        let mut response = self.http.get(self.url.clone()).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > defaults::JWKS_BYTES {
                return Err(FetchError::Size);
            }
            bytes.extend_from_slice(&chunk);
        }
        let keys = KeySet::from_jwks(&serde_json::from_slice::<JwkSet>(&bytes)?);
        if keys.len() == 0 { Err(FetchError::Empty) } else { Ok(keys) }
    }
}
