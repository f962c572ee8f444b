use tidings_http::{InvalidJwksUrl, JwksTimes, Key, TokenVerifier};
use tidings_protocol::Selector;

/// How Mercure is answered.
#[derive(Debug, Clone)]
pub struct MercureConfig {
    /// The keys that the tokens of publishers are signed with.
    pub publisher: MercureKeys,
    /// The keys that the tokens of subscribers are signed with; `None` where these are the same.
    pub subscriber: Option<MercureKeys>,
    /// Whether subscribers need no token, for what is public.
    pub anonymous: bool,
    /// The cookie that may carry a token; `None` for those that the protocol recommends.
    pub cookie: Option<String>,
    /// Whether active subscriptions are listed, and told of.
    pub subscriptions: bool,
    /// The topics whose events are public: every token may read them, and whoever has none, where that is let in.
    pub public_topics: Vec<Selector>,
    /// The hub's own address, as `https://hub.example/.well-known/mercure`: relative topics and URL patterns are resolved against it.
    pub public_url: Option<String>,
    /// The audience (`aud`) that tokens of 1.0 have to be for.
    pub audience: Option<String>,
}

/// The keys that tokens of one kind are signed with.
#[derive(Debug, Clone, Default)]
pub struct MercureKeys {
    /// These.
    pub keys: Vec<Key>,
    /// Where more of them are published.
    pub jwks_url: Option<String>,
    /// How often they are fetched.
    pub jwks_times: JwksTimes,
}

/// Mercure cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMercure {
    /// Nobody could ever publish.
    #[error("there is no key that tokens of publishers could be signed with")]
    NoKey,
    /// Keys could never be fetched.
    #[error(transparent)]
    Jwks(#[from] InvalidJwksUrl),
    /// The hub's address is none.
    #[error("`{0}` is no URL like `https://hub.example/.well-known/mercure`")]
    Url(String),
}

// === impl MercureConfig ===

impl MercureConfig {
    /// With keys for publishers, which are those of subscribers as well. Subscribers need a token, and every topic is public to those who have one.
    #[must_use]
    pub fn new(publisher: MercureKeys) -> Self {
        Self {
            publisher,
            subscriber: None,
            anonymous: false,
            cookie: None,
            subscriptions: false,
            public_topics: vec![Selector::all()],
            public_url: None,
            audience: None,
        }
    }
}

// === impl MercureKeys ===

impl MercureKeys {
    pub(crate) fn verifier(&self) -> Result<TokenVerifier, InvalidMercure> {
        if self.keys.is_empty() && self.jwks_url.is_none() {
            return Err(InvalidMercure::NoKey);
        }
        // Tokens of 0.x often have no end.
        Ok(TokenVerifier::new(self.keys.clone(), self.jwks_url.as_deref(), self.jwks_times)?.endless())
    }
}
