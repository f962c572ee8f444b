//! Who may publish and read what: JSON Web Tokens (RFC 7519), presented as bearer tokens (RFC 6750).
//!
//! A token is signed by a key that the hub knows, and says in its claim `tidings` which topics its bearer may publish to
//! and subscribe to. What needs no token is said by the [rights](Rights) of everybody.

mod authorize;
mod claims;
#[cfg(feature = "jwks")]
mod jwks;
#[cfg(not(feature = "jwks"))]
#[path = "auth/without_jwks.rs"]
mod jwks;
#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "only published keys are read from JSON"))]
mod keys;
mod presented;
mod published;
mod rights;
mod verifier;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use http::request::Parts;
use tidings_log::Scope;
use tidings_protocol::{Object, ProblemKind, Selector, Topic};

use self::claims::Claims;
use crate::api::problem::Refusal;
use crate::api::query::shown;
use crate::api::relay::Relays;
use crate::delivery::memory::Client;
use crate::{ClientAddress, Cors, defaults};

pub use self::authorize::{Authorize, Denied, Grant};
pub use self::keys::{InvalidKey, Key};
pub use self::published::{InvalidJwksUrl, JwksTimes};
pub use self::rights::Rights;
pub use self::verifier::{TokenVerifier, Verified};

/// Decides who may do what. Clones are the same.
///
/// ```
/// use tidings_http::{Auth, AuthConfig, Key, Rights};
/// let config = AuthConfig {
///     keys: vec![Key::hs256(b"a secret of 32 bytes or more ......")?],
///     anonymous: Rights { subscribe: vec!["news/**".parse()?], ..Rights::none() },
///     ..AuthConfig::default()
/// };
/// let auth = Auth::new(config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

/// What tokens are accepted, and what needs none.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Keys that tokens may be signed with.
    pub keys: Vec<Key>,
    /// Where more of them are published, as a JSON Web Key Set (RFC 7517). Fetching them takes the feature `jwks`.
    pub jwks_url: Option<String>,
    /// How often they are fetched.
    pub jwks_times: JwksTimes,
    /// The audience that tokens must be for (`aud`).
    pub audience: Option<String>,
    /// The issuer that tokens must be from (`iss`).
    pub issuer: Option<String>,
    /// The cookie that may carry a token.
    pub cookie: Option<String>,
    /// What everybody may do without one.
    pub anonymous: Rights,
    /// Who may end a topic.
    pub close: CloseRight,
}

/// Who may end a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CloseRight {
    /// Whoever may publish to it, and whoever has the right to end it.
    #[default]
    Publish,
    /// Only who has the right to end it.
    Claim,
}

#[derive(Debug)]
struct Inner {
    judge: Judge,
    verifier: TokenVerifier,
    cookie: Option<String>,
    anonymous: Rights,
    close: CloseRight,
    /// The relays of the API, once it is built.
    relays: OnceLock<Relays>,
}

/// Who decides what somebody may do beyond what everybody may.
enum Judge {
    /// Their tokens.
    Tokens,
    /// The program that the hub is part of.
    Program(Arc<dyn Authorize>),
    /// Nobody, so nobody may.
    Nobody,
    /// Nobody, as everybody on this machine may do everything, and nobody else anything.
    ThisMachine,
}

/// What the sender of one request may do.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    auth: Arc<Inner>,
    token: Option<Bearer>,
}

/// What a token says of its bearer.
#[derive(Debug, Clone)]
struct Bearer {
    rights: Arc<Rights>,
    subject: Option<Arc<str>>,
    expires: SystemTime,
}

const SESSION: HeaderValue = HeaderValue::from_static("Cookie realm=\"tidings\"");
pub(crate) const NO_TOKEN: HeaderValue = HeaderValue::from_static("Bearer realm=\"tidings\"");
pub(crate) const BAD_TOKEN: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"tidings\", error=\"invalid_token\"");
pub(crate) const SMALL_TOKEN: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"tidings\", error=\"insufficient_scope\"");

// === impl AuthConfig ===

