use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use http::request::Parts;
use tidings_protocol::ProblemKind;

use super::{Bearer, LATEST_MOMENT, Rights, SESSION, moment};
use crate::api::problem::Refusal;

/// Decides who may do what, in place of tokens: by the session of the program that an API is mounted in, for example.
///
/// It is asked once for each request that needs a right, with the request's head and whatever layers of the program have
/// put into its extensions. A function from that to a future is one; the future gives a [`Grant`], or refuses with
/// [`Denied`].
///
/// A request that changes something and was sent for a page of another origin is refused before, unless the hub's
/// [`Cors`](crate::Cors) names that origin; so a cookie may be trusted.
///
/// ```
/// use http::request::Parts;
/// use tidings_http::{Auth, Denied, Grant, Rights};
///
/// /// What a layer of the program has found out by the request's cookie.
/// #[derive(Clone)]
/// struct Session { user: String }
///
/// let auth = Auth::by(|request: &Parts| {
///     let session = request.extensions.get::<Session>().cloned();
///     async move {
///         let Some(Session { user }) = session else { return Err(Denied::unauthorized("log in first")) };
///         let own = format!("users/{user}/**").parse().map_err(|_| Denied::forbidden("no topics for this name"))?;
///         Ok(Grant { subject: Some(user), ..Grant::from(Rights { subscribe: vec![own], ..Rights::none() }) })
///     }
/// });
/// ```
///
/// A type of your own implements the trait:
///
/// ```
/// use std::pin::Pin;
/// use http::request::Parts;
/// use tidings_http::{Authorize, Denied, Grant, Rights};
///
/// /// Lets in whoever knows the word.
/// struct Word(String);
///
/// impl Authorize for Word {
///     fn authorize<'a>(
///         &'a self,
///         request: &'a Parts,
///     ) -> Pin<Box<dyn Future<Output = Result<Grant, Denied>> + Send + 'a>> {
///         Box::pin(async move {
///             let word = request.headers.get("x-word").and_then(|word| word.to_str().ok());
///             if word == Some(&self.0) { Ok(Rights::all().into()) } else { Err(Denied::forbidden("wrong word")) }
///         })
///     }
/// }
/// ```
pub trait Authorize: Send + Sync + 'static {
    /// What the sender of a request may do, given its head.
    ///
    /// # Errors
    /// [`Denied`], where it is to be answered with 401 or 403 whatever it asks for.
    fn authorize<'a>(
        &'a self,
        request: &'a Parts,
    ) -> Pin<Box<dyn Future<Output = Result<Grant, Denied>> + Send + 'a>>;
}

/// Why a request is refused, whatever it asks for. The reason is the `detail` of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(Refusal);

/// What somebody may do, and on what terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What they may do.
    pub rights: Rights,
    /// Who they are: limits count by it, and their idempotency keys are their own.
    pub subject: Option<String>,
    /// When it ends: whoever waits then is sent to ask anew.
    pub until: Option<SystemTime>,
}

// === impl Denied ===

impl Denied {
    /// 401: nobody knows who sent the request; after logging in it may be answered.
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        // Every 401 has one (RFC 9110 section 15.5.2).
        Self(Refusal::new(ProblemKind::Unauthorized, reason).challenge(SESSION))
    }

    /// 403: whoever sent the request may not do this.
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self(Refusal::new(ProblemKind::Forbidden, reason))
    }

    /// Says how to log in, in place of `Cookie realm="tidings"` (`WWW-Authenticate`, RFC 9110 section 11.6.1).
    #[must_use]
    pub fn challenge(self, challenge: HeaderValue) -> Self {
        Self(self.0.challenge(challenge))
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.detail())
    }
}

impl std::error::Error for Denied {}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        denied.0
    }
}

// === impl Grant ===

impl<F, R> Authorize for F
where
    F: Fn(&Parts) -> R + Send + Sync + 'static,
    R: Future<Output: Into<Result<Grant, Denied>>> + Send + 'static,
{
    fn authorize<'a>(
        &'a self,
        request: &'a Parts,
    ) -> Pin<Box<dyn Future<Output = Result<Grant, Denied>> + Send + 'a>> {
        let answer = self(request);
        Box::pin(async move { answer.await.into() })
    }
}

impl From<Grant> for Result<Grant, Denied> {
    fn from(grant: Grant) -> Self {
        Ok(grant)
    }
}

impl From<Rights> for Grant {
    /// To nobody in particular, and without an end.
    fn from(rights: Rights) -> Self {
        Self { rights, subject: None, until: None }
    }
}

impl From<Grant> for Bearer {
    fn from(grant: Grant) -> Self {
        let latest = moment(LATEST_MOMENT).unwrap_or_else(SystemTime::now);
        Self {
            rights: Arc::new(grant.rights),
            subject: grant.subject.map(Arc::from),
            expires: grant.until.map_or(latest, |until| until.min(latest)),
        }
    }
}
