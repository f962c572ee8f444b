//! Which handler answers which path.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::Method;
use tidings_protocol::ProblemKind;

use crate::Api;
use crate::api::problem::Refusal;
use crate::api::reply::Reply;
use crate::{
    api::access, api::delete, api::guard, api::mounted, api::publish, api::query, api::read, api::status,
    api::topics, api::websocket,
};

const TOPIC: &str = "/topics/{*topic}";

impl Api {
    /// The routes of §2 to §4, to be served alone or nested in another router. Whoever the API was built for may use
    /// them.
    ///
    /// Limits by address need to know where requests come from. Where the router is served with
    /// [`ConnectInfo`](axum::extract::ConnectInfo), that is whoever is at the other end of the connection, or whom a
    /// [trusted proxy](crate::HttpConfig::trusted_proxies) there names. A layer of the program that knows better puts a
    /// [`ClientAddress`](crate::ClientAddress) into a request's extensions. Without either there are no such limits.
    /// As the hub does not see connections here, [`max_connections_per_address`](crate::HttpConfig::max_connections_per_address)
    /// counts requests that are under way.
    ///
    /// Layers of the program see every request. Its own compression must leave `text/event-stream` alone, as that of
    /// `tower-http` does.
    pub fn router(&self) -> Router {
        self.routes(Router::new(), true)
    }

    /// The same with further routes, to which no request comes either that is refused at the door. They must be other ones, and
    /// have no fallback.
    pub fn router_with(&self, beside: Router) -> Router {
        self.routes(beside, true)
    }

    /// The same for a server of the hub's own, with further routes, to which no request comes either that is refused at
    /// the door.
    pub(crate) fn router_beside(&self, beside: Router) -> Router {
        self.routes(beside, false)
    }

    fn routes(&self, beside: Router, is_mounted: bool) -> Router {
        let routes = Router::new()
            .route("/topics", any(list))
            .route("/topics/", any(async |State(api): State<Self>, request| topic(&api, request).await))
            .route(TOPIC, any(async |State(api): State<Self>, request| topic(&api, request).await))
            .route("/events", any(events))
            .route("/socket", any(socket))
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
}

/// Keeps out what is refused before anything else of it is looked at.
async fn guarded(State(api): State<Api>, request: Request, next: Next) -> Response {
    match guard::check(&api, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => api.config.cors.show(&request.map(|_| ()), refusal.into_response()).await,
    }
}

async fn topic(api: &Api, request: Request) -> Response {
    let answer = match *request.method() {
        _ if is_socket(&request) => {
            let (parts, _) = request.into_parts();
            match query::path_topic(parts.uri.path()).and_then(|text| query::selector(&text)) {
                Ok(selector) => websocket::answer(api, &parts, Some(vec![selector])).await,
                Err(refusal) => Err(refusal),
            }
        }
        Method::GET | Method::HEAD => {
            let (parts, _) = request.into_parts();
            match query::path_topic(parts.uri.path()).and_then(|text| query::selector(&text)) {
                Ok(selector) => read::answer(api, &parts, vec![selector]).await,
                Err(refusal) => Err(refusal),
            }
        }
        Method::POST => publish::to_topic(api, request).await.map(Reply::Whole),
        Method::DELETE => delete::answer(api, request).await.map(Reply::Whole),
        _ => Err(Refusal::method("GET, HEAD, POST, DELETE")),
    };
    answer.into_response()
}

async fn events(State(api): State<Api>, request: Request) -> Response {
    let answer = match *request.method() {
        _ if is_socket(&request) => {
            let (parts, _) = request.into_parts();
            match read::selectors(&api, &parts) {
                Ok(selectors) => websocket::answer(&api, &parts, Some(selectors)).await,
                Err(refusal) => Err(refusal),
            }
        }
        Method::GET | Method::HEAD => {
            let (parts, _) = request.into_parts();
            match read::selectors(&api, &parts) {
                Ok(selectors) => read::answer(&api, &parts, selectors).await,
                Err(refusal) => Err(refusal),
            }
        }
        Method::POST => publish::to_topics(&api, request).await.map(Reply::Whole),
        _ => Err(Refusal::method("GET, HEAD, POST")),
    };
    answer.into_response()
}

/// `GET /socket`: a WebSocket that begins without a subscription.
async fn socket(State(api): State<Api>, request: Request) -> Response {
    match *request.method() {
        _ if is_socket(&request) => {
            websocket::answer(&api, &request.into_parts().0, None).await.into_response()
        }
        Method::GET => websocket::not_asked(),
        _ => Refusal::method("GET").into_response(),
    }
}

fn is_socket(request: &Request) -> bool {
    websocket::is_asked(request.method(), request.headers(), request.extensions())
}

async fn list(State(api): State<Api>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => topics::answer(&api, &request.into_parts().0).await.into_response(),
        _ => Refusal::method("GET, HEAD").into_response(),
    }
}

async fn health(State(api): State<Api>, method: Method) -> Response {
    only_get(&method, || status::health(&api))
}

async fn ready(State(api): State<Api>, method: Method) -> Response {
    only_get(&method, || status::ready(&api))
}

async fn metrics(State(api): State<Api>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => status::metrics(&api, &request.into_parts().0).await.into_response(),
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
    let detail = "the paths are /topics, /topics/{topic}, /events, /socket, /healthz, /readyz, /metrics and /openapi.json";
    Refusal::new(ProblemKind::NotFound, detail).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use tidings_protocol::ProblemKind;

    use super::TOPIC;

    /// What relays have beside the API, where there are some.
    const RELAY: &str = "/relay/{name}/{*path}";

    fn description() -> Value {
        serde_json::from_str(include_str!("openapi.json")).unwrap()
    }

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let source = include_str!("routes.rs");
        let (source, _) = source.split_once("mod tests").unwrap();
        let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let routes = routes.filter(|path| *path != "/topics/").chain([TOPIC, RELAY]);
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
            let name = name.trim_start_matches(['?', '&']).split([':', '=', ' ']).next().unwrap();
            // Not media types, messages, nor names of problems.
            let is_parameter =
                !name.contains(['/', '{']) && name != "Content-Type" && name != "invalid-topic";
            let is_problem = ProblemKind::ALL.iter().any(|kind| kind.name() == name);
            if is_parameter && !is_problem {
                assert!(parameters.contains(&format!("\"name\":\"{name}\"")), "{name}");
                found += 1;
            }
        }
        assert!(found >= 10, "{found}");
    }
}