impl Default for AuthConfig {
    /// Nobody may do anything.
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            jwks_url: None,
            jwks_times: JwksTimes::default(),
            audience: None,
            issuer: None,
            cookie: None,
            anonymous: Rights::none(),
            close: CloseRight::default(),
        }
    }
}

// === impl Auth ===

impl Auth {
    /// Decides by tokens.
    ///
    /// # Errors
    /// [`InvalidJwksUrl`] where the keys could never be fetched.
    pub fn new(config: AuthConfig) -> Result<Self, InvalidJwksUrl> {
        let AuthConfig { keys, jwks_url, jwks_times, audience, issuer, cookie, anonymous, close } = config;
        let verifier = TokenVerifier::new(keys, jwks_url.as_deref(), jwks_times)?.required(audience, issuer);
        let judge = Judge::Tokens;
        Ok(Self(Arc::new(Inner { judge, verifier, cookie, anonymous, close, relays: OnceLock::new() })))
    }

    /// Lets everybody do everything, from wherever they ask, and without a look at tokens.
    #[must_use]
    pub fn open() -> Self {
        Self::without_tokens(Judge::Nobody, Rights::all())
    }

    /// Lets every program on this machine do everything, and nobody else anything: no page of another name or origin in
    /// a browser here, and nobody whose request a proxy passes on. It is for a hub that listens on a loopback address.
    #[must_use]
    pub fn open_to_this_machine() -> Self {
        Self::without_tokens(Judge::ThisMachine, Rights::all())
    }

    /// Lets everybody read every topic that they can name or match, and nobody publish, list the topics or read the
    /// metrics.
    #[must_use]
    pub fn read_only() -> Self {
        Self::without_tokens(Judge::Nobody, Rights::read_only())
    }

    /// Lets nobody do anything.
    #[must_use]
    pub fn closed() -> Self {
        Self::without_tokens(Judge::Nobody, Rights::none())
    }

    /// Has the program that the hub is part of decide for each request: by its own session, for example.
    #[must_use]
    pub fn by(authorize: impl Authorize) -> Self {
        Self::without_tokens(Judge::Program(Arc::new(authorize)), Rights::none())
    }

    fn without_tokens(judge: Judge, anonymous: Rights) -> Self {
        let (verifier, close) = (TokenVerifier::default(), CloseRight::default());
        Self(Arc::new(Inner { judge, verifier, cookie: None, anonymous, close, relays: OnceLock::new() }))
    }

    /// Says what topics the relays have.
    pub(crate) fn set_relays(&self, relays: Relays) {
        if !relays.is_empty() && self.0.relays.set(relays).is_err() {
            tracing::error!("who may use relays was said already; what was said first counts");
        }
    }

    /// Whether only programs on this machine are served.
    pub(crate) fn is_for_this_machine(&self) -> bool {
        matches!(self.0.judge, Judge::ThisMachine)
    }

    /// Whether the program decides that the hub is part of.
    pub(crate) fn is_of_the_program(&self) -> bool {
        matches!(self.0.judge, Judge::Program(_))
    }

    /// Fetches the keys that are published elsewhere, where there are any, so that the first token need not wait.
    pub async fn warm(&self) {
        self.0.verifier.warm().await;
    }

    /// What the sender of a request may do.
    pub(crate) async fn access(&self, parts: &Parts, cors: &Cors) -> Result<Access, Refusal> {
        let auth = Arc::clone(&self.0);
        // Whoever may do everything need not show a token, and one for somebody else does no harm.
        if auth.lets_in_everybody() {
            return Ok(Access { auth, token: None });
        }
        let token = match &auth.judge {
            Judge::Tokens => match presented::token(parts, auth.cookie.as_deref(), cors)? {
                Some(token) => Some(auth.verify(&token).await?),
                None => None,
            },
            Judge::Program(program) => Some(program.authorize(parts).await?.into()),
            Judge::Nobody | Judge::ThisMachine => None,
        };
        Ok(Access { auth, token })
    }

