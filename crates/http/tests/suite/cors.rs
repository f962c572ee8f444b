//! Pages of other origins (the Fetch standard, "CORS protocol").

use std::time::Duration;

use tidings_http::Cors;

use crate::support::{Request, Running, Setup};

const APP: &str = "https://app.example";

async fn hub(origins: &[&str]) -> Running {
    let origins: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).collect();
    let mut setup = Setup::new();
    setup.http.cors = Cors::new(&origins, Duration::from_secs(600)).unwrap();
    setup.start().await
}

fn preflight(origin: &str, target: &str) -> Request {
    Request::new("OPTIONS", target)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,idempotency-key")
}

#[tokio::test]
async fn a_preflight_is_answered_for_origins_that_are_named() {
    let hub = hub(&[APP, "http://localhost:5173"]).await;
    let answer = hub.ask(preflight(APP, "/topics/a")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    for name in [
        "authorization",
        "content-type",
        "last-event-id",
        "idempotency-key",
        "cache-control",
        "traceparent",
        "tracestate",
        "baggage",
        "x-requested-with",
        "x-request-id",
    ] {
        assert!(allowed.split(',').any(|own| own.trim() == name), "{name}: {allowed}");
    }
    let methods = answer.header("access-control-allow-methods").unwrap();
    assert!(["GET", "POST", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    for origin in ["https://evil.example", "https://app.example.evil", "null"] {
        let answer = hub.ask(preflight(origin, "/topics/a")).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
}

#[tokio::test]
async fn further_fields_may_be_named() {
    let mut setup = Setup::new();
    let cors = Cors::new(&[APP.to_owned()], Duration::ZERO).unwrap();
    assert!(cors.clone().with_headers(&["x y".into()]).is_err());
    setup.http.cors = cors.with_headers(&["X-Tenant".into(), "dnt".into()]).unwrap();
    let answer = setup.start().await.ask(preflight(APP, "/topics/a")).await;
    let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    for name in ["x-tenant", "dnt", "authorization"] {
        assert!(allowed.split(',').any(|own| own.trim() == name), "{name}: {allowed}");
    }
}

#[tokio::test]
async fn every_answer_says_whose_page_may_read_it() {
    let hub = hub(&[APP]).await;
    hub.publish("a", "x").await;
    for (target, accept, status) in [
        ("/topics/a", "application/json", 200),
        ("/topics/a?wait=0.05&since=latest", "application/json", 200),
        ("/topics/a?limit=0", "application/json", 400),
        ("/nothing", "*/*", 404),
    ] {
        let answer = hub.ask(Request::get(target).accept(accept).header("origin", APP)).await;
        assert_eq!(answer.status(), status, "{target}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP), "{target}");
    }
    let stream = hub.open(Request::stream("/topics/a").header("origin", APP)).await;
    assert_eq!(stream.head.header("access-control-allow-origin"), Some(APP));
}

#[tokio::test]
async fn any_origin_may_be_allowed_and_then_caches_need_not_tell_them_apart() {
    let hub = hub(&["*"]).await;
    let answer = hub.ask(Request::get("/topics/a").header("origin", APP)).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(!answer.header("vary").unwrap().to_ascii_lowercase().contains("origin"));
}

#[tokio::test]
async fn by_default_no_other_origin_is_allowed() {
    let hub = Running::start().await;
    let answer = hub.ask(Request::get("/topics/a").header("origin", APP)).await;
    assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (200, None));
    assert_eq!(hub.ask(preflight(APP, "/topics/a")).await.status(), 405);
}
