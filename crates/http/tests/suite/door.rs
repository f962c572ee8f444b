//! What is refused at the door: pages of other names and origins in somebody's browser, and what proxies pass on.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tidings_http::{Auth, Cleartext, Cors, TrustedProxies};

use crate::support::tokens::{bearer, claims, hub_with, sign};
use crate::support::{Answer, Authority, H2, Request, Running, Setup};

/// A hub as the program runs it where nothing says who may use it.
async fn local(setup: Setup) -> Running {
    let hub = setup.hub();
    setup.start_with(hub, Auth::open_to_this_machine()).await
}

/// Asks for a host of one's own choosing.
async fn asked(hub: &Running, method: &str, target: &str, fields: &str) -> Answer {
    let mut wire = hub.connect().await;
    wire.send(format!("{method} {target} HTTP/1.1\r\n{fields}content-length: 0\r\n\r\n")).await;
    wire.answer(method == "HEAD").await
}

const EVERYTHING: [(&str, &str); 14] = [
    ("GET", "/topics/a"),
    ("HEAD", "/topics/a"),
    ("GET", "/topics/a?wait=5&since=latest"),
    ("GET", "/events?topic=a"),
    ("GET", "/topics"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("GET", "/beside"),
    ("POST", "/beside"),
    ("POST", "/topics/a"),
    ("POST", "/events"),
    ("DELETE", "/topics/a"),
    ("OPTIONS", "/topics/a"),
];

#[tokio::test]
async fn a_page_of_another_name_that_leads_here_gets_nothing() {
    let mut setup = Setup::new();
    setup.http.cors = Cors::new(&["*".into()], Duration::ZERO).unwrap();
    setup.beside = Router::new().route("/beside", get(async || "beside"));
    let hub = local(setup).await;
    for (method, target) in EVERYTHING.into_iter().chain([("GET", "/healthz"), ("GET", "/readyz")]) {
        for host in
            ["evil.example", "evil.example:8080", "localhost.evil.example", "192.0.2.1", "0.0.0.0", ""]
        {
            let answer = asked(&hub, method, target, &format!("host: {host}\r\n")).await;
            // An empty `Host` may be refused as none.
            let refused = answer.status() == 421 || host.is_empty() && answer.status() == 400;
            assert!(refused, "{method} {target} for `{host}`: {}", answer.status());
            if method != "HEAD" && answer.status() == 421 {
                assert!(answer.problem(421, "misdirected").contains("`allowed-hosts`"));
            }
        }
        let mut wire = hub.connect().await;
        wire.send(format!("{method} http://evil.example{target} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let status = wire.answer(method == "HEAD").await.status();
        assert!(status == 421 || status == 400, "{method} {target}: {status}");
    }
    for host in ["localhost", "LOCALHOST:1", "app.localhost", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"] {
        let answer = asked(&hub, "GET", "/topics", &format!("host: {host}\r\n")).await;
        assert_eq!(answer.status(), 200, "{host}");
    }
    assert_eq!(hub.hub.latest(), 0);
}

#[tokio::test]
async fn a_page_of_another_name_gets_nothing_over_http2_and_tls_either() {
    let hub = local(Setup::new()).await;
    // It asks for `http://hub`.
    let mut connection = H2::connect(hub.address).await;
    for (method, target) in [("GET", "/topics/a"), ("POST", "/topics/a"), ("GET", "/metrics")] {
        let (status, body) = connection.ask(method, target, &[], "").await;
        assert!(
            status == 421 && body.contains("urn:tidings:misdirected"),
            "{method} {target}: {status} {body}"
        );
    }
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Nobody));
    let hub = local(setup).await;
    let mut wire = authority.http1(hub.address).await;
    wire.ask(&Request::get("/topics/a")).await.problem(421, "misdirected");
    let mut connection = authority.http2(hub.address).await;
    assert_eq!(connection.ask("GET", "/topics/a", &[], "").await.0, 421);
}

#[tokio::test]
async fn the_names_of_a_hub_may_be_set() {
    let mut setup = Setup::new();
    setup.http.allowed_hosts = "hub.example, *.internal".parse().unwrap();
    let local = local(setup.clone()).await;
    let keyed = hub_with(setup, tidings_http::AuthConfig::default()).await;
    for hub in [&local, &keyed] {
        for (host, served) in [
            ("hub.example", true),
            ("HUB.example:8080", true),
            ("a.internal", true),
            ("localhost", true),
            ("internal", false),
            ("evil.example", false),
        ] {
            let status = asked(hub, "GET", "/healthz", &format!("host: {host}\r\n")).await.status();
            assert_eq!(status, if served { 200 } else { 421 }, "{host}");
        }
    }
    // A hub that asks for tokens, and one that is open to everybody, answers to every name where none is set.
    let keyed = hub_with(Setup::new(), tidings_http::AuthConfig::default()).await;
    let open = Setup::new().start().await;
    for hub in [&keyed, &open] {
        assert_eq!(asked(hub, "GET", "/healthz", "host: evil.example\r\n").await.status(), 200);
    }
}

#[tokio::test]
async fn without_keys_nothing_comes_through_a_proxy() {
    let hub = local(Setup::new()).await;
    let local_host = "host: localhost\r\n";
    for field in [
        "x-forwarded-for: 192.0.2.1",
        "X-Forwarded-Proto: https",
        "forwarded: for=192.0.2.1",
        "x-real-ip: 192.0.2.1",
        "via: 1.1 proxy",
        "cf-connecting-ip: 192.0.2.1",
        "x-forwarded-for:",
    ] {
        for (method, target) in EVERYTHING {
            let answer = asked(&hub, method, target, &format!("{local_host}{field}\r\n")).await;
            assert_eq!(answer.status(), 403, "{method} {target} with {field}");
            if method != "HEAD" {
                let detail = answer.problem(403, "forbidden");
                assert!(detail.contains("`[auth]`") && detail.contains("`[auth.anonymous]`"), "{detail}");
            }
        }
        // So that the proxy can tell whether the hub is there.
        assert_eq!(asked(&hub, "GET", "/readyz", &format!("{local_host}{field}\r\n")).await.status(), 200);
    }
    assert_eq!(hub.hub.latest(), 0);

    let mut setup = Setup::new();
    setup.http.trusted_proxies = "10.0.0.0/8".parse::<TrustedProxies>().unwrap();
    let told = local(setup.clone()).await;
    for (method, target) in EVERYTHING.into_iter().filter(|(method, _)| *method != "HEAD") {
        let detail = asked(&told, method, target, local_host).await.problem(403, "forbidden");
        assert!(detail.contains("`trusted-proxies`"), "{detail}");
    }
    // Where it was said that everybody may, they may.
    let open = setup.start().await;
    assert_eq!(
        asked(&open, "POST", "/topics/a?close=true", "host: hub\r\nvia: 1.1 x\r\n").await.status(),
        201
    );
}

#[tokio::test]
async fn what_changes_something_is_sent_for_a_page_of_the_hub_itself() {
    let mut setup = Setup::new();
    setup.beside = Router::new().route("/beside", get(async || "beside"));
    let hub = setup.start().await;
    let from = |fields: &str| format!("host: localhost:8080\r\n{fields}");
    for fields in [
        "origin: http://localhost:8081\r\n",
        "origin: http://localhost\r\n",
        "origin: http://127.0.0.1:8080\r\n",
        "origin: http://a.localhost:8080\r\n",
        "origin: https://localhost:8080\r\n",
        "origin: null\r\n",
        "origin: file://\r\n",
        "origin: \r\n",
        "origin: http://localhost:8080\r\norigin: http://evil.example\r\n",
        "origin: http://localhost:8080\r\nsec-fetch-site: same-site\r\n",
        "origin: https://evil.example\r\nsec-fetch-site: cross-site\r\n",
        "origin: null\r\nsec-fetch-site: same-origin\r\n",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\n",
    ] {
        for (method, target) in [
            ("POST", "/topics/a"),
            ("POST", "/topics/a?close=true"),
            ("POST", "/events"),
            ("POST", "/beside"),
            ("DELETE", "/topics/a"),
            ("PUT", "/nowhere"),
        ] {
            let answer = asked(&hub, method, target, &from(fields)).await;
            assert!(
                answer.problem(403, "forbidden").contains("`[cors] origins`"),
                "{method} {target} {fields}"
            );
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        // To read is another matter: browsers keep what they get from the page.
        assert_eq!(asked(&hub, "GET", "/topics/a", &from(fields)).await.status(), 200, "{fields}");
    }
    assert_eq!(hub.hub.latest(), 0);
    for fields in [
        "",
        "origin: http://localhost:8080\r\n",
        "origin: http://LOCALHOST:8080\r\n",
        "origin: http://localhost:8080\r\nsec-fetch-site: same-origin\r\n",
        "origin: http://localhost:8080\r\nsec-fetch-site: none\r\n",
        "sec-fetch-site: none\r\n",
        // A proxy that tells the hub nothing of where it was asked.
        "origin: https://hub.example\r\nsec-fetch-site: same-origin\r\n",
    ] {
        assert_eq!(asked(&hub, "POST", "/topics/a", &from(fields)).await.status(), 201, "{fields}");
    }
}

#[tokio::test]
async fn other_origins_change_something_where_they_are_named() {
    let with = async |origins: &[&str]| {
        let mut setup = Setup::new();
        let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
        setup.http.cors = Cors::new(&origins, Duration::ZERO).unwrap();
        setup.start().await
    };
    let named = with(&["https://app.example"]).await;
    let any = with(&["*"]).await;
    for (fields, by_name, by_any) in [
        ("origin: https://app.example\r\n", 201, 201),
        ("origin: https://app.example\r\nsec-fetch-site: cross-site\r\n", 201, 201),
        ("origin: https://evil.example\r\n", 403, 201),
        ("origin: null\r\n", 403, 201),
        ("sec-fetch-site: cross-site\r\n", 403, 201),
    ] {
        for (hub, status) in [(&named, by_name), (&any, by_any)] {
            let fields = format!("host: hub\r\n{fields}");
            assert_eq!(asked(hub, "POST", "/topics/a", &fields).await.status(), status, "{fields}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_over_http2_and_tls_either() {
    let hub = Setup::new().start().await;
    let mut connection = H2::connect(hub.address).await;
    for (origin, status) in [("http://hub", 201), ("http://hub:81", 403), ("https://hub", 403), ("null", 403)]
    {
        assert_eq!(
            connection.ask("POST", "/topics/a", &[("origin", origin)], "").await.0,
            status,
            "{origin}"
        );
    }
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Nobody));
    let hub = setup.start().await;
    for (origin, status) in [("https://hub", 201), ("http://hub", 403)] {
        let mut wire = authority.http1(hub.address).await;
        let post = Request::post("/topics/a", "x").header("origin", origin);
        assert_eq!(wire.ask(&post).await.status(), status, "{origin}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_hub_is_where_the_proxy_was_asked() {
    let mut setup = Setup::new();
    setup.http.trusted_proxies = "127.0.0.1".parse().unwrap();
    let hub = setup.start().await;
    let inner = "host: 10.0.0.1:8080\r\norigin: https://hub.example\r\n";
    for (fields, status) in [
        ("x-forwarded-host: hub.example\r\nx-forwarded-proto: https\r\n", 201),
        ("forwarded: for=192.0.2.1;proto=https;host=hub.example\r\n", 201),
        ("x-forwarded-host: hub.example\r\nx-forwarded-proto: http\r\n", 403),
        ("x-forwarded-proto: https\r\n", 403),
        ("", 403),
    ] {
        let fields = format!("{inner}{fields}");
        assert_eq!(asked(&hub, "POST", "/topics/a", &fields).await.status(), status, "{fields}");
    }
    // Nobody else is believed.
    let hub = Setup::new().start().await;
    let fields = format!("{inner}x-forwarded-host: hub.example\r\nx-forwarded-proto: https\r\n");
    asked(&hub, "POST", "/topics/a", &fields).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_token_does_not_help_a_page_that_is_not_let_in() {
    let hub = hub_with(Setup::new(), tidings_http::AuthConfig::default()).await;
    let token = bearer(&sign(&claims(&["a"], &[])));
    let post = Request::post("/topics/a", "x").header("authorization", &token);
    hub.ask(post.clone().header("origin", "http://hub:81")).await.problem(403, "forbidden");
    assert_eq!(hub.ask(post.clone().header("origin", "http://hub")).await.status(), 201);
    assert_eq!(hub.ask(post).await.status(), 201);
}