    /// What somebody may do who shows another token later, on a connection that goes on.
    pub(crate) async fn renew(&self, access: &Access, token: &str) -> Result<Access, Refusal> {
        let auth = Arc::clone(&self.0);
        if !matches!(auth.judge, Judge::Tokens) || auth.lets_in_everybody() {
            return Ok(access.clone());
        }
        let token = Some(auth.verify(token).await?);
        Ok(Access { auth, token })
    }
}

// === impl Inner ===

impl Inner {
    /// Whether everybody may do everything that anybody may.
    fn lets_in_everybody(&self) -> bool {
        self.anonymous.is_all(self.close, self.verifier.knows_keys(), self.relays.get().is_some())
    }

    async fn verify(&self, token: &str) -> Result<Bearer, Refusal> {
        let Verified { claims, .. } = self.verifier.verify::<Object<Claims>>(token).await?;
        claims.0.bearer()
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tokens => "Tokens",
            Self::Program(_) => "Program",
            Self::Nobody => "Nobody",
            Self::ThisMachine => "ThisMachine",
        })
    }
}

fn no_token() -> Refusal {
    bad("it is no JSON Web Token: three parts in base64url, with dots between them")
}

fn bad(reason: impl std::fmt::Display) -> Refusal {
    Refusal::new(ProblemKind::Unauthorized, format!("the token is refused: {reason}")).challenge(BAD_TOKEN)
}

// === impl Access ===

impl Access {
    fn allows(&self, right: impl Fn(&Rights) -> bool) -> bool {
        right(&self.auth.anonymous) || self.token.as_ref().is_some_and(|token| right(&token.rights))
    }

    /// The sender may do this, or is told what would be right.
    fn require(&self, allowed: bool, what: impl FnOnce() -> String) -> Result<(), Refusal> {
        match (allowed, &self.auth.judge, &self.token) {
            (true, ..) => Ok(()),
            (false, Judge::Program(_), _) => {
                let detail = format!("{} is not allowed to whoever sent this", what());
                Err(Refusal::new(ProblemKind::Forbidden, detail))
            }
            (false, Judge::Nobody | Judge::ThisMachine, _) => {
                let detail = format!(
                    "{} is not open to anybody here: `[auth]` of `tidings serve` says who may, or the program that this \
                     hub is part of (`Api::builder`)",
                    what()
                );
                Err(Refusal::new(ProblemKind::Forbidden, detail))
            }
            (false, Judge::Tokens, None) => {
                let detail = format!("{} needs a token: send `Authorization: Bearer …`", what());
                Err(Refusal::new(ProblemKind::Unauthorized, detail).challenge(NO_TOKEN))
            }
            (false, Judge::Tokens, Some(_)) => {
                let detail = format!("the token does not cover {}", what());
                Err(Refusal::new(ProblemKind::Forbidden, detail).challenge(SMALL_TOKEN))
            }
        }
    }

    /// Every selector must be covered as a whole.
    pub(crate) fn subscribe(&self, selectors: &[Selector]) -> Result<(), Refusal> {
        selectors.iter().try_for_each(|selector| {
            let allowed = self.allows(|rights| {
                rights.may_subscribe(selector)
                    || selector.as_topic().is_some_and(|topic| self.relays_to(rights, topic))
            });
            self.require(allowed, || format!("subscribing to `{selector}`"))
        })
    }

    /// Whether a token that is shown later may allow more.
    pub(crate) fn may_show_token(&self) -> bool {
        self.token.is_none() && matches!(self.auth.judge, Judge::Tokens)
    }

    /// Whether the sender may do nothing at all, as no token was shown.
    pub(crate) fn may_nothing(&self) -> bool {
        self.token.is_none() && self.auth.anonymous == Rights::none()
    }

    /// Whether the topics that a selector matches may be listed.
    pub(crate) fn list(&self, selector: &Selector) -> Result<(), Refusal> {
        let allowed = self.allows(|rights| rights.list && rights.may_subscribe(selector));
        self.require(allowed, || format!("listing the topics of `{selector}`"))
    }

    /// Whether everybody may subscribe to all of these.
    pub(crate) fn is_public(&self, selectors: &[Selector]) -> bool {
        selectors.iter().all(|selector| self.auth.anonymous.may_subscribe(selector))
    }

