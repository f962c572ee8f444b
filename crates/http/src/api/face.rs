use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::Method;
use tidings_hub::Hub;
use tidings_protocol::ProblemKind;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::lease::Subjects;
use crate::api::metrics::Metrics;
use crate::api::problem::Refusal;
use crate::api::rate::Rates;
use crate::api::turns::Turns;
use crate::delivery::lately::Lately;
use crate::delivery::memory::Budget;
use crate::delivery::parking::FaceLot;
use crate::{
    Auth, Authorize, HttpConfig, api::access, api::guard, api::publish, api::query, api::read, api::status,
    api::topics, defaults, delivery::mounted,
};

/// A hub with its HTTP face. Clones are the same face.
#[derive(Debug, Clone)]
pub struct Face(Arc<Parts>);

/// A face that is being made: who may use it is said here, and nowhere else.
#[derive(Debug, Clone)]
#[must_use = "a face is there when it is built"]
pub struct FaceBuilder {
    hub: Hub,
    config: HttpConfig,
    auth: Auth,
    dropped_log_lines: Option<fn() -> u64>,
}

/// What a face consists of. Every request has the face, so that is one pointer.
#[derive(Debug, Clone)]
pub struct Parts {
    pub(crate) hub: Hub,
    pub(crate) config: Arc<HttpConfig>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) draining: CancellationToken,
    pub(crate) auth: Auth,
    pub(crate) subjects: Subjects,
    /// Requests that are under way in other programs, by address.
    pub(crate) addresses: Subjects,
    /// All of them.
    pub(crate) under_way: TaskTracker,
    pub(crate) rates: Arc<Rates>,
    /// The memory for bodies of requests that are under way.
    pub(crate) bodies: Budget,
    /// The memory for what readers have not taken yet.
    pub(crate) answers: Budget,
    /// Events that readers are in the middle of.
    pub(crate) lately: Arc<Lately>,
    /// Turns to parse large bodies.
    pub(crate) parses: Arc<Semaphore>,
    /// Turns to list the topics.
    pub(crate) listings: Turns,
    /// The shards that deliver what readers wait for.
    pub(crate) lot: FaceLot,
    /// Counts the lines of the program's log that were lost.
    pub(crate) dropped_log_lines: Option<fn() -> u64>,
}

const TOPIC: &str = "/topics/{*topic}";

// === impl Face ===

impl Deref for Face {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Face {
    /// Begins to give a hub its face. Nobody may do anything, until the builder is told who may.
    pub fn builder(hub: Hub, config: HttpConfig) -> FaceBuilder {
        FaceBuilder { hub, config, auth: Auth::closed(), dropped_log_lines: None }
    }

    fn new(builder: FaceBuilder) -> Self {
        let FaceBuilder { hub, config, auth, dropped_log_lines } = builder;
        let metrics = Arc::new(Metrics::new());
        Self(Arc::new(Parts {
            hub,
            rates: Arc::new(Rates::new(&config)),
            bodies: Budget::new(config.max_buffered_bytes, &metrics),
            answers: Budget::new(config.max_buffered_bytes, &metrics),
            config: Arc::new(config),
            metrics,
            draining: CancellationToken::new(),
            auth,
            subjects: Subjects::default(),
            addresses: Subjects::default(),
            under_way: TaskTracker::new(),
            lately: Arc::default(),
            parses: Arc::new(Semaphore::new(defaults::PARSES)),
            listings: Turns::new(defaults::LISTINGS),
            lot: FaceLot::default(),
            dropped_log_lines,
        }))
    }

    /// The routes of §2 to §4, to be served alone or nested in another router. Whoever the face was built for may use
    /// them.
    ///
    /// Limits by address need to know where requests come from. Where the router is served with
    /// [`ConnectInfo`](axum::extract::ConnectInfo), that is whoever is at the other end of the connection, or whom a
    /// [trusted proxy](HttpConfig::trusted_proxies) there names. A layer of the program that knows better puts a
    /// [`ClientAddress`](crate::ClientAddress) into a request's extensions. Without either there are no such limits.
    /// As the hub does not see connections here, [`max_connections_per_address`](HttpConfig::max_connections_per_address)
    /// counts requests that are under way.
    ///
    /// Layers of the program see every request. Its own compression must leave `text/event-stream` alone, as that of
    /// `tower-http` does.
    pub fn router(&self) -> Router {
        self.routes(Router::new(), true)
    }

