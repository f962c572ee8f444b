//! Keys that are published at a URL, as identity providers do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jsonwebtoken::Header;
use reqwest::{Client, Url};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::Deserialize;
use serde_json::Value;
use tidings_protocol::{Object, ProblemKind};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use url::Host;

use super::keys::KeySet;
use super::published::{InvalidJwksUrl, JwksTimes};
use crate::api::problem::Refusal;
use crate::defaults;

/// A published set of keys, and where it is.
#[derive(Debug)]
pub(super) struct Jwks {
    shared: Arc<JwksSource>,
    /// The fetch that is under way. It ends with the hub, and not with whoever asked for it.
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct JwksSource {
    url: Url,
    http: Client,
    times: JwksTimes,
    state: Mutex<State>,
    /// Told of each fetch that has ended.
    ended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The last ones that came, however long ago.
    keys: Option<Arc<KeySet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    is_fetching: bool,
    /// Which entries of the set were no keys.
    skipped: Vec<String>,
}

/// A set as it is published.
#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Http(reqwest::Error),
    #[error("the set has more than {} bytes", defaults::JWKS_BYTES)]
    Size,
    #[error("the answer is no set of keys: {0}")]
    Set(#[from] serde_json::Error),
    #[error("the set has no key of RSA, P-256 or Ed25519 for signatures")]
    Empty,
}

// === impl FetchError ===

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

// === impl Jwks ===

impl Jwks {
    pub(super) fn new(text: &str, times: JwksTimes) -> Result<Self, InvalidJwksUrl> {
        let url = Url::parse(text).ok().filter(is_trustworthy);
        let url = url.ok_or_else(|| InvalidJwksUrl::Url(without_password(text)))?;
        let failed = |error: &dyn std::fmt::Display| InvalidJwksUrl::Client(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|error| failed(&error))?
            .with_no_client_auth();
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(defaults::JWKS_TIMEOUT)
            .https_only(url.scheme() == "https")
            .redirect(reqwest::redirect::Policy::limited(defaults::JWKS_REDIRECTS))
            .build()
            .map_err(|error| failed(&error))?;
        let (ended, _) = watch::channel(());
        let shared = JwksSource { url, http, times, state: Mutex::default(), ended };
        Ok(Self { shared: Arc::new(shared), task: Mutex::default() })
    }

    /// Fetches until there are keys.
    pub(super) async fn warm(&self) {
        while self.shared.state().keys.is_none() {
            self.fetch(|state| state.keys.is_none()).await;
            if self.shared.state().keys.is_none() {
                tokio::time::sleep(self.shared.times.retry).await;
            }
        }
    }

    /// The keys, with that of a token if it is published.
    pub(super) async fn keys_for(&self, header: &Header) -> Result<Arc<KeySet>, Refusal> {
        let times = self.shared.times;
        let knows = |state: &State| state.keys.as_ref().is_some_and(|keys| keys.knows(header));
        if knows(&self.shared.state()) {
            // So that keys which were withdrawn go. Nobody waits for it.
            drop(self.begin(|state| {
                state.fetched.is_none_or(|fetched| fetched.elapsed() >= times.refresh)
                    && state.tried.is_none_or(|tried| tried.elapsed() >= times.pause)
            }));
        } else {
            // A key that is not known is perhaps a new one. Whoever invents names must not have the hub ask for each.
            self.fetch(|state| {
                let pause = if state.keys.is_some() { times.pause } else { times.retry };
                state.tried.is_none_or(|tried| tried.elapsed() >= pause)
            })
            .await;
        }
        self.shared.state().keys.clone().ok_or_else(|| {
            let detail = "the keys that tokens are signed with could not be fetched yet; try again";
            Refusal::new(ProblemKind::Unavailable, detail)
        })
    }

    /// Waits for the fetch that is under way, or for one of its own where that is due.
    async fn fetch(&self, is_due: impl Fn(&State) -> bool) {
        if let Some(mut ended) = self.begin(is_due) {
            drop(ended.changed().await);
        }
    }

    /// Begins a fetch where one is due. Gives what is told of its end, or of that of the one under way.
    fn begin(&self, is_due: impl Fn(&State) -> bool) -> Option<watch::Receiver<()>> {
        let mut state = self.shared.state();
        // The end is told only after the state says so: nobody waits for one that has passed.
        let ended = self.shared.ended.subscribe();
        if state.is_fetching {
            return Some(ended);
        }
        if !is_due(&state) {
            return None;
        }
        (state.tried, state.is_fetching) = (Some(Instant::now()), true);
        drop(state);
        let shared = Arc::clone(&self.shared);
        let task = AbortOnDropHandle::new(tokio::spawn(async move { shared.fetch().await }));
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Some(ended)
    }
}

/// An address as it may be shown: it may name a user with a password.
fn without_password(text: &str) -> String {
    let begin = text.find("//").map_or(0, |at| at + 2);
    match text.rfind('@').filter(|at| *at >= begin) {
        Some(end) => format!("{}…{}", &text[..begin], &text[end..]),
        None => text.to_owned(),
    }
}

/// Whether nobody on the way could give other keys.
fn is_trustworthy(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

/// A fetch that is under way. However it ends, another may begin, and nobody waits for it any more.
struct Ending<'a>(&'a JwksSource);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.state().is_fetching = false;
        self.0.ended.send_replace(());
    }
}

// === impl JwksSource ===

impl JwksSource {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) {
        let ending = Ending(self);
        let downloaded = self.download().await;
        let mut state = self.state();
        let kept = state.keys.as_ref().map_or(0, |keys| keys.len());
        // Neither its user and password nor its query are anybody's business.
        let (host, path) = (self.url.host_str().unwrap_or_default(), self.url.path());
        match downloaded {
            Ok(keys) => {
                tracing::info!(host, path, keys = keys.len(), "fetched the keys that tokens are signed with");
                (state.keys, state.fetched) = (Some(Arc::new(keys)), Some(Instant::now()));
            }
            Err(error) => {
                tracing::warn!(host, path, %error, kept, "failed to fetch the keys that tokens are signed with");
            }
        }
        drop(state);
        drop(ending);
    }

    async fn download(&self) -> Result<KeySet, FetchError> {
        let mut response = self.http.get(self.url.clone()).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > defaults::JWKS_BYTES {
                return Err(FetchError::Size);
            }
            bytes.extend_from_slice(&chunk);
        }
        let Object(Published { keys }) = serde_json::from_slice(&bytes)?;
        let (keys, skipped) = KeySet::from_jwks(&keys);
        self.tell_of(skipped);
        if keys.len() == 0 { Err(FetchError::Empty) } else { Ok(keys) }
    }

    /// Tells which entries of the set are no keys, when there are others than before.
    fn tell_of(&self, skipped: Vec<String>) {
        let mut state = self.state();
        if state.skipped != skipped && !skipped.is_empty() {
            let entries = skipped.join("; ");
            tracing::warn!(entries, "passed over entries of the set of keys that could not be understood");
        }
        state.skipped = skipped;
    }
}
