//! The API as a router in somebody else's program.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as Asked;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use http::request::Parts;
use http_body_util::BodyExt as _;
use tidings_http::{Api, ClientAddress, Cors, Denied, Grant, HttpConfig, Rights, defaults};
use tidings_hub::Hub;
use tidings_log::Batch;
use tidings_protocol::{NewEvent, Topic};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::support::{Block, FaultyLog, Request, Setup, Stream, Wire, within};

/// Serves the API under a prefix of an application that has a route of its own.
async fn embedded(prefix: &str, setup: Setup) -> (SocketAddr, Api) {
    let api = Api::builder(setup.hub(), setup.http.clone()).open_to_everyone().build();
    let app = Router::new().route("/own", get(async || "own")).nest(prefix, api.router());
    (serve(app).await, api)
}

/// Serves a program's routes, which are told who is at the other end of a connection.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    address
}

/// The statuses of what there is to ask of a hub.
async fn statuses(address: SocketAddr, fields: &[(&str, &str)]) -> [u16; 6] {
    let mut statuses = [0; 6];
    let requests = [
        Request::post("/topics/a", "x"),
        Request::get("/topics/a"),
        Request::stream("/events?topic=**&since=earliest"),
        Request::get("/topics"),
        Request::get("/metrics"),
        Request::get("/healthz"),
    ];
    for (status, request) in statuses.iter_mut().zip(requests) {
        let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
        let mut wire = Wire::connect(address).await;
        wire.send(request.bytes()).await;
        *status = wire.head().await.status;
    }
    statuses
}

#[tokio::test]
async fn nobody_may_do_anything_until_the_program_says_who_may() {
    let build = || Api::builder(Setup::new().hub(), HttpConfig::default());
    for (api, expected) in [
        (build().build(), [403, 403, 403, 403, 403, 200]),
        (build().read_only().build(), [403, 200, 200, 403, 403, 200]),
        (build().open_to_everyone().build(), [201, 200, 200, 200, 200, 200]),
        // These ask for `hub`.
        (build().open_to_this_machine().build(), [421; 6]),
    ] {
        let address = serve(api.router()).await;
        assert_eq!(statuses(address, &[]).await, expected);
        if expected[1] == 403 {
            let refused = Wire::connect(address).await.ask(&Request::get("/topics/a")).await;
            assert!(refused.problem(403, "forbidden").contains("Api::builder"));
        }
    }
}

#[tokio::test]
async fn the_program_decides_by_its_own_session() {
    let authorize = |request: &Parts| {
        let cookie = request.headers.get("cookie").and_then(|cookie| cookie.to_str().ok());
        let rights = match cookie {
            Some("session=ann") => Rights { publish: vec!["a".parse().unwrap()], ..Rights::read_only() },
            Some("session=bob") => Rights::read_only(),
            Some("session=root") => Rights::all(),
            _ => Rights::none(),
        };
        let subject = cookie.map(str::to_owned);
        async move { Grant { subject, ..Grant::from(rights) } }
    };
    let config = HttpConfig { max_connections_per_subject: 1, ..HttpConfig::default() };
    let api = Api::builder(Setup::new().hub(), config).authorize(authorize).build();
    let address = serve(Router::new().nest("/push", api.router())).await;
    let own = serve(api.router()).await;
    assert_eq!(statuses(own, &[]).await, [403, 403, 403, 403, 403, 200]);
    assert_eq!(statuses(own, &[("cookie", "session=ann")]).await, [201, 200, 200, 403, 403, 200]);
    assert_eq!(statuses(own, &[("cookie", "session=root")]).await, [201, 200, 200, 200, 200, 200]);
    // Its cookie comes with pages of anywhere, and does not help them.
    let forged = [("cookie", "session=ann"), ("origin", "http://evil.example")];
    assert_eq!(statuses(own, &forged).await[0], 403);
    assert_eq!(statuses(own, &[("cookie", "session=ann"), ("origin", "http://hub")]).await[0], 201);

    // Limits count by who the program says that it is.
    let stream = |who: &str| Request::stream("/push/topics/a").header("cookie", who);
    let mut first = Wire::connect(address).await;
    first.send(stream("session=bob").bytes()).await;
    assert_eq!(first.head().await.status, 200);
    let mut second = Wire::connect(address).await;
    let poll = Request::get("/push/topics/a?wait=60").header("cookie", "session=bob");
    second.ask(&poll).await.problem(429, "too-many-requests");
}