    /// The same for a server of the hub's own, with further routes, to which no request comes either that is refused at
    /// the door.
    pub(crate) fn router_beside(&self, beside: Router) -> Router {
        self.routes(beside, false)
    }

    fn routes(&self, beside: Router, is_mounted: bool) -> Router {
        let routes = Router::new()
            .route("/topics", any(list))
            .route("/topics/", any(async |State(face): State<Self>, request| topic(&face, request).await))
            .route(TOPIC, any(async |State(face): State<Self>, request| topic(&face, request).await))
            .route("/events", any(events))
            .route("/healthz", any(health))
            .route("/readyz", any(ready))
            .route("/metrics", any(metrics))
            .route("/openapi.json", any(describe))
            .fallback(not_found)
            .with_state(self.clone())
            .merge(beside);
        let routes = match self.config.cors.layer() {
            Some(cors) => routes.layer(cors),
            None => routes,
        };
        let routes = routes.layer(from_fn_with_state(self.clone(), guarded));
        let routes = match is_mounted {
            true => routes.layer(from_fn_with_state(self.clone(), mounted::admit)),
            false => routes,
        };
        routes.layer(from_fn_with_state(self.clone(), access::observe))
    }

    /// Answers what publishes to a topic or reads one as the [routes](Self::router) do, for half of what the way through
    /// a router takes. Gives back any other request, and every one where browsers of other origins are to be answered.
    pub(crate) async fn answer(&self, request: Request) -> Result<Response, Request> {
        // Of an answer to HEAD, a router takes away the body.
        let is_own = matches!(*request.method(), Method::GET | Method::POST)
            && request.uri().path().starts_with("/topics/");
        if !is_own || !self.config.cors.is_off() {
            return Err(request);
        }
        let answer = async |request| match guard::check(self, &request) {
            Ok(()) => topic(self, request).await,
            Err(refusal) => refusal.into_response(),
        };
        Ok(access::observed(self, TOPIC, request, answer).await)
    }

    /// Begins to shut down (§4): held polls are answered with what they have, and streams end between two
    /// events, each with a `retry:` of its own. New streams get the same. It does not wait for any of them; see
    /// [`closed`](Self::closed).
    pub fn drain(&self) {
        self.draining.cancel();
        self.lot.drain();
    }

    /// The same face for the threads of a lot, which do not keep the lot itself.
    pub(crate) fn without_lot(&self) -> Self {
        Self(Arc::new(Parts { lot: FaceLot::default(), ..Parts::clone(self) }))
    }

    /// Waits for a signal, and [drains](Self::drain): what `axum::serve` takes to shut down gracefully.
    ///
    /// ```no_run
    /// # async fn run(listener: tokio::net::TcpListener, app: axum::Router, face: tidings_http::Face) -> std::io::Result<()> {
    /// let signal = async { tokio::signal::ctrl_c().await.unwrap() };
    /// axum::serve(listener, app).with_graceful_shutdown(face.drain_on(signal)).await?;
    /// face.hub().close().await.unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain_on<F: Future<Output = ()>>(&self, signal: F) -> impl Future<Output = ()> + use<F> {
        let face = self.clone();
        async move {
            signal.await;
            face.drain();
        }
    }

    /// Waits until the face begins to drain.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Waits until the face drains and every request that came to its [router](Self::router) is answered to the end. Whoever
    /// takes nothing of an answer can keep it open, so give it a time-out.
    pub async fn closed(&self) {
        self.draining().await;
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// How many connections the face's server has taken since it began.
    #[must_use]
    pub fn accepted_connections(&self) -> u64 {
        self.metrics.accepted.get()
    }

    /// How many readers have come to the face's server since it began, on connections of their own or not: connections that
    /// were taken, and streams of HTTP/2 that wait. Each took memory for a moment that it needs no longer.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.metrics.accepted.get() + self.metrics.waiting_streams.load(Ordering::Relaxed)
    }

