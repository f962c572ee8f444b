use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tidings_protocol::ProblemKind;

/// A page that could run a script of others could publish with its reader's token. So only the files here run,
/// nothing in them becomes markup from text, and no other page frames them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types 'none'";

/// A file that is part of the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    media_type: &'static str,
    bytes: &'static [u8],
}

// === impl File ===

impl File {
    pub(crate) const fn new(media_type: &'static str, bytes: &'static [u8]) -> Self {
        Self { media_type, bytes }
    }

    pub(crate) fn route(self) -> MethodRouter {
        let tag = self.tag();
        get(async move |headers: HeaderMap| self.answer(&tag, &headers)).fallback(not_allowed)
    }

    fn answer(self, tag: &HeaderValue, headers: &HeaderMap) -> Response {
        let known = headers.get_all(IF_NONE_MATCH).iter().any(|tags| holds(tags, tag));
        let mut response = match known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => Response::new(Body::from(self.bytes)),
        };
        let fields: [(HeaderName, &'static str); 6] = [
            (CONTENT_TYPE, self.media_type),
            // Kept, and asked for again: another version of the hub has other files under these names.
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ];
        let into = response.headers_mut();
        into.extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
        into.insert(ETAG, tag.clone());
        response
    }

    fn tag(self) -> HeaderValue {
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// As the hub's own paths refuse a method.
async fn not_allowed() -> Response {
    let kind = ProblemKind::MethodNotAllowed;
    let body = serde_json::to_vec(&kind.problem("this path takes GET, HEAD")).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    // For whoever counts.
    response.extensions_mut().insert(kind);
    let fields =
        [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, "no-store"), (ALLOW, "GET, HEAD")];
    response.headers_mut().extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Whether a list of tags has this one (weakly, as a proxy that compresses makes tags weak), or is any.
fn holds(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let list = list.to_str().unwrap_or_default();
    list.split(',')
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one.as_bytes() == tag)
}
