//! A web program with accounts of its own and a hub inside: sessions by cookie, its own middleware, pages of another
//! origin, and an end that leaves nobody hanging. docs/embedding.md goes through it.
//!
//! `cargo run --release -p example-embedded`, then open <http://127.0.0.1:8094>.

mod sessions;

use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tidings::{
    Api, Batch, Cors, Denied, Grant, HttpConfig, Hub, HubConfig, MemoryLog, NewEvent, Retention, Rights,
    Topic,
};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tower_http::cors::CorsLayer;

use crate::sessions::Sessions;

/// Who sent a request. A layer finds it out for every request, those to the hub among them.
#[derive(Debug, Clone)]
struct User(String);

/// Pages of this origin may use the program too, as whoever is logged in.
const OTHER_ORIGIN: &str = "http://localhost:3000";
/// How long whoever takes nothing of an answer is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8094".into());
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    let hub = Hub::new(Arc::new(log), HubConfig::default());
    let cors = Cors::new(&[OTHER_ORIGIN.into()], Duration::from_secs(3_600))?;
    let config = HttpConfig { cors, publish_rate_per_address: 10, ..HttpConfig::default() };
    let api = Api::builder(hub.clone(), config).authorize(rights).build();

    let listener = TcpListener::bind(address).await?;
    writeln!(io::stdout(), "open http://{}", listener.local_addr()?)?;
    // With the address of each client, so that limits by address can count.
    let app = app(&hub, &api).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(api.drain_on(asked_to_end()));
    tokio::select! {
        served = server => served?,
        () = async { api.draining().await; sleep(PATIENCE).await } => {}
    }
    hub.close().await?;
    Ok(())
}

fn app(hub: &Hub, api: &Api) -> Router {
    let sessions = Sessions::default();
    let own = Router::new()
        .route("/", get(async || Html(include_str!("../page.html"))))
        .route("/login", post(login))
        .route("/greet", post(greet))
        .with_state((hub.clone(), sessions.clone()))
        .layer(CorsLayer::new().allow_origin(HeaderValue::from_static(OTHER_ORIGIN)).allow_credentials(true));
    // The hub says itself which origins it allows: two layers would both write the fields.
    own.nest("/push", api.router()).layer(from_fn_with_state(sessions, identify))
}

/// What the hub lets somebody do: read the news and what is their own, and write to themselves.
fn rights(request: &Parts) -> impl Future<Output = Result<Grant, Denied>> + Send + use<> {
    let user = request.extensions.get::<User>().cloned();
    async move {
        let Some(User(name)) = user else { return Err(Denied::unauthorized("log in first, at /login")) };
        let own = |rest: &str| {
            let selector = format!("users/{name}/{rest}").parse();
            selector.map_err(|_| Denied::forbidden("this name cannot have topics"))
        };
        let news = "news".parse().map_err(|_| Denied::forbidden("there are no news"))?;
        let rights =
            Rights { subscribe: vec![news, own("**")?], publish: vec![own("notes")?], ..Rights::none() };
        Ok(Grant { subject: Some(name), ..Grant::from(rights) })
    }
}

/// The program's middleware: finds out who asks, and marks every answer.
async fn identify(State(sessions): State<Sessions>, mut request: Request, next: Next) -> Response {
    if let Some(name) = sessions.user(request.headers()) {
        request.extensions_mut().insert(User(name));
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(HeaderName::from_static("x-program"), HeaderValue::from_static("embedded"));
    response
}

/// Takes any name. A real program asks for more.
async fn login(State((_, sessions)): State<(Hub, Sessions)>, name: String) -> Response {
    if name.is_empty() || name.len() > 32 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return (StatusCode::BAD_REQUEST, "a name has up to 32 letters and digits").into_response();
    }
    match sessions.begin(name) {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], "welcome").into_response(),
        None => {
            (StatusCode::SERVICE_UNAVAILABLE, "there are as many sessions as there may be").into_response()
        }
    }
}

/// Publishes from Rust, to a topic that only this program writes to.
async fn greet(State((hub, _)): State<(Hub, Sessions)>, user: Option<Extension<User>>) -> Response {
    let Some(Extension(User(name))) = user else {
        return (StatusCode::UNAUTHORIZED, "log in first").into_response();
    };
    let Ok(topic) = Topic::new("news") else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    match hub.publish(Batch::of(NewEvent::text(topic, format!("{name} says hello")))).await {
        Ok(_) => "said".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// Resolves when the program is asked to end.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
