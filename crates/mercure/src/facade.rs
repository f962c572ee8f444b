//! What is answered at `/.well-known/mercure`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::Method;
use http::request::Parts;
use serde_json::{Map, Value};
use tidings_http::{Api, Refusal, TokenVerifier};
use tidings_hub::Hub;
use tidings_log::ReadError;
use tidings_protocol::Topic;
use url::Url;

use crate::config::{InvalidMercure, MercureConfig};
use crate::filter::Scope;
use crate::ids::Ids;
use crate::matcher::NOWHERE;
use crate::presented::{self, Carrier};
use crate::subscriptions::{ROOT, Subscriptions};
use crate::token::Token;
use crate::{publish, subscribe, subscriptions};

/// Mercure over a hub. Clones are the same.
///
/// ```no_run
/// use tidings_http::{Api, HttpConfig, Key};
/// use tidings_mercure::{Mercure, MercureConfig, MercureKeys};
/// # async fn run(hub: tidings_hub::Hub, listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
/// let keys = MercureKeys { keys: vec![Key::hs256(b"!ChangeThisMercureHubJWTSecretKey!")?], ..MercureKeys::default() };
/// let mercure = Mercure::new(MercureConfig { anonymous: true, ..MercureConfig::new(keys) })?;
/// let api = Api::builder(hub, HttpConfig::default()).build();
/// axum::serve(listener, api.router_with(mercure.router(&api))).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Mercure(Arc<Facade>);

#[derive(Debug)]
pub(crate) struct Facade {
    publisher: TokenVerifier,
    /// `None`, where the keys are the publishers'.
    subscriber: Option<TokenVerifier>,
    anonymous: bool,
    cookie: Option<String>,
    audience: Option<String>,
    scope: Arc<Scope>,
    ids: Ids,
    subscriptions: Option<Arc<Subscriptions>>,
}

#[derive(Debug, Clone)]
struct Served {
    api: Api,
    facade: Arc<Facade>,
}

const HUB: &str = "/.well-known/mercure";

// === impl Mercure ===

impl Mercure {
    /// Sets it up.
    ///
    /// # Errors
    /// [`InvalidMercure`] says what is wrong.
    pub fn new(config: MercureConfig) -> Result<Self, InvalidMercure> {
        let base = match &config.public_url {
            None => Url::parse(NOWHERE).map_err(|_| InvalidMercure::Url(NOWHERE.to_owned()))?,
            Some(text) => Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .ok_or_else(|| InvalidMercure::Url(text.clone()))?,
        };
        Ok(Self(Arc::new(Facade {
            publisher: config.publisher.verifier()?,
            subscriber: config.subscriber.as_ref().map(crate::MercureKeys::verifier).transpose()?,
            anonymous: config.anonymous,
            cookie: config.cookie,
            audience: config.audience.or(config.public_url),
            scope: Arc::new(Scope { public: config.public_topics, base }),
            ids: Ids::default(),
            subscriptions: config.subscriptions.then(Arc::default),
        })))
    }

    /// The routes, to be served beside those of an API.
    pub fn router(&self, api: &Api) -> Router {
        let served = Served { api: api.clone(), facade: Arc::clone(&self.0) };
        Router::new()
            .route(HUB, any(hub))
            .route(ROOT, any(list))
            .route(&format!("{ROOT}/{{*path}}"), any(list))
            .with_state(served)
    }

    /// Gets ready what the first requests need: keys that are published elsewhere, and the ids in the log.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read. Whoever asks for an id then waits for it.
    pub async fn warm(&self, hub: &Hub) -> Result<(), ReadError> {
        self.0.publisher.warm().await;
        if let Some(subscriber) = &self.0.subscriber {
            subscriber.warm().await;
        }
        self.0.ids.warm(hub).await
    }
}

// === impl Facade ===

impl Facade {
    pub(crate) fn base(&self) -> &Url {
        &self.scope.base
    }

    pub(crate) fn scope(&self) -> Arc<Scope> {
        Arc::clone(&self.scope)
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    pub(crate) fn subscriptions(&self) -> Option<Arc<Subscriptions>> {
        self.subscriptions.clone()
    }

    pub(crate) fn is_public(&self, topic: &Topic) -> bool {
        self.scope.public.iter().any(|selector| selector.matches(topic))
    }

    /// What somebody may do who publishes.
    pub(crate) async fn publisher(&self, api: &Api, parts: &Parts) -> Result<Token, Refusal> {
        let token = self.token(&self.publisher, api, parts).await?;
        token.ok_or_else(|| Refusal::no_token("publishing needs a token: send `Authorization: Bearer …`"))
    }

    /// What somebody may do who subscribes; `None`, where that needs no token and there is none.
    pub(crate) async fn subscriber(&self, api: &Api, parts: &Parts) -> Result<Option<Token>, Refusal> {
        let token = self.token(self.subscriber.as_ref().unwrap_or(&self.publisher), api, parts).await?;
        if token.is_none() && !self.anonymous {
            let detail =
                "subscribing needs a token: in `Authorization`, a cookie, or the parameter `authorization`";
            return Err(Refusal::no_token(detail));
        }
        Ok(token)
    }

    /// The same where a token is always needed.
    pub(crate) async fn subscriber_with_token(&self, api: &Api, parts: &Parts) -> Result<Token, Refusal> {
        let token = self.subscriber(api, parts).await?;
        token.ok_or_else(|| Refusal::no_token("active subscriptions are shown to those who have a token"))
    }

    async fn token(
        &self,
        verifier: &TokenVerifier,
        api: &Api,
        parts: &Parts,
    ) -> Result<Option<Token>, Refusal> {
        let Some((token, carrier)) = presented::token(parts, self.cookie.as_deref())? else {
            return Ok(None);
        };
        // Browsers send cookies by themselves, whoever made the page.
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        if carrier == Carrier::Cookie && !reads && !api.is_from_trusted_page(parts) {
            let detail = "a cookie is taken for publishing only with an `Origin` that is the hub's own, or that `[cors] origins` names";
            return Err(Refusal::bad_token(detail));
        }
        let verified = verifier.verify::<Map<String, Value>>(&token).await?;
        Token::new(verified, self.audience.as_deref(), self.base()).map(Some)
    }
}

async fn hub(State(Served { api, facade }): State<Served>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match parts.method {
        Method::GET | Method::HEAD => subscribe::answer(&facade, &api, &parts).await,
        Method::POST => publish::answer(&facade, &api, &parts, body).await.into_response(),
        _ => Refusal::method("GET, HEAD, POST").into_response(),
    }
}

async fn list(State(Served { api, facade }): State<Served>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::GET | Method::HEAD => subscriptions::answer(&facade, &api, &parts).await.into_response(),
        _ => Refusal::method("GET, HEAD").into_response(),
    }
}
