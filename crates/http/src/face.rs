use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::Method;
use tidings_hub::Hub;
use tidings_protocol::ProblemKind;
use tokio_util::sync::CancellationToken;

use crate::lease::Subjects;
use crate::metrics::Metrics;
use crate::problem::Refusal;
use crate::rate::Rates;
use crate::{Auth, HttpConfig, access, publish, query, read, status, topics};

/// A hub with its HTTP face. Clones are the same face.
#[derive(Debug, Clone)]
pub struct Face {
    pub(crate) hub: Hub,
    pub(crate) config: Arc<HttpConfig>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) draining: CancellationToken,
    pub(crate) auth: Auth,
    pub(crate) subjects: Subjects,
    pub(crate) rates: Arc<Rates>,
}

// === impl Face ===

impl Face {
    /// Gives a hub its face. Everybody may do everything, until [`with_auth`](Self::with_auth) says otherwise.
    #[must_use]
    pub fn new(hub: Hub, config: HttpConfig) -> Self {
        Self {
            hub,
            rates: Arc::new(Rates::new(&config)),
            config: Arc::new(config),
            metrics: Arc::new(Metrics::new()),
            draining: CancellationToken::new(),
            auth: Auth::open(),
            subjects: Subjects::default(),
        }
    }

    /// Asks for tokens.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// The routes of §2 to §4, to be served alone or nested in another router.
    pub fn router(&self) -> Router {
        let routes = Router::new()
            .route("/topics", any(list))
            .route("/topics/", any(topic))
            .route("/topics/{*topic}", any(topic))
            .route("/events", any(events))
            .route("/healthz", any(health))
            .route("/readyz", any(ready))
            .route("/metrics", any(metrics))
            .fallback(not_found)
            .with_state(self.clone());
        let routes = match self.config.cors.layer() {
            Some(cors) => routes.layer(cors),
            None => routes,
        };
        routes.layer(from_fn_with_state(self.clone(), access::observe))
    }

    /// Begins to shut down (§4): held polls are answered with what they have, and streams end between two
    /// events, each with a `retry:` of its own. New streams get the same. It does not wait for any of them.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// How many connections the face's server has taken since it began.
    #[must_use]
    pub fn accepted_connections(&self) -> u64 {
        self.metrics.accepted.get()
    }

    /// The hub behind the face.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

async fn topic(State(face): State<Face>, request: Request) -> Response {
    let answer = match *request.method() {
        Method::GET | Method::HEAD => {
            let (parts, _) = request.into_parts();
            match query::path_topic(parts.uri.path()).and_then(|text| query::selector(&text)) {
                Ok(selector) => read::answer(&face, &parts, vec![selector]).await,
                Err(refusal) => Err(refusal),
            }
        }
        Method::POST => publish::to_topic(&face, request).await,
        _ => Err(Refusal::method("GET, HEAD, POST")),
    };
    answer.into_response()
}

async fn events(State(face): State<Face>, request: Request) -> Response {
    let answer = match *request.method() {
        Method::GET | Method::HEAD => {
            let (parts, _) = request.into_parts();
            match read::selectors(&face, &parts) {
                Ok(selectors) => read::answer(&face, &parts, selectors).await,
                Err(refusal) => Err(refusal),
            }
        }
        Method::POST => publish::to_topics(&face, request).await,
        _ => Err(Refusal::method("GET, HEAD, POST")),
    };
    answer.into_response()
}

async fn list(State(face): State<Face>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => topics::answer(&face, &request.into_parts().0).await.into_response(),
        _ => Refusal::method("GET, HEAD").into_response(),
    }
}

async fn health(State(face): State<Face>, method: Method) -> Response {
    only_get(&method, || status::health(&face))
}

async fn ready(State(face): State<Face>, method: Method) -> Response {
    only_get(&method, || status::ready(&face))
}

async fn metrics(State(face): State<Face>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => status::metrics(&face, &request.into_parts().0).await.into_response(),
        _ => Refusal::method("GET, HEAD").into_response(),
    }
}

fn only_get(method: &Method, answer: impl FnOnce() -> Response) -> Response {
    match *method {
        Method::GET | Method::HEAD => answer(),
        _ => Refusal::method("GET, HEAD").into_response(),
    }
}

async fn not_found() -> Response {
    let detail = "the paths are /topics, /topics/{topic}, /events, /healthz, /readyz and /metrics";
    Refusal::new(ProblemKind::NotFound, detail).into_response()
}
