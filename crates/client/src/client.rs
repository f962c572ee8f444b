use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, Url};
use tokio::time::timeout;

use crate::answer::{self, Failure};
use crate::certificate::{self, Trust};
use crate::endpoint::Endpoint;
use crate::socket;
use crate::token::{self, Tokens};
use crate::{BuildError, Interruption, Message, Publish, StreamPublish, Subscribe, defaults};

/// A client of one hub. Clones share its connections.
///
/// ```
/// use tidings_client::Client;
/// let client = Client::builder("https://hub.example.com").token("secret").build()?;
/// assert!(!format!("{client:?}").contains("secret"));
/// # Ok::<(), tidings_client::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<ClientState>,
}

struct ClientState {
    endpoint: Endpoint,
    http: reqwest::Client,
    /// The same, over HTTP/1.1 alone: a WebSocket begins there.
    http1: reqwest::Client,
    tokens: Tokens,
    headers: HeaderMap,
    /// The socket that was opened last. It belongs to its subscription.
    socket: Mutex<Weak<socket::Shared>>,
    /// Whether anything has answered: until then, a certificate that is not trusted is a mistake in the settings.
    is_answered: AtomicBool,
}

/// Settings of a [`Client`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    url: String,
    tokens: Tokens,
    trust: Trust,
    headers: HeaderMap,
    proxy: Option<reqwest::Proxy>,
    http: Option<reqwest::Client>,
}

// === impl Client ===

impl Client {
    /// A client of the hub at `url`, without a token.
    ///
    /// # Errors
    /// [`BuildError`] where `url` is not that of a hub.
    pub fn new(url: &str) -> Result<Self, BuildError> {
        Self::builder(url).build()
    }

