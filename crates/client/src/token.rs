use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::header::HeaderValue;

use crate::{Interruption, defaults};

type BoxError = Box<dyn StdError + Send + Sync>;
type Asked = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// Where tokens come from. Holds secrets, and so shows nothing of itself.
#[derive(Clone, Default)]
pub(crate) enum Tokens {
    #[default]
    None,
    Fixed(Arc<str>),
    Supplied(Arc<dyn Fn() -> Asked + Send + Sync>),
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn supplied<F, Fut, E>(supply: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::Supplied(Arc::new(move || {
            let asked = supply();
            Box::pin(async move { asked.await.map_err(Into::into) })
        }))
    }

    /// Whether a token that was refused may be followed by another one.
    pub(crate) fn may_change(&self) -> bool {
        matches!(self, Self::Supplied(_))
    }

    /// The `Authorization` header for one attempt.
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, Interruption> {
        let token = match self {
            Self::None => return Ok(None),
            Self::Fixed(token) => token.to_string(),
            Self::Supplied(supply) => match tokio::time::timeout(defaults::TOKEN_TIMEOUT, supply()).await {
                Ok(supplied) => supplied.map_err(Interruption::Token)?,
                Err(_) => return Err(Interruption::Token("the supplier of tokens took too long".into())),
            },
        };
        bearer(&token)
            .map(Some)
            .ok_or_else(|| Interruption::Token("a token holds only visible ASCII characters".into()))
    }
}

/// `Bearer` and the token, marked as a secret.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| visible)?;
    header.set_sensitive(true);
    Some(header)
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed(…)",
            Self::Supplied(_) => "Supplied(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_token_shows_nowhere() {
        let tokens = Tokens::Fixed("s3cret".into());
        let header = bearer("s3cret").unwrap();
        assert!(!format!("{tokens:?} {header:?}").contains("s3cret"));
        assert_eq!(header.to_str().unwrap(), "Bearer s3cret");
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_no_token() {
        for token in ["", "a b", "a\n", "ü"] {
            assert!(bearer(token).is_none(), "{token:?}");
        }
    }

    #[tokio::test]
    async fn a_supplier_is_asked_for_each_attempt() {
        let count = AtomicU32::new(0);
        let tokens = Tokens::supplied(move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move { if number < 2 { Ok(format!("t{number}")) } else { Err("no more") } }
        });
        for expected in ["Bearer t0", "Bearer t1"] {
            assert_eq!(tokens.header().await.unwrap().unwrap().to_str().unwrap(), expected);
        }
        let error = tokens.header().await.unwrap_err();
        assert_eq!(error.to_string(), "no token could be had: no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_supplier_that_hangs_is_given_up() {
        let tokens = Tokens::supplied(std::future::pending::<Result<String, BoxError>>);
        assert!(matches!(tokens.header().await, Err(Interruption::Token(_))));
    }
}
