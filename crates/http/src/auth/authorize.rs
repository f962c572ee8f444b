use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::request::Parts;

use super::{Bearer, LATEST_MOMENT, Rights, moment};

/// Decides who may do what, in place of tokens: by the session of the program that a face is mounted in, for example. A
/// function of a request's head to a future is one.
///
/// A request that changes something and was sent for a page of another origin is refused before, unless the hub's
/// [`Cors`](crate::Cors) names that origin; so a cookie may be trusted.
///
/// ```
/// use tidings_http::{Auth, Grant, Rights};
/// # async fn user_of(cookie: Option<String>) -> Option<String> { cookie }
/// let auth = Auth::by(|request: &http::request::Parts| {
///     let cookie = request.headers.get("cookie").and_then(|cookie| cookie.to_str().ok()).map(str::to_owned);
///     async move {
///         let Some(user) = user_of(cookie).await else { return Grant::from(Rights::none()) };
///         let own = format!("users/{user}/**").parse().into_iter().collect();
///         Grant { subject: Some(user), ..Grant::from(Rights { subscribe: own, ..Rights::none() }) }
///     }
/// });
/// ```
pub trait Authorize: Send + Sync + 'static {
    /// What the sender of a request may do, given its head with whatever layers of the program have put into its
    /// extensions.
    fn authorize<'a>(&'a self, request: &'a Parts) -> Pin<Box<dyn Future<Output = Grant> + Send + 'a>>;
}

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

impl<F, R> Authorize for F
where
    F: Fn(&Parts) -> R + Send + Sync + 'static,
    R: Future<Output = Grant> + Send + 'static,
{
    fn authorize<'a>(&'a self, request: &'a Parts) -> Pin<Box<dyn Future<Output = Grant> + Send + 'a>> {
        Box::pin(self(request))
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
