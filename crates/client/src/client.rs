use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Response, Url};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::timeout;

use crate::answer::{self, Failure};
use crate::endpoint::Endpoint;
use crate::token::{self, Tokens};
use crate::{BuildError, Interruption, Message, Publish, Subscribe, defaults};

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
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    http: reqwest::Client,
    tokens: Tokens,
}

/// Settings of a [`Client`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientBuilder {
    url: String,
    tokens: Tokens,
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
        ClientBuilder { url: url.to_owned(), tokens: Tokens::None }
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

    /// Ends a topic without a further event.
    pub fn close(&self, topic: impl Into<String>) -> Publish {
        Publish::new(self.clone(), topic.into(), Vec::new()).close()
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
        let request = self.shared.http.request(method, url);
        Ok(match self.shared.tokens.header().await? {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        })
    }
}

/// Sends a request, and lets its answer through where all is well and its head comes within `patience`.
pub(crate) async fn send(request: RequestBuilder, patience: Duration) -> Result<Response, Failure> {
    match timeout(patience, request.send()).await {
        Ok(Ok(response)) => answer::check(response).await,
        Ok(Err(error)) => Err(Interruption::of_request(error).into()),
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

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`BuildError`] where the URL is not that of a hub, or the token cannot be sent.
    pub fn build(self) -> Result<Client, BuildError> {
        let endpoint = Endpoint::new(&self.url)?;
        if let Tokens::Fixed(token) = &self.tokens {
            token::bearer(token).ok_or(BuildError::InvalidToken)?;
        }
        let http = http(&endpoint)?;
        Ok(Client { shared: Arc::new(Shared { endpoint, http, tokens: self.tokens }) })
    }
}

/// No time-outs of whole requests here: each kind of request has its own.
fn http(endpoint: &Endpoint) -> Result<reqwest::Client, BuildError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("tidings-client/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls()?)
        // A redirect could turn a publish into a read, or carry the token elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(defaults::CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(defaults::KEEP_ALIVE)
        // Without these, a new attempt could go on over a connection that is dead.
        .http2_keep_alive_interval(defaults::KEEP_ALIVE)
        .http2_keep_alive_timeout(defaults::KEEP_ALIVE)
        .http2_keep_alive_while_idle(true);
    if endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| BuildError::Http(error.to_string()))
}

fn tls() -> Result<rustls::ClientConfig, BuildError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BuildError::Http(error.to_string()))?;
    let verified = builder.clone().with_platform_verifier();
    let mut config = verified
        // A bare container has no certificates of authorities. Plain HTTP works there all the same.
        .unwrap_or_else(|_| builder.with_root_certificates(rustls::RootCertStore::empty()))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
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