    /// Settings for a client of the hub at `url`, which may have a path that comes before those of the hub.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder {
            url: url.to_owned(),
            tokens: Tokens::None,
            trust: Trust::default(),
            headers: HeaderMap::new(),
            proxy: None,
            http: None,
        }
    }

    /// Publishes one event, once the result is sent or awaited.
    ///
    /// ```no_run
    /// # async fn demo(client: tidings_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use tidings_client::Message;
    /// client.publish("greetings", "hello").await?;
    /// client.publish("photos/1", Message::bytes(vec![0xff, 0xd8])).idempotency_key("photo-1").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(&self, topic: impl Into<String>, message: impl Into<Message>) -> Publish {
        Publish::new(self.clone(), topic.into(), vec![message.into()])
    }

    /// Publishes several events on one topic, whole or not at all, with nothing between them.
    pub fn publish_batch<M: Into<Message>>(
        &self,
        topic: impl Into<String>,
        messages: impl IntoIterator<Item = M>,
    ) -> Publish {
        Publish::new(self.clone(), topic.into(), messages.into_iter().map(Into::into).collect())
    }

    /// Publishes events on several topics, whole or not at all, with nothing between them.
    ///
    /// ```no_run
    /// # async fn demo(client: tidings_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let published = client.publish_each([("stock/7", "41"), ("orders/42", "placed")]).await?;
    /// assert_eq!(published.ids().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_each<T: Into<String>, M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = (T, M)>,
    ) -> Publish {
        let messages = messages.into_iter().map(|(topic, message)| (topic.into(), message.into()));
        Publish::each(self.clone(), messages)
    }

    /// Publishes a stream of events to one topic, each as it comes, once it is opened.
    ///
    /// ```no_run
    /// # async fn demo(client: tidings_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut stream = client.stream("chat/42").close().open()?;
    /// for token in ["Hel", "lo"] {
    ///     stream.send(token).await?;
    /// }
    /// let published = stream.finish().await?;
    /// println!("{} events, the last one {:?}", published.events, published.last);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(&self, topic: impl Into<String>) -> StreamPublish {
        StreamPublish::new(self.clone(), topic.into())
    }

    /// Ends a topic without a further event.
    pub fn close(&self, topic: impl Into<String>) -> Publish {
        Publish::new(self.clone(), topic.into(), Vec::new()).close()
    }

    /// Deletes a topic: its readers are told the end, no event of it is read again, and its name may be used anew. The token needs
    /// the right to delete it. It is tried again like a publish: what was published to the topic meanwhile goes with it.
    pub fn delete(&self, topic: impl Into<String>) -> Publish {
        Publish::deletion(self.clone(), topic.into())
    }

    /// Subscribes to the union of some selectors, once the result is opened.
    ///
    /// ```no_run
    /// # fn demo(client: tidings_client::Client) -> Result<(), tidings_client::SubscribeError> {
    /// let subscription = client.subscribe(["orders/*", "stock/**"]).open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe<S: Into<String>>(&self, selectors: impl IntoIterator<Item = S>) -> Subscribe {
        Subscribe::new(self.clone(), selectors.into_iter().map(Into::into).collect())
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// Whether a token that was refused may be followed by another one.
    pub(crate) fn token_may_change(&self) -> bool {
        self.shared.tokens.may_change()
    }

    /// A request with the token of this attempt.
    pub(crate) async fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Interruption> {
        Ok(self.shared.http.request(method, url).headers(self.headers().await?))
    }

    /// The same, for one that asks for a WebSocket.
    pub(crate) async fn socket_request(
        &self,
        method: Method,
        url: Url,
    ) -> Result<RequestBuilder, Interruption> {
        Ok(self.shared.http1.request(method, url).headers(self.headers().await?))
    }

    async fn headers(&self) -> Result<HeaderMap, Interruption> {
        let mut headers = self.shared.headers.clone();
        if let Some(token) = self.shared.tokens.header().await? {
            headers.insert(AUTHORIZATION, token);
        }
        Ok(headers)
    }

    /// A socket is open, and events can be published through it.
    pub(crate) fn has_socket(&self, socket: &Arc<socket::Shared>) {
        *self.shared.socket.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(socket);
    }

    /// The socket that events can be published through, perhaps.
    pub(crate) fn socket(&self) -> Option<Arc<socket::Shared>> {
        self.shared.socket.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

/// Sends a request, and lets its answer through where all is well and its head comes within `patience`: see
/// [`answer::check`].
pub(crate) async fn send(
    client: &Client,
    request: RequestBuilder,
    wanted: &str,
    patience: Duration,
) -> Result<Option<Response>, Failure> {
    answer::check(ask(client, request, patience).await?, wanted).await
}

/// Sends a request, and lets any answer through whose head comes within `patience`.
pub(crate) async fn ask(
    client: &Client,
    request: RequestBuilder,
    patience: Duration,
) -> Result<Response, Failure> {
    match timeout(patience, request.send()).await {
        Ok(Ok(response)) => {
            client.shared.is_answered.store(true, Relaxed);
            Ok(response)
        }
        Ok(Err(error)) => {
            let is_lasting = certificate::is_lasting(&error);
            Err(match Interruption::of_request(error) {
                // Later, something on the way may show its own for a while, as a captive portal does.
                Interruption::Untrusted(reason) if is_lasting && !client.shared.is_answered.load(Relaxed) => {
                    Failure::Untrusted(reason)
                }
                reason => reason.into(),
            })
        }
        Err(_) => Err(Interruption::TimedOut { after: patience }.into()),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.shared.endpoint.base().as_str())
            .field("tokens", &self.shared.tokens)
            .finish()
    }
}

// === impl ClientBuilder ===

