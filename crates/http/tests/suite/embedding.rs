//! The face as a router in somebody else's program.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use http::request::Parts;
use tidings_http::{Cors, Face, Grant, HttpConfig, Rights};
use tokio::net::TcpListener;

use crate::support::{Block, Request, Setup, Stream, Wire};

/// Serves the face under a prefix of an application that has a route of its own.
async fn embedded(prefix: &str, setup: Setup) -> (SocketAddr, Face) {
    let face = Face::builder(setup.hub(), setup.http.clone()).open_to_everyone().build();
    let app = Router::new().route("/own", get(async || "own")).nest(prefix, face.router());
    (serve(app).await, face)
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
    let build = || Face::builder(Setup::new().hub(), HttpConfig::default());
    for (face, expected) in [
        (build().build(), [403, 403, 403, 403, 403, 200]),
        (build().read_only().build(), [403, 200, 200, 403, 403, 200]),
        (build().open_to_everyone().build(), [201, 200, 200, 200, 200, 200]),
        // These ask for `hub`.
        (build().open_to_this_machine().build(), [421; 6]),
    ] {
        let address = serve(face.router()).await;
        assert_eq!(statuses(address, &[]).await, expected);
        if expected[1] == 403 {
            let refused = Wire::connect(address).await.ask(&Request::get("/topics/a")).await;
            assert!(refused.problem(403, "forbidden").contains("Face::builder"));
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
    let face = Face::builder(Setup::new().hub(), config).authorize(authorize).build();
    let address = serve(Router::new().nest("/push", face.router())).await;
    let own = serve(face.router()).await;
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
    let face = Face::builder(Setup::new().hub(), config).authorize(authorize).build();
    let address = serve(face.router()).await;
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
        let face = Face::builder(Setup::new().hub(), config).open_to_everyone().build();
        let address = serve(face.router()).await;
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
        let (address, face) = embedded(prefix, Setup::new()).await;
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
        assert_eq!(face.hub().latest(), 2);
    }
}

#[tokio::test]
async fn streams_and_held_polls_work_without_a_server_of_ours() {
    let (address, face) = embedded("/push", Setup::new()).await;
    let topic = "a".parse().unwrap();
    let mut wire = Wire::connect(address).await;
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let mut stream = Stream::new(wire).await;
    assert!(stream.block().await.retry.is_some());
    let mut polling = Wire::connect(address).await;
    polling.send(Request::get("/push/topics/a?wait=30").bytes()).await;
    crate::support::eventually("both wait", async || face.hub().subscribers(&topic) == 2).await;
    let mut wire = Wire::connect(address).await;
    let id = wire.ask(&Request::post("/push/topics/a", "x")).await.id();
    assert_eq!(stream.event().await.id, Some(id.clone()));
    assert_eq!(polling.answer(false).await.page().next, id);
    drop(stream);
    crate::support::eventually("nobody waits", async || face.hub().subscribers(&topic) == 0).await;
}

#[tokio::test]
async fn a_face_that_drains_ends_what_is_held_and_what_still_comes() {
    let (address, face) = embedded("/push", Setup::new()).await;
    let topic = "a".parse().unwrap();
    let mut wire = Wire::connect(address).await;
    wire.send(Request::stream("/push/topics/a").bytes()).await;
    let mut stream = Stream::new(wire).await;
    stream.block().await;
    let mut polling = Wire::connect(address).await;
    polling.send(Request::get("/push/topics/a?wait=30").bytes()).await;
    crate::support::eventually("both wait", async || face.hub().subscribers(&topic) == 2).await;

    face.drain();
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
