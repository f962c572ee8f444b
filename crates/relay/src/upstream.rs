//! The endpoint of a relay, and how it is asked.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use percent_encoding::percent_decode_str;
use reqwest::{Client, Response};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tidings_http::Refusal;
use tidings_protocol::ProblemKind;
use tokio::time::{Sleep, sleep, timeout};
use url::Url;

use crate::config::{InvalidRelay, RelayConfig};
use crate::defaults;
use crate::fields::{self, OwnFields, PASSED};
use crate::lanes::{InLane, Lanes};

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What all paths are below; it ends with no slash.
    base: Url,
    lanes: Lanes,
    fields: OwnFields,
    passes_keys: bool,
    first_byte_timeout: Duration,
    /// By which name this hub says that a request passed it.
    own_name: Arc<str>,
}

/// What a caller asks.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// What follows on the name of the relay.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// What an answer with events consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Events {
    Stream,
    JsonLines,
}

/// The body of a caller's request, on its way to the endpoint.
struct Upload {
    body: Mutex<Body>,
    pause: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    failure: Arc<Mutex<Option<String>>>,
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn new(config: &RelayConfig, own_name: Arc<str>) -> Result<Self, InvalidRelay> {
        let base = Url::parse(&config.url).ok().filter(is_plain).ok_or(InvalidRelay::Url)?;
        for (name, time) in [
            ("connect-timeout", config.connect_timeout),
            ("first-byte-timeout", config.first_byte_timeout),
            ("silence-timeout", config.silence_timeout),
            ("share-linger", config.share_linger),
        ] {
            let (least, most) = (defaults::MIN_TIMEOUT, defaults::MAX_TIMEOUT);
            if !(least..=most).contains(&time) {
                return Err(InvalidRelay::Time { name, least, most });
            }
        }
        let failed = |error: &dyn std::fmt::Display| InvalidRelay::Client(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(rustls::ConfigBuilder::with_platform_verifier)
            .map_err(|error| failed(&error))?
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connect_timeout = config.connect_timeout;
        let client = move || {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(connect_timeout)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .pool_max_idle_per_host(defaults::IDLE_CONNECTIONS)
                .pool_idle_timeout(defaults::IDLE_TIMEOUT)
                .http2_keep_alive_interval(defaults::PING)
                .http2_keep_alive_timeout(defaults::PING)
        };
        let lanes = Lanes::new(client).map_err(|error| failed(&error))?;
        Ok(Self {
            base,
            lanes,
            fields: OwnFields::new(&config.headers)?,
            passes_keys: config.passes_keys,
            first_byte_timeout: config.first_byte_timeout,
            own_name,
        })
    }

    /// Refuses a request that has come through this hub already.
    pub(crate) fn check_way(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let passed = headers.get_all(PASSED).iter().filter_map(|value| value.to_str().ok());
        let names: Vec<&str> = passed.flat_map(|value| value.split(',')).map(str::trim).collect();
        if names.contains(&&*self.own_name) {
            let detail = "the request has come through this hub before: the relay's `url` leads back to it";
            return Err(Refusal::new(ProblemKind::LoopDetected, detail));
        }
        if names.len() >= defaults::HOPS {
            let detail = format!("the request has come through {} hubs", names.len());
            return Err(Refusal::new(ProblemKind::LoopDetected, detail));
        }
        Ok(())
    }

    /// Where a request goes: below the base, whatever it says.
    pub(crate) fn target(&self, path: &str, query: Option<&str>) -> Result<Url, Refusal> {
        let leads_elsewhere = |segment: &str| {
            let decoded = percent_decode_str(segment).decode_utf8_lossy();
            matches!(&*decoded, "." | "..") || segment.contains('\\')
        };
        if path.split('/').any(leads_elsewhere) {
            let detail = "a path to an endpoint has no segments `.` or `..`, and no backslash";
            return Err(Refusal::new(ProblemKind::InvalidQuery, detail));
        }
        let mut url = self.base.clone();
        let below = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{below}{path}"));
        url.set_query(query.and_then(fields::query_for_endpoint).as_deref());
        let stays = url.origin() == self.base.origin() && url.path().starts_with(below);
        if !stays {
            return Err(Refusal::new(ProblemKind::InvalidQuery, "the path leads away from the endpoint"));
        }
        Ok(url)
    }

    /// Asks the endpoint, and waits for the head of its answer.
    pub(crate) async fn ask(
        &self,
        question: Question,
        body_pause: Duration,
    ) -> Result<(Response, InLane), Refusal> {
        let Question { method, path, query, headers, body } = question;
        let url = self.target(&path, query.as_deref())?;
        let mut own = fields::for_endpoint(&headers, self.passes_keys);
        self.fields.add(&mut own);
        if let Ok(name) = HeaderValue::from_str(&self.own_name) {
            own.append(PASSED, name);
        }
        let (client, in_lane) = self.lanes.enter().map_err(refusal)?;
        let mut request = client.request(method, url).headers(own);
        let failure = Arc::<Mutex<Option<String>>>::default();
        if !body.is_end_stream() {
            request = request.body(reqwest::Body::wrap(Upload {
                body: Mutex::new(body),
                pause: body_pause,
                deadline: None,
                failure: Arc::clone(&failure),
            }));
        }
        let answered = timeout(self.first_byte_timeout, request.send()).await;
        if let Some(why) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Refusal::new(ProblemKind::InvalidData, why));
        }
        match answered {
            Ok(Ok(response)) => Ok((response, in_lane)),
            Ok(Err(error)) => Err(refusal(error)),
            Err(_) => {
                let detail = format!(
                    "the endpoint sent no answer within {} s (`first-byte-timeout`)",
                    self.first_byte_timeout.as_secs_f32()
                );
                Err(Refusal::new(ProblemKind::UpstreamTimeout, detail))
            }
        }
    }

    /// Asks for events, on behalf of nobody in particular.
    pub(crate) async fn ask_for_all(
        &self,
        path: &str,
        query: Option<&str>,
        last_event_id: &str,
    ) -> Result<(Response, InLane), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let question = Question {
            method: Method::GET,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers,
            body: Body::empty(),
        };
        let mut own = question;
        if let Ok(id) = HeaderValue::from_str(last_event_id)
            && !last_event_id.is_empty()
        {
            own.headers.insert("last-event-id", id);
        }
        self.ask(own, Duration::ZERO).await
    }
}