impl ClientBuilder {
    /// Sends this token with every request.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.tokens = Tokens::Fixed(token.into().into());
        self
    }

    /// Asks for the token anew before each request. Where the hub refuses a token, it is asked for once more
    /// before the refusal counts.
    ///
    /// ```
    /// use tidings_client::Client;
    /// let client = Client::builder("https://hub.example.com")
    ///     .token_supplier(|| async { tokio::fs::read_to_string("/run/secrets/hub-token").await })
    ///     .build()?;
    /// # Ok::<(), tidings_client::BuildError>(())
    /// ```
    pub fn token_supplier<F, Fut, E>(mut self, supply: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.tokens = Tokens::supplied(supply);
        self
    }

    /// Trusts the certificates of this PEM file, and no others: those of authorities, and the hub's own. The file is read
    /// when the client is built.
    ///
    /// A certificate that stands there itself is trusted for what it is: it may be one that signs itself, as `openssl req
    /// -x509` makes them, and name another host. Only its dates count.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.trust = Trust::File(path.into());
        self
    }

    /// The same, with the text of such a file.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust = Trust::Pem(pem.into());
        self
    }

    /// Sends these fields with every request. The client's own (`Accept`, `Content-Type`, `Idempotency-Key`, and
    /// `Authorization` where there is a token) take the place of those. `Debug` shows their names alone.
    pub fn headers(mut self, mut headers: HeaderMap) -> Self {
        for own in [ACCEPT.as_str(), CONTENT_TYPE.as_str(), "idempotency-key", "last-event-id"] {
            headers.remove(own);
        }
        self.headers = headers;
        self
    }

    /// Goes through this proxy. Without one, the system's settings hold (`HTTPS_PROXY` and its like), but for a hub on this
    /// machine.
    pub fn proxy(mut self, proxy: reqwest::Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sends requests by this HTTP client instead of one of its own. It should follow no redirects, and have no time-outs
    /// for whole requests, which would cut streams. By one that speaks HTTP/2, no WebSocket can be opened over TLS. Where it has no settings for TLS of its own, the program has to install a
    /// provider of cryptography for rustls.
    pub fn http_client(mut self, http: reqwest::Client) -> Self {
        self.http = Some(http);
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`BuildError`] where the URL is not that of a hub, the token cannot be sent, or the certificates cannot be read.
    pub fn build(self) -> Result<Client, BuildError> {
        let endpoint = Endpoint::new(&self.url)?;
        if let Tokens::Fixed(token) = &self.tokens {
            token::bearer(token).ok_or(BuildError::InvalidToken)?;
        }
        let (http, http1) = match self.http {
            Some(_) if self.proxy.is_some() || self.trust.is_own() => return Err(BuildError::OwnClient),
            Some(http) => (http.clone(), http),
            None => {
                let tls = self.trust.tls()?;
                let mut tls1 = tls.clone();
                tls1.alpn_protocols = vec![b"http/1.1".to_vec()];
                let http1 = http(&endpoint, tls1, self.proxy.clone()).http1_only();
                (built(http(&endpoint, tls, self.proxy))?, built(http1)?)
            }
        };
        let shared = ClientState {
            endpoint,
            http,
            http1,
            tokens: self.tokens,
            headers: self.headers,
            socket: Mutex::default(),
            is_answered: AtomicBool::new(false),
        };
        Ok(Client { shared: Arc::new(shared) })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("ClientBuilder")
            .field("url", &self.url)
            .field("tokens", &self.tokens)
            .field("trust", &self.trust)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

/// No time-outs of whole requests here: each kind of request has its own.
fn http(
    endpoint: &Endpoint,
    tls: rustls::ClientConfig,
    proxy: Option<reqwest::Proxy>,
) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("tidings-client/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        // A redirect could turn a publish into a read, or carry the token elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(defaults::CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(defaults::KEEP_ALIVE)
        // Without these, a new attempt could go on over a connection that is dead.
        .http2_keep_alive_interval(defaults::KEEP_ALIVE)
        .http2_keep_alive_timeout(defaults::KEEP_ALIVE)
        .http2_keep_alive_while_idle(true);
    match proxy {
        Some(proxy) => builder.proxy(proxy),
        None if endpoint.is_loopback() => builder.no_proxy(),
        None => builder,
    }
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, BuildError> {
    builder.build().map_err(|error| BuildError::Http(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_cannot_be_sent_is_refused_at_once() {
        let built = Client::builder("http://hub").token("two words").build();
        assert!(matches!(built, Err(BuildError::InvalidToken)));
    }

    #[test]
    fn no_secret_is_shown() {
        let builder = Client::builder("http://hub").token("s3cret");
        assert!(!format!("{builder:?}{:?}", builder.clone().build()).contains("s3cret"));
    }
}