/// A page of any origin may be let in as nobody in particular, but not with the session of whoever looks at it.
#[tokio::test]
async fn a_session_is_not_for_pages_that_are_let_in_unseen() {
    let authorize = |_: &Parts| async { Grant::from(Rights::all()) };
    let cors = Cors::new(&["*".into()], std::time::Duration::ZERO).unwrap();
    let config = HttpConfig { cors, ..HttpConfig::default() };
    let api = Api::builder(Setup::new().hub(), config).authorize(authorize).build();
    let address = serve(api.router()).await;
    let origin = ("origin", "http://evil.example");
    assert_eq!(statuses(address, &[origin]).await[0], 201);
    assert_eq!(statuses(address, &[origin, ("cookie", "session=ann")]).await[0], 403);
    assert_eq!(statuses(address, &[("cookie", "session=ann")]).await[0], 201);
}

#[tokio::test]
async fn limits_by_address_count_who_is_at_the_other_end() {
    let config = HttpConfig { publish_rate_per_address: 1, ..HttpConfig::default() };
    for proxies in ["", "127.0.0.1"] {
        let config = HttpConfig { trusted_proxies: proxies.parse().unwrap(), ..config.clone() };
        let api = Api::builder(Setup::new().hub(), config).open_to_everyone().build();
        let address = serve(api.router()).await;
        let publish = async |from: &str| {
            let post = Request::post("/topics/a", "x").header("x-forwarded-for", from);
            Wire::connect(address).await.ask(&post).await.status()
        };
        let mut count = 0;
        while publish("192.0.2.1").await == 201 {
            count += 1;
            assert!(count < 200, "no end of it");
        }
        // Another client, where the proxy is believed; else the same, of whom none is free yet.
        if proxies.is_empty() {
            let mut statuses = Vec::new();
            for other in 2..200 {
                statuses.push(publish(&format!("192.0.2.{other}")).await);
            }
            assert!(statuses.contains(&429), "whatever it says of itself");
        } else {
            assert_eq!(publish("192.0.2.2").await, 201);
        }
    }
}

#[tokio::test]
async fn the_face_may_stand_under_any_prefix() {
    for prefix in ["/push", "/a/b", "/topics", "/events"] {
        let (address, api) = embedded(prefix, Setup::new()).await;
        let mut wire = Wire::connect(address).await;
        let path = |rest: &str| format!("{prefix}{rest}");
        let receipt = wire.ask(&Request::post(&path("/topics/orders%2F42"), "x")).await;
        assert_eq!(receipt.status(), 201);
        assert_eq!(receipt.json()["topic"], "orders/42");
        let batch = Request::post(&path("/events"), "[{\"topic\":\"topics/b\",\"data\":1}]").json();
        assert_eq!(wire.ask(&batch).await.ids().len(), 1);
        assert_eq!(wire.ask(&Request::get(&path("/topics/orders/*"))).await.page().events.len(), 1);
        assert_eq!(wire.ask(&Request::get(&path("/topics/topics/b"))).await.page().events.len(), 1);
        assert_eq!(wire.ask(&Request::get(&path("/events?topic=**"))).await.page().events.len(), 2);
        let list = wire.ask(&Request::get(&path("/topics"))).await.json();
        assert_eq!(list["topics"][0]["topic"], "orders/42");
        for own in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(wire.ask(&Request::get(&path(own))).await.status(), 200);
        }
        wire.ask(&Request::get(&path("/nowhere"))).await.problem(404, "not-found");
        wire.ask(&Request::get(&path("/topics/"))).await.problem(400, "invalid-topic");
        assert_eq!(wire.ask(&Request::get("/own")).await.text(), "own");
        assert_eq!(wire.ask(&Request::get("/healthz")).await.status(), 404);
        assert_eq!(api.hub().latest(), 2);
    }
}