    pub(crate) fn publish(&self, topic: &Topic) -> Result<(), Refusal> {
        let allowed = self.allows(|rights| rights.may_publish(topic));
        self.require(allowed, || format!("publishing to `{topic}`"))
    }

    pub(crate) fn close(&self, topic: &Topic) -> Result<(), Refusal> {
        let allowed = self.allows(|rights| {
            rights.may_close(topic) || self.auth.close == CloseRight::Publish && rights.may_publish(topic)
        });
        self.require(allowed, || format!("ending `{topic}`"))
    }

    pub(crate) fn delete(&self, topic: &Topic) -> Result<(), Refusal> {
        self.require(self.allows(|rights| rights.may_delete(topic)), || format!("deleting `{topic}`"))
    }

    /// Whether somebody may use a relay that has this topic.
    fn relays_to(&self, rights: &Rights, topic: &Topic) -> bool {
        let mut relays = self.auth.relays.get().into_iter().flatten();
        !rights.relay.is_empty()
            && relays.any(|(name, topics)| rights.may_relay(name) && topics.matches(topic))
    }

    /// Whether the sender may use a relay.
    pub(crate) fn relay(&self, name: &str) -> Result<(), Refusal> {
        let allowed = self.allows(|rights| rights.may_relay(name));
        self.require(allowed, || format!("using the relay `{}`", shown(name)))
    }

    /// Whether there is any topic to publish to, before it is known which.
    pub(crate) fn publish_at_all(&self) -> Result<(), Refusal> {
        self.require(self.allows(|rights| !rights.publish.is_empty()), || "publishing".to_owned())
    }

    pub(crate) fn metrics(&self) -> Result<(), Refusal> {
        self.require(self.allows(|rights| rights.metrics), || "reading the metrics".to_owned())
    }

    /// Who the token says that its bearer is.
    pub(crate) fn subject(&self) -> Option<&Arc<str>> {
        self.token.as_ref()?.subject.as_ref()
    }

    /// Whose limits count for whoever showed a token: its subject's, or where it names none, those of the address that
    /// the request is from, as far as that is known.
    pub(crate) fn counted_as(&self, address: Option<ClientAddress>) -> Option<Client> {
        self.token.as_ref()?;
        Some(Client::at(address, Some(self))).filter(|client| *client != Client::Unknown)
    }

    /// Among which batches over several topics its idempotency keys are looked for. Without a subject, what the token
    /// allows to publish stands for whoever has it: a new one for the same has the same keys.
    pub(crate) fn scope(&self) -> Scope {
        let Some(token) = &self.token else { return Scope::Batches };
        let owner = match &token.subject {
            Some(subject) => format!("subject {subject}"),
            None => {
                let mut topics: Vec<_> = token.rights.publish.iter().map(Selector::as_str).collect();
                topics.sort_unstable();
                topics.dedup();
                format!("publishers {}", topics.join("\n"))
            }
        };
        Scope::BatchesOf(owner.into())
    }

    /// Whether the token ends later than another.
    pub(crate) fn outlasts(&self, other: &Self) -> bool {
        let expires = |access: &Self| access.token.as_ref().map(|token| token.expires);
        expires(self) > expires(other)
    }

    /// How long the token is valid from now on. One that is already in the time that clocks may differ by is valid to
    /// its end.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let expires = self.token.as_ref()?.expires;
        let now = SystemTime::now();
        let left = expires.duration_since(now);
        let late = || (expires + defaults::TOKEN_LEEWAY).duration_since(now).unwrap_or_default();
        Some(left.unwrap_or_else(|_| late()))
    }
}

/// Later than this nobody waits, and the arithmetic of clocks ends somewhere.
const LATEST_MOMENT: f64 = 253_402_300_799.0;

/// A moment of a token (RFC 7519 §2), of which nonsense is none.
fn moment(seconds: f64) -> Option<SystemTime> {
    let seconds = Duration::try_from_secs_f64(seconds.min(LATEST_MOMENT)).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(seconds)
}
