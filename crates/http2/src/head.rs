use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri, Version};

/// What a request asks for, as it was sent (RFC 9113 §8.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `:method`.
    pub method: Method,
    /// `:scheme`; a request by CONNECT has none.
    pub scheme: Option<Box<str>>,
    /// `:authority`, whatever it is.
    pub authority: Option<Box<str>>,
    /// `:path` with the query, whatever it is, but not empty; a request by CONNECT has none.
    pub path: Option<Box<str>>,
    /// `:protocol`, of an extended CONNECT (RFC 8441).
    pub protocol: Option<Box<str>>,
    /// The other fields. Those of `cookie` are one (RFC 9113 §8.2.3).
    pub headers: HeaderMap,
}

// === impl Head ===

impl Head {
    /// Whether the path has a `#`, which no path has. [`uri`](Self::uri) ends before it.
    #[must_use]
    pub fn has_fragment(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.contains('#'))
    }

    /// The target.
    ///
    /// # Errors
    /// Where it is none.
    pub fn uri(&self) -> Result<Uri, http::Error> {
        let mut parts = http::uri::Parts::default();
        parts.authority = self.authority.as_deref().map(Authority::try_from).transpose()?;
        parts.path_and_query = self.path.as_deref().map(PathAndQuery::try_from).transpose()?;
        // A target with a scheme alone is none.
        if parts.authority.is_some() && parts.path_and_query.is_some() {
            parts.scheme = self.scheme.as_deref().map(Scheme::try_from).transpose()?;
        }
        Ok(Uri::from_parts(parts)?)
    }

    /// A request with this head and a body.
    ///
    /// # Errors
    /// Where the target is none.
    pub fn into_request<B>(self, body: B) -> Result<Request<B>, http::Error> {
        let uri = self.uri()?;
        let mut request = Request::new(body);
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}