#[tokio::test]
async fn streams_and_held_polls_work_without_a_server_of_ours() {
    let (address, api) = embedded("/push", Setup::new()).await;
    let topic = "a".parse().unwrap();
    let mut wire = Wire::connect(address).await;
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let mut stream = Stream::new(wire).await;
    assert!(stream.block().await.retry.is_some());
    let mut polling = Wire::connect(address).await;
    polling.send(Request::get("/push/topics/a?wait=30").bytes()).await;
    crate::support::eventually("both wait", async || api.hub().subscribers(&topic) == 2).await;
    let mut wire = Wire::connect(address).await;
    let id = wire.ask(&Request::post("/push/topics/a", "x")).await.id();
    assert_eq!(stream.event().await.id, Some(id.clone()));
    assert_eq!(polling.answer(false).await.page().next, id);
    drop(stream);
    crate::support::eventually("nobody waits", async || api.hub().subscribers(&topic) == 0).await;
}

/// The threads that deliver are the API's, not the process's.
#[tokio::test]
async fn what_a_mounted_router_started_ends_with_it() {
    let log = Arc::new(FaultyLog::new(Setup::new().log()));
    let setup = Setup::new();
    let hub = Hub::new(log.clone(), setup.hub);
    let api = Api::builder(hub, setup.http).open_to_everyone().build();
    let request = Asked::get("/topics/a").header("accept", "text/event-stream");
    let response = api.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    assert!(within(body.frame()).await.unwrap().unwrap().is_data());
    // A body lasts, also where nobody else knows the API any more.
    let hub = api.hub().clone();
    drop(api);
    hub.publish(Batch::of(NewEvent::text("a".parse().unwrap(), "x"))).await.unwrap();
    let frame = within(body.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert!(frame.ends_with(b"data: x\n\n"));
    drop((body, hub));
    assert_eq!(Arc::strong_count(&log), 1);
}

#[tokio::test]
async fn a_mounted_router_gives_a_slow_reader_everything_and_keeps_little() {
    let setup = Setup::new();
    let api = Api::builder(setup.hub(), setup.http.clone()).open_to_everyone().build();
    let request = Asked::get("/topics/a").header("accept", "text/event-stream");
    let request = request.body(Body::empty()).unwrap();
    let mut body = api.router().oneshot(request).await.unwrap().into_body();
    let topic: Topic = "a".parse().unwrap();
    // One that is larger than what a body holds, and more than a shard passes on at once.
    let texts: Vec<_> =
        (0..300).map(|number| format!("{number}:{}", "x".repeat(number * 37 % 5_000))).collect();
    let large = "y".repeat(300_000);
    for text in texts.iter().chain([&large]) {
        api.hub().publish(Batch::of(NewEvent::text(topic.clone(), text.clone()))).await.unwrap();
    }
    let mut text = Vec::new();
    let end = format!("data: {large}\n\n");
    while !text.ends_with(end.as_bytes()) {
        let piece = within(body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert!(piece.len() <= defaults::BODY_BYTES, "{}", piece.len());
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).unwrap();
    let got: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert!(got == texts.iter().chain([&large]).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_face_that_drains_ends_what_is_held_and_what_still_comes() {
    let (address, api) = embedded("/push", Setup::new()).await;
    let topic = "a".parse().unwrap();
    let mut wire = Wire::connect(address).await;
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let mut stream = Stream::new(wire).await;
    stream.block().await;
    let mut polling = Wire::connect(address).await;
    polling.send(Request::get("/push/topics/a?wait=30").bytes()).await;
    crate::support::eventually("both wait", async || api.hub().subscribers(&topic) == 2).await;

    api.drain();
    let (farewell, wire) = stream.end_and_go_on().await;
    let mut wire = wire.unwrap();
    assert!(Block::new(&farewell).retry.unwrap() <= 5_000);
    assert!(polling.answer(false).await.page().events.is_empty());
    let ready = wire.ask(&Request::get("/push/readyz")).await;
    ready.problem(503, "unavailable");
    assert!(ready.header("retry-after").is_some());
    assert_eq!(wire.ask(&Request::get("/push/healthz")).await.status(), 200);

    // What still arrives on a connection that was open.
    assert!(wire.ask(&Request::get("/push/topics/a?wait=30")).await.page().events.is_empty());
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let (text, wire) = Stream::new(wire).await.end_and_go_on().await;
    let mut wire = wire.unwrap();
    let blocks: Vec<_> = text.split_inclusive("\n\n").map(Block::new).collect();
    assert!(blocks.iter().all(|block| block.retry.is_some() && block.data.is_none()), "{text}");
    wire.send(Request::lines("/push/topics/a").bytes()).await;
    let (text, wire) = Stream::new(wire).await.end_and_go_on().await;
    let mut wire = wire.unwrap();
    assert_eq!(text, "");
    wire.ask(&Request::post("/push/topics/a", "x")).await.id();
}

/// What a layer of the program found out of a request decides, and a refusal says why.
#[tokio::test]
async fn the_program_refuses_in_its_own_words() {
    #[derive(Clone)]
    struct User(String);
    let session = async |mut request: Asked, next: Next| {
        if let Some(user) = request.headers().get("x-user").and_then(|user| user.to_str().ok()) {
            let user = User(user.to_owned());
            request.extensions_mut().insert(user);
        }
        next.run(request).await
    };
    let authorize = |request: &Parts| {
        let user = request.extensions.get::<User>().cloned();
        async move {
            match user {
                None => Err(Denied::unauthorized("log in at /login")),
                Some(User(name)) if name == "mallory" => Err(Denied::forbidden("this account is locked")),
                Some(User(name)) => {
                    Ok(Grant { subject: Some(name), until: None, rights: Rights::read_only() })
                }
            }
        }
    };
    let api = Api::builder(Setup::new().hub(), HttpConfig::default()).authorize(authorize).build();
    let address = serve(Router::new().nest("/push", api.router()).layer(from_fn(session))).await;
    for request in [
        Request::get("/push/topics/a"),
        Request::get("/push/topics/a?wait=30"),
        Request::stream("/push/topics/a"),
        Request::lines("/push/topics/a"),
        Request::post("/push/topics/a", "x"),
        Request::get("/push/topics"),
        Request::get("/push/metrics"),
    ] {
        let answer = Wire::connect(address).await.ask(&request).await;
        assert_eq!(answer.header("www-authenticate"), Some("Cookie realm=\"tidings\""));
        assert_eq!(answer.problem(401, "unauthorized"), "log in at /login");
        let locked = Wire::connect(address).await.ask(&request.header("x-user", "mallory")).await;
        assert_eq!(locked.header("www-authenticate"), None);
        assert_eq!(locked.problem(403, "forbidden"), "this account is locked");
    }
    let allowed = Request::get("/push/topics/a").header("x-user", "ann");
    assert_eq!(Wire::connect(address).await.ask(&allowed).await.status(), 200);
    // What needs no right is not asked about.
    assert_eq!(Wire::connect(address).await.ask(&Request::get("/push/healthz")).await.status(), 200);
}

/// Of its own address, the program knows best.
#[tokio::test]
async fn an_address_that_the_program_tells_is_counted() {
    let told = async |mut request: Asked, next: Next| {
        let own = request.headers().get("x-own-address").and_then(|own| own.to_str().ok()?.parse().ok());
        if let Some(own) = own {
            request.extensions_mut().insert(ClientAddress::new(own));
        }
        next.run(request).await
    };
    let config = HttpConfig {
        max_connections_per_address: Some(2),
        publish_rate_per_address: 1,
        ..HttpConfig::default()
    };
    let api = Api::builder(Setup::new().hub(), config).open_to_everyone().build();
    let topic = "a".parse().unwrap();
    // Nothing else says where these come from.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = api.router().layer(from_fn(told));
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    let stream = |from: &str| Request::stream("/topics/a").header("x-own-address", from);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::connect(address).await;
        wire.send(stream("192.0.2.1").bytes()).await;
        assert_eq!(wire.head().await.header("retry-after"), None);
        open.push(wire);
    }
    // One too many is put off, as an EventSource would never come back after an error.
    let put_off = Wire::connect(address).await.ask(&stream("192.0.2.1")).await.put_off();
    assert!(put_off.contains("2 requests"), "{put_off}");
    let poll = Request::get("/topics/a?wait=30").header("x-own-address", "192.0.2.1");
    let refused = Wire::connect(address).await.ask(&poll).await;
    assert!(refused.problem(429, "too-many-requests").contains("2 requests"));
    let other = Request::get("/topics/a").header("x-own-address", "192.0.2.2");
    assert_eq!(Wire::connect(address).await.ask(&other).await.status(), 200);
    // Who leaves makes room.
    open.clear();
    crate::support::eventually("nobody waits", async || api.hub().subscribers(&topic) == 0).await;
    let short = Request::get("/topics/a").header("x-own-address", "192.0.2.1");
    let let_in = async || Wire::connect(address).await.ask(&short).await.status() == 200;
    crate::support::eventually("there is room again", let_in).await;
    // And publishing is counted by the same.
    let publish = async |from: &str| {
        let post = Request::post("/topics/a", "x").header("x-own-address", from);
        Wire::connect(address).await.ask(&post).await.status()
    };
    let mut statuses = Vec::new();
    while statuses.len() < 200 && statuses.last() != Some(&429) {
        statuses.push(publish("192.0.2.1").await);
    }
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(publish("192.0.2.2").await, 201);
}

/// Also a poll that is held again and again on one connection, and a publication.
#[tokio::test]
async fn layers_of_the_program_see_every_request() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let count = move |request: Asked, next: Next| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut response = next.run(request).await;
            response.headers_mut().insert("x-program", http::HeaderValue::from_static("seen"));
            response
        }
    };
    let api = Api::builder(Setup::new().hub(), HttpConfig::default()).open_to_everyone().build();
    let address = serve(Router::new().nest("/push", api.router()).layer(from_fn(count))).await;
    let topic = "a".parse().unwrap();
    let (mut polling, mut publishing) = (Wire::connect(address).await, Wire::connect(address).await);
    let mut since = "latest".to_owned();
    for round in 1..=3 {
        let poll = Request::get(&format!("/push/topics/a?wait=60&since={since}"));
        polling.send(poll.bytes()).await;
        crate::support::eventually("it waits", async || api.hub().subscribers(&topic) == 1).await;
        let published = publishing.ask(&Request::post("/push/topics/a", "x")).await;
        let answer = polling.answer(false).await;
        assert_eq!((published.header("x-program"), answer.header("x-program")), (Some("seen"), Some("seen")));
        since = answer.page().next;
        assert_eq!(seen.load(Ordering::Relaxed), 2 * round);
    }
    for request in [Request::stream("/push/topics/a?since=earliest"), Request::lines("/push/topics/a")] {
        let mut wire = Wire::connect(address).await;
        wire.send(request.bytes()).await;
        assert_eq!(wire.head().await.header("x-program"), Some("seen"));
    }
    assert_eq!(seen.load(Ordering::Relaxed), 8);
}