/// What went wrong before there was an answer. It may name neither the URL, whose query may have a key, nor a field.
fn refusal(error: reqwest::Error) -> Refusal {
    let (is_connect, is_timeout) = (error.is_connect(), error.is_timeout());
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let (kind, what) = match (is_connect, is_timeout) {
        (_, true) => {
            (ProblemKind::UpstreamTimeout, "connecting to the endpoint took too long (`connect-timeout`)")
        }
        (true, false) => (ProblemKind::UpstreamFailed, "the endpoint could not be connected to"),
        (false, false) => {
            (ProblemKind::UpstreamFailed, "the endpoint ended the connection before it answered")
        }
    };
    Refusal::new(kind, format!("{what}: {cause}"))
}

/// What events an answer has; `None` where it is another.
pub(crate) fn events(response: &Response) -> Result<Option<Events>, Refusal> {
    if response.status() != StatusCode::OK {
        return Ok(None);
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let events = match &*kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase() {
        "text/event-stream" => Events::Stream,
        "application/x-ndjson" => Events::JsonLines,
        _ => return Ok(None),
    };
    let codings = response.headers().get_all(CONTENT_ENCODING).iter();
    if let Some(coding) =
        codings.map(HeaderValue::as_bytes).find(|coding| !coding.eq_ignore_ascii_case(b"identity"))
    {
        let coding: String = String::from_utf8_lossy(coding).chars().take(64).collect();
        let detail = format!(
            "the endpoint packs its events (`Content-Encoding: {coding}`), though it was asked not to, so they cannot be kept"
        );
        return Err(Refusal::new(ProblemKind::UpstreamFailed, detail));
    }
    Ok(Some(events))
}

/// Whether a URL says where something is, and nothing else.
fn is_plain(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

// === impl Upload ===

impl Upload {
    fn fail(&self, why: String) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        Poll::Ready(Some(Err(axum::Error::new(std::io::Error::other(why)))))
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let own = &mut *self;
        let body = own.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => own.fail(format!("the body did not arrive whole: {error}")),
            Poll::Ready(other) => {
                own.deadline = None;
                Poll::Ready(other)
            }
            Poll::Pending => {
                let pause = own.pause;
                let deadline = own.deadline.get_or_insert_with(|| Box::pin(sleep(pause)));
                if deadline.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                own.fail(format!("the body paused for more than {} s (`body-timeout`)", pause.as_secs_f32()))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(url: &str) -> Result<Upstream, InvalidRelay> {
        Upstream::new(&RelayConfig::to(url), "own".into())
    }

    #[test]
    fn requests_go_below_the_base_and_nowhere_else() {
        let root = upstream("https://api.example").unwrap();
        let below = upstream("https://api.example/v1/").unwrap();
        let target = |upstream: &Upstream, path: &str, query: Option<&str>| {
            upstream.target(path, query).map(|url| url.to_string()).ok()
        };
        for (path, query, expected) in [
            ("", None, "https://api.example/"),
            ("/", None, "https://api.example/"),
            ("/v1/chat%2Fx", Some("a=1&access_token=s"), "https://api.example/v1/chat%2Fx?a=1"),
            ("//evil.example/x", None, "https://api.example//evil.example/x"),
            ("/@evil.example", None, "https://api.example/@evil.example"),
            ("/https://evil.example", None, "https://api.example/https://evil.example"),
        ] {
            assert_eq!(target(&root, path, query).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(target(&below, "/chat", None).as_deref(), Some("https://api.example/v1/chat"));
        assert_eq!(target(&below, "", None).as_deref(), Some("https://api.example/v1"));
        for path in ["/../x", "/a/..", "/%2e%2E/x", "/.%2e", "/./x", "/..\\x", "/a\\..\\..\\x", "/.."] {
            assert_eq!(target(&below, path, None), None, "{path}");
        }
    }

    #[test]
    fn a_base_is_an_address_and_nothing_else() {
        for url in ["http://127.0.0.1:1", "https://api.example/v1"] {
            assert!(upstream(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "api.example",
            "ftp://api.example",
            "https://user@api.example",
            "https://:secret@api.example",
            "https://api.example?key=secret",
            "https://api.example#x",
            "file:///etc",
        ] {
            let error = upstream(url).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_request_that_comes_back_is_known() {
        let upstream = upstream("http://127.0.0.1:1").unwrap();
        let mut headers = HeaderMap::new();
        assert!(upstream.check_way(&headers).is_ok());
        headers.append(PASSED, "other, another".parse().unwrap());
        assert!(upstream.check_way(&headers).is_ok());
        headers.append(PASSED, "own".parse().unwrap());
        assert!(upstream.check_way(&headers).is_err());
        let many = HeaderMap::from_iter([(PASSED, "a,b,c,d,e,f,g,h".parse().unwrap())]);
        assert!(upstream.check_way(&many).is_err());
    }
}
