//! Who is let in, and how it is refused.

use std::time::Duration;

use serde_json::json;
use tidings_http::{AuthConfig, Cors, Rights};

use crate::support::tokens::{claims, hub_with, sign};
use crate::support::{Request, Running, Setup, Socket, upgrade};

#[tokio::test]
async fn the_subprotocol_is_chosen_where_it_is_offered() {
    let hub = Running::start().await;
    for (offered, chosen) in [
        (None, None),
        (Some("tidings.v1"), Some("tidings.v1")),
        (Some("a, tidings.v1"), Some("tidings.v1")),
        (Some("a"), None),
    ] {
        let request = upgrade("/topics/a");
        let request = offered.into_iter().fold(request, |it, own| it.header("sec-websocket-protocol", own));
        let mut socket = Socket::open(hub.connect().await, &request).await;
        assert_eq!(socket.head.header("sec-websocket-protocol"), chosen);
        assert!(socket.head.header("date").is_some() && socket.head.header("content-length").is_none());
        socket.subscribed("").await;
    }
}

#[tokio::test]
async fn what_cannot_become_a_socket_is_told_why() {
    let hub = Running::start().await;
    let plain = hub.get("/socket").await;
    plain.problem(426, "upgrade-required");
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));
    hub.ask(Request::post("/socket", "x")).await.problem(405, "method-not-allowed");
    let without = |name: &str| {
        let fields = [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let left = fields.into_iter().filter(|(own, _)| *own != name);
        left.fold(Request::get("/topics/a"), |request, (name, value)| request.header(name, value))
    };
    for (request, status, name) in [
        (without("connection"), 400, "invalid-query"),
        (without("sec-websocket-key"), 400, "invalid-query"),
        (without("sec-websocket-key").header("sec-websocket-key", "short"), 400, "invalid-query"),
        (without("sec-websocket-version"), 426, "upgrade-required"),
        (without("sec-websocket-version").header("sec-websocket-version", "8"), 426, "upgrade-required"),
        (upgrade("/topics/%2F"), 400, "invalid-topic"),
        (upgrade("/events"), 400, "invalid-query"),
        (upgrade("/topics/a?since=soon"), 400, "invalid-query"),
        (upgrade("/nowhere"), 404, "not-found"),
    ] {
        // The connection goes on.
        let mut wire = hub.connect().await;
        wire.ask(&request).await.problem(status, name);
        assert_eq!(wire.ask(&Request::get("/healthz")).await.status(), 200);
    }
    // Without `Upgrade` it is read like anything else.
    assert_eq!(hub.ask(without("upgrade")).await.status(), 200);
}

#[tokio::test]
async fn pages_of_other_origins_are_kept_out() {
    let hub = Running::start().await;
    for target in ["/topics/a", "/socket", "/events?topic=a"] {
        let refused = hub.ask(upgrade(target).header("origin", "https://evil.example")).await;
        refused.problem(403, "forbidden");
        let refused = hub.ask(upgrade(target).header("sec-fetch-site", "cross-site")).await;
        refused.problem(403, "forbidden");
        Socket::open(hub.connect().await, &upgrade(target).header("origin", "http://hub")).await;
    }
    let mut setup = Setup::new();
    setup.http.cors = Cors::new(&["https://app.example".into()], Duration::from_secs(60)).unwrap();
    let hub = setup.start().await;
    let ours = upgrade("/topics/a").header("origin", "https://app.example");
    Socket::open(hub.connect().await, &ours).await.subscribed("").await;
    hub.ask(upgrade("/topics/a").header("origin", "https://evil.example")).await.problem(403, "forbidden");
    let mut setup = Setup::new();
    setup.http.cors = Cors::new(&["*".into()], Duration::from_secs(60)).unwrap();
    let hub = setup.start().await;
    let any = upgrade("/topics/a").header("origin", "https://any.example");
    Socket::open(hub.connect().await, &any).await.subscribed("").await;
}

#[tokio::test]
async fn tokens_come_in_the_field_the_query_and_the_cookie_of_a_trusted_page() {
    let config = AuthConfig { cookie: Some("session".into()), ..AuthConfig::default() };
    let hub = hub_with(Setup::new(), config).await;
    let token = sign(&claims(&["a"], &["a"]));
    let cookie = format!("session={token}");
    let by_query = format!("/topics/a?access_token={token}");
    for request in [
        upgrade("/topics/a").header("authorization", &format!("Bearer {token}")),
        upgrade(&by_query),
        upgrade("/topics/a").header("cookie", &cookie).header("origin", "http://hub"),
    ] {
        let mut socket = Socket::open(hub.connect().await, &request).await;
        socket.subscribed("").await;
        socket.send(json!({"publish": {"topic": "a", "data": "x"}, "ref": 1})).await;
        while socket.message().await["ref"] != 1 {}
    }
    // Whoever gets a browser to open one elsewhere is not the browser's user.
    for origin in [None, Some("https://evil.example")] {
        let request = upgrade("/topics/a").header("cookie", &cookie);
        let request = origin.into_iter().fold(request, |it, own| it.header("origin", own));
        let refused = hub.ask(request).await;
        assert!([401, 403].contains(&refused.status()), "{}", refused.text());
    }
    let bad = hub.ask(upgrade("/topics/a").header("authorization", "Bearer x.y.z")).await;
    bad.problem(401, "unauthorized");
    let small = sign(&claims(&[], &["b"]));
    let small = upgrade("/topics/a").header("authorization", &format!("Bearer {small}"));
    hub.ask(small).await.problem(403, "forbidden");
}

/// A browser hears nothing of an answer that refuses, so what passes by itself is told on the socket.
#[tokio::test]
async fn what_passes_by_itself_is_told_on_the_socket() {
    let mut setup = Setup::new();
    setup.http.max_connections_per_subject = 1;
    let hub = hub_with(setup, AuthConfig::default()).await;
    let token = sign(&crate::support::tokens::with(claims(&[], &["a"]), "sub", json!("ann")));
    let request = upgrade("/topics/a").header("authorization", &format!("Bearer {token}"));
    let mut first = Socket::open(hub.connect().await, &request).await;
    first.subscribed("").await;
    let mut second = Socket::open(hub.connect().await, &request).await;
    assert_eq!(second.problem(json!(null)).await, "too-many-requests");
    let (code, reason) = second.ends().await;
    assert_eq!(code, 4_429, "{reason}");
    drop(first);
    hub.waiting("a", 0).await;
}

#[tokio::test]
async fn everybody_may_read_what_is_open_and_nothing_else() {
    let anonymous = Rights { subscribe: vec!["open".parse().unwrap()], ..Rights::none() };
    let hub = hub_with(Setup::new(), AuthConfig { anonymous, ..AuthConfig::default() }).await;
    let mut socket = hub.socket("/topics/open").await;
    socket.subscribed("").await;
    socket.send(json!({"subscribe": "x", "topics": ["other"], "ref": 1})).await;
    let message = socket.message().await;
    assert_eq!((&message["problem"]["status"], &message["ref"]), (&json!(401), &json!(1)));
    socket.send(json!({"publish": {"topic": "open", "data": 1}, "ref": 2})).await;
    assert_eq!(socket.problem(json!(2)).await, "unauthorized");
}
