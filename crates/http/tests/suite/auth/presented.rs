//! Where a token may be.

use std::time::Duration;

use tidings_http::{AuthConfig, Cors};

use crate::support::tokens::{bearer, claims, hub, hub_with, sign};
use crate::support::{Request, Running, Setup};

const APP: &str = "https://app.example";

async fn with_cookie() -> Running {
    let mut setup = Setup::new();
    setup.http.cors = Cors::new(&[APP.to_owned()], Duration::ZERO).unwrap();
    hub_with(setup, AuthConfig { cookie: Some("session".into()), ..AuthConfig::default() }).await
}

#[tokio::test]
async fn a_header_is_for_everything() {
    let hub = hub().await;
    let token = sign(&claims(&["a"], &["a"]));
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {token}");
        let post = Request::post("/topics/a", "x").header("authorization", &value);
        assert_eq!(hub.ask(post).await.status(), 201);
        let get = Request::get("/topics/a").header("authorization", &value);
        assert_eq!(hub.ask(get).await.status(), 200);
    }
    let twice = Request::get("/topics/a")
        .header("authorization", &bearer(&token))
        .header("authorization", &bearer(&token));
    hub.ask(twice).await.problem(401, "unauthorized");
    let other = Request::get("/topics/a").header("authorization", "Basic eDp5");
    let answer = hub.ask(other).await;
    answer.problem(401, "unauthorized");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"tidings\""));
}

#[tokio::test]
async fn the_query_is_for_reading_only() {
    let hub = hub().await;
    let token = sign(&claims(&["a"], &["a"]));
    assert_eq!(hub.get(&format!("/topics/a?access_token={token}")).await.status(), 200);
    assert_eq!(hub.get(&format!("/events?topic=a&access_token={token}")).await.status(), 200);
    let stream = hub.stream(&format!("/topics/a?access_token={token}")).await;
    drop(stream);
    let detail = hub.ask(Request::post(&format!("/topics/a?access_token={token}"), "x")).await;
    assert!(detail.problem(401, "unauthorized").contains("for reading"));
    hub.get("/topics/a?access_token=").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_cookie_is_for_reading_and_for_pages_that_are_trusted() {
    let hub = with_cookie().await;
    let cookie = format!("theme=dark; session={}; x=y", sign(&claims(&["a"], &["a"])));
    assert_eq!(hub.ask(Request::get("/topics/a").header("cookie", &cookie)).await.status(), 200);
    let post = || Request::post("/topics/a", "x").header("cookie", &cookie);
    // Its own pages are trusted as well.
    for origin in [APP, "http://hub"] {
        assert_eq!(hub.ask(post().header("origin", origin)).await.status(), 201, "{origin}");
    }
    hub.ask(post()).await.problem(401, "unauthorized");
    for origin in ["https://evil.example", "null", "http://hub:81"] {
        hub.ask(post().header("origin", origin)).await.problem(403, "forbidden");
    }
    let page = hub.ask(Request::get("/topics/a").header("cookie", &cookie)).await.page();
    assert_eq!(page.events.len(), 2);
}

#[tokio::test]
async fn without_a_name_no_cookie_counts() {
    let hub = hub().await;
    let cookie = format!("session={}", sign(&claims(&["a"], &["a"])));
    hub.ask(Request::get("/topics/a").header("cookie", &cookie)).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_header_counts_before_the_query_and_that_before_a_cookie() {
    let hub = with_cookie().await;
    let (good, bad) = (sign(&claims(&[], &["a"])), "nonsense");
    let cookie = |token: &str| format!("session={token}");
    for (header, query, own, fine) in [
        (Some(&*good), Some(bad), Some(bad), true),
        (None, Some(&*good), Some(bad), true),
        (Some(bad), Some(&*good), Some(&*good), false),
        (None, Some(bad), Some(&*good), false),
    ] {
        let target = query.map_or("/topics/a".to_owned(), |token| format!("/topics/a?access_token={token}"));
        let mut request = Request::get(&target);
        if let Some(token) = header {
            request = request.header("authorization", &bearer(token));
        }
        if let Some(token) = own {
            request = request.header("cookie", &cookie(token));
        }
        assert_eq!(hub.ask(request).await.status() == 200, fine, "{header:?} {query:?} {own:?}");
    }
}
