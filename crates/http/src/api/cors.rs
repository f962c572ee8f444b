use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use axum::response::Response;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, LOCATION,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Request, Uri};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer, Vary};

use crate::defaults;

/// Which origins' pages may use a hub (the Fetch standard's CORS protocol). By default none: a page uses the hub of its
/// own origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    max_age: Duration,
    /// What else their requests may have in their heads.
    headers: Vec<HeaderName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origins {
    Any,
    These(Vec<HeaderValue>),
}

/// The text is no name of a header field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no name of a header field like `x-request-id`")]
pub struct InvalidHeader {
    text: String,
}

/// Where a stream begins; by it, Mercure's hubs say so as well.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What requests of allowed pages may have in their heads: what the hub reads, and what the libraries of pages add by
/// themselves.
const HEADERS: [HeaderName; 12] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    LAST_EVENT_ID,
    HeaderName::from_static("idempotency-key"),
    CACHE_CONTROL,
    IF_NONE_MATCH,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("x-requested-with"),
    HeaderName::from_static("x-request-id"),
];

/// The text names no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}`: an origin is `https://HOST` or `https://HOST:PORT`, without a path, or `*` alone for every origin"
)]
pub struct InvalidOrigin {
    text: String,
}

// === impl Cors ===

impl Cors {
    /// Allows the pages of these origins, exactly as browsers send them, or those of every origin where `*` is the only
    /// one. Browsers send cookies along only for origins that are named.
    ///
    /// # Errors
    /// [`InvalidOrigin`] where one is no origin.
    pub fn new(origins: &[String], max_age: Duration) -> Result<Self, InvalidOrigin> {
        let origins = match origins {
            [any] if any == "*" => Origins::Any,
            these => Origins::These(these.iter().map(|text| origin(text)).collect::<Result<_, _>>()?),
        };
        Ok(Self { origins, max_age, headers: Vec::new() })
    }

    /// Lets the requests of those pages have further fields in their heads.
    ///
    /// # Errors
    /// [`InvalidHeader`] where one is no name of a field.
    pub fn with_headers(mut self, names: &[String]) -> Result<Self, InvalidHeader> {
        let name = |text: &String| {
            text.parse::<HeaderName>().map_err(|_| InvalidHeader { text: text.chars().take(64).collect() })
        };
        self.headers = names.iter().map(name).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Whether pages of this origin may use the hub as whoever is logged in to it.
    pub(crate) fn trusts(&self, origin: &HeaderValue) -> bool {
        matches!(&self.origins, Origins::These(these) if these.contains(origin))
    }

    /// Whether pages of every origin may use the hub, as nobody in particular.
    pub(crate) fn allows_any(&self) -> bool {
        self.origins == Origins::Any
    }

    /// Whether no other origin may use the hub.
    pub(crate) fn is_off(&self) -> bool {
        matches!(&self.origins, Origins::These(these) if these.is_empty())
    }

    /// `None` where no other origin may.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let layer = CorsLayer::new()
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            .allow_headers(HEADERS.iter().chain(&self.headers).cloned().collect::<Vec<_>>())
            .expose_headers([ETAG, LAST_EVENT_ID, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE])
            .max_age(self.max_age);
        match &self.origins {
            Origins::These(_) if self.is_off() => None,
            // The answers are the same for everyone, and caches may know it.
            Origins::Any => Some(layer.allow_origin(AllowOrigin::any()).vary(Vary::list([]))),
            Origins::These(these) => {
                Some(layer.allow_origin(AllowOrigin::list(these.clone())).allow_credentials(true))
            }
        }
    }
}

impl Cors {
    /// Adds to an answer that comes from no route what lets the pages of other origins read it.
    pub(crate) async fn show<B>(&self, request: &Request<B>, response: Response) -> Response {
        let Some(layer) = self.layer() else { return response };
        let mut head = Request::new(());
        // A page may ask whether it may ask, also for what is refused for now. A refusal that stands is not answered with
        // a yes.
        if response.status().is_success() || response.headers().contains_key(RETRY_AFTER) {
            *head.method_mut() = request.method().clone();
        }
        *head.headers_mut() = request.headers().clone();
        let mut response = Some(response);
        let answer =
            service_fn(move |_: Request<()>| ready(Ok::<_, Infallible>(response.take().unwrap_or_default())));
        layer.layer(answer).oneshot(head).await.unwrap_or_else(|never| match never {})
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self { origins: Origins::These(Vec::new()), max_age: defaults::CORS_MAX_AGE, headers: Vec::new() }
    }
}

/// Browsers send an origin in one spelling (RFC 6454 §6.2), so one that is written otherwise would match none.
fn origin(text: &str) -> Result<HeaderValue, InvalidOrigin> {
    let invalid = || InvalidOrigin { text: text.to_owned() };
    let uri: Uri = text.parse().map_err(|_| invalid())?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(invalid)?;
    let default_port = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let is_plain = format!("{scheme}://{authority}") == text
        && text == text.to_ascii_lowercase()
        && !authority.as_str().contains(['@', '*'])
        && (authority.port().is_none() || authority.port_u16() != default_port);
    HeaderValue::from_str(text).ok().filter(|_| is_plain).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        let cors = |texts: &[&str]| {
            Cors::new(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), Duration::ZERO)
        };
        for text in
            ["https://app.example", "http://localhost:5173", "https://[::1]:8443", "capacitor://localhost"]
        {
            assert!(cors(&[text]).is_ok(), "{text}");
        }
        for text in [
            "",
            "app.example",
            "https://app.example/",
            "https://app.example/x",
            "https://App.example",
            "https://app.example:443",
            "https://user@app.example",
            "https://*.example",
            "null",
        ] {
            assert!(cors(&[text]).is_err(), "{text}");
        }
        assert!(cors(&["*", "https://app.example"]).is_err());
        assert!(cors(&["*"]).unwrap().layer().is_some());
        assert!(cors(&[]).unwrap().layer().is_none());
    }
}