    /// The hub behind the face.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

// === impl FaceBuilder ===

impl FaceBuilder {
    /// Lets everybody do everything who can reach the face.
    pub fn open_to_everyone(self) -> Self {
        self.auth(Auth::open())
    }

    /// Lets programs on this machine do everything, and nobody else anything. See [`Auth::open_to_this_machine`].
    pub fn open_to_this_machine(self) -> Self {
        self.auth(Auth::open_to_this_machine())
    }

    /// Lets everybody read the topics that they know, and do nothing else: the program itself publishes.
    pub fn read_only(self) -> Self {
        self.auth(Auth::read_only())
    }

    /// Lets the program decide for each request, by its session for example.
    pub fn authorize(self, authorize: impl Authorize) -> Self {
        self.auth(Auth::by(authorize))
    }

    /// Decides by tokens, or by whatever this is made for.
    pub fn auth(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    /// Tells how many lines of the program's own log were lost, for the metric `tidings_log_lines_dropped_total`.
    pub fn dropped_log_lines(self, dropped: fn() -> u64) -> Self {
        Self { dropped_log_lines: Some(dropped), ..self }
    }

    /// The face. Who may do what is settled with it.
    pub fn build(self) -> Face {
        Face::new(self)
    }
}

/// Keeps out what is refused before anything else of it is looked at.
async fn guarded(State(face): State<Face>, request: Request, next: Next) -> Response {
    match guard::check(&face, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => face.config.cors.show(&request.map(|_| ()), refusal.into_response()).await,
    }
}

async fn topic(face: &Face, request: Request) -> Response {
    let answer = match *request.method() {
        Method::GET | Method::HEAD => {
            let (parts, _) = request.into_parts();
            match query::path_topic(parts.uri.path()).and_then(|text| query::selector(&text)) {
                Ok(selector) => read::answer(face, &parts, vec![selector]).await,
                Err(refusal) => Err(refusal),
            }
        }
        Method::POST => publish::to_topic(face, request).await,
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

async fn describe(method: Method) -> Response {
    only_get(&method, status::description)
}

fn only_get(method: &Method, answer: impl FnOnce() -> Response) -> Response {
    match *method {
        Method::GET | Method::HEAD => answer(),
        _ => Refusal::method("GET, HEAD").into_response(),
    }
}

async fn not_found() -> Response {
    let detail =
        "the paths are /topics, /topics/{topic}, /events, /healthz, /readyz, /metrics and /openapi.json";
    Refusal::new(ProblemKind::NotFound, detail).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use tidings_protocol::ProblemKind;

    use super::TOPIC;

    fn description() -> Value {
        serde_json::from_str(include_str!("openapi.json")).unwrap()
    }

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let source = include_str!("face.rs");
        let (source, _) = source.split_once("mod tests").unwrap();
        let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let routes = routes.filter(|path| *path != "/topics/").chain([TOPIC]);
        let routes: BTreeSet<String> = routes.map(|path| path.replace("{*", "{")).collect();
        let paths: BTreeSet<String> = description()["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(paths, routes);
    }

    #[test]
    fn the_description_is_of_this_version_and_has_every_problem() {
        let description = description();
        assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
        let text = description["components"]["responses"].to_string();
        for kind in ProblemKind::ALL {
            assert!(text.contains(&format!("\"urn:tidings:{}\"", kind.name())), "{}", kind.name());
        }
    }

    /// The tables of the documentation name what a request may have.
    #[test]
    fn the_description_has_what_the_documentation_names() {
        let parameters = description()["components"]["parameters"].to_string();
        let page = include_str!("../../../../docs/protocol.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let mut found = 0;
        for name in rows {
            let name = name.trim_start_matches('?').split([':', '=', ' ']).next().unwrap();
            // Not media types, nor names of problems.
            let is_parameter = !name.contains('/') && name != "Content-Type" && name != "invalid-topic";
            let is_problem = ProblemKind::ALL.iter().any(|kind| kind.name() == name);
            if is_parameter && !is_problem {
                assert!(parameters.contains(&format!("\"name\":\"{name}\"")), "{name}");
                found += 1;
            }
        }
        assert!(found >= 10, "{found}");
    }
}