/// With `axum::serve`, nothing else is needed to end what is open.
#[tokio::test]
async fn a_program_that_shuts_down_ends_streams_and_polls() {
    let api = Api::builder(Setup::new().hub(), HttpConfig::default()).open_to_everyone().build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let signal = api.drain_on(async { drop(stopped.await) });
    let app = Router::new().nest("/push", api.router());
    let served = tokio::spawn(async { axum::serve(listener, app).with_graceful_shutdown(signal).await });
    let topic = "a".parse().unwrap();
    let mut wire = Wire::connect(address).await;
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let mut stream = Stream::new(wire).await;
    stream.block().await;
    let mut lines = Wire::connect(address).await;
    lines.send(Request::lines("/push/topics/a").bytes()).await;
    let lines = Stream::new(lines).await;
    let mut polling = Wire::connect(address).await;
    polling.send(Request::get("/push/topics/a?wait=60").bytes()).await;
    crate::support::eventually("all wait", async || api.hub().subscribers(&topic) == 3).await;
    let closed = tokio::spawn({
        let api = api.clone();
        async move { api.closed().await }
    });
    tokio::task::yield_now().await;
    assert!(!closed.is_finished());

    stop.send(()).unwrap();
    let farewell = within(stream.end()).await;
    assert!(Block::new(&farewell).retry.is_some(), "{farewell}");
    assert_eq!(within(lines.end()).await, "");
    assert!(polling.answer(false).await.page().events.is_empty());
    within(closed).await.unwrap();
    within(served).await.unwrap().unwrap();
    api.hub().close().await.unwrap();
}
