//! §4: errors.

use std::path::PathBuf;
use std::sync::Arc;

use tidings_hub::Hub;
use tidings_log::{AppendError, LogUnavailable, ReadError};

use crate::support::{FaultyLog, Request, Running, Setup};

#[tokio::test]
async fn there_is_nothing_elsewhere() {
    let hub = Running::start().await;
    for path in
        ["/", "/nowhere", "/topic", "/Topics/a", "/events/", "/events/a", "/healthz/", "/metrics/x", "//"]
    {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let detail = hub.ask(Request::new(method, path)).await.problem(404, "not-found");
            assert!(detail.contains("/topics/{topic}"));
        }
    }
}

#[tokio::test]
async fn each_path_says_which_methods_it_takes() {
    let hub = Running::start().await;
    for (path, allow, refused) in [
        ("/topics/a", "GET, HEAD, POST, DELETE", &["PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND"][..]),
        ("/topics/a/b/*", "GET, HEAD, POST, DELETE", &["PUT"]),
        ("/events", "GET, HEAD, POST", &["PUT", "DELETE", "OPTIONS"]),
        ("/topics", "GET, HEAD", &["POST", "PUT", "DELETE"]),
        ("/healthz", "GET, HEAD", &["POST", "DELETE"]),
        ("/readyz", "GET, HEAD", &["POST", "PUT"]),
        ("/metrics", "GET, HEAD", &["POST", "PATCH"]),
    ] {
        for method in refused {
            let answer = hub.ask(Request::new(method, path)).await;
            let detail = answer.problem(405, "method-not-allowed");
            assert_eq!(answer.header("allow"), Some(allow));
            assert!(detail.contains(allow));
        }
    }
}

#[tokio::test]
async fn a_detail_shows_what_was_wrong_and_not_all_of_it() {
    let hub = Running::start().await;
    let detail = hub.get(&format!("/topics/{}%0A", "x".repeat(5_000))).await.problem(400, "invalid-topic");
    assert!(detail.len() < 500, "{detail}");
    let detail =
        hub.get(&format!("/topics/a?since={}", "x".repeat(5_000))).await.problem(400, "invalid-query");
    assert!(detail.len() < 500, "{detail}");
    let detail = hub.ask(Request::post("/topics/a", "{\"a\": x}").json()).await.problem(400, "invalid-data");
    assert!(detail.contains("column 7"), "{detail}");
}

#[tokio::test]
async fn a_log_that_was_closed_is_still_read() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    assert_eq!(hub.get("/readyz").await.text(), "ready\n");
    hub.hub.close().await.unwrap();
    for request in [
        Request::post("/topics/a", "y"),
        Request::post("/topics/a?close=true", ""),
        Request::post("/events", "{\"topic\":\"a\",\"data\":1}").ndjson(),
        Request::get("/readyz"),
    ] {
        let answer = hub.ask(request).await;
        answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
    assert_eq!(hub.read("/topics/a").await, ["x"]);
    assert_eq!(hub.get("/healthz").await.text(), "ok\n");
    assert_eq!(hub.metric("tidings_log_writable").await, 0);
}

#[tokio::test]
async fn what_the_log_refuses_is_refused_in_its_words() {
    let log = Arc::new(FaultyLog::new(Setup::new().log()));
    let hub = Setup::new().start_over(Hub::new(log.clone(), Setup::new().hub)).await;
    for (error, status, name) in [
        (AppendError::Full { reason: "no space left".into() }, 507, "log-full"),
        (AppendError::TooLarge { bytes: 9, limit: 8 }, 413, "event-too-large"),
    ] {
        log.refuse_appends(Some(error.clone()));
        let answer = hub.ask(Request::post("/topics/a", "x")).await;
        assert_eq!(answer.problem(status, name), error.to_string());
        assert_eq!(answer.header("retry-after"), None);
    }
    log.refuse_appends(Some(LogUnavailable { reason: "no /secret/place".into() }.into()));
    for request in [Request::post("/topics/a", "x"), Request::get("/readyz")] {
        let answer = hub.ask(request).await;
        let text = "the log takes no writes now; the hub's own log says why";
        assert_eq!(answer.problem(503, "unavailable"), text);
        assert!(answer.header("retry-after").is_some());
    }
    log.refuse_appends(None);
    hub.publish("a", "once there is room again").await;
    assert_eq!(hub.poll("/topics/a").await.events.len(), 1);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_unavailable_and_its_files_are_nobodys_business() {
    let log = Arc::new(FaultyLog::new(Setup::new().log()));
    let mut setup = Setup::new();
    setup.hub.tail_bytes = 0;
    let hub = setup.clone().start_over(Hub::new(log.clone(), setup.hub)).await;
    hub.publish_numbers("a", 0..3).await;
    let file = PathBuf::from("/secret/place");
    log.refuse_reads(Some(ReadError::Damaged { file, offset: 7, reason: "checksum".into() }));
    let answer = hub.get("/topics/a").await;
    assert!(!answer.problem(503, "unavailable").contains("secret"));
    assert!(answer.header("retry-after").is_some());
    assert!(!hub.ask(Request::stream("/topics/a?since=-1")).await.put_off().contains("secret"));
    // A stream that is on its way already is cut off, so that its client comes back.
    let mut stream = hub.open(Request::stream(&format!("/topics/a?since={}", hub.cursor(0)))).await;
    assert_eq!(stream.block().await.id, Some(hub.cursor(0)));
    let rest = stream.end().await;
    assert_eq!(rest, "");
    log.refuse_reads(None);
    assert_eq!(hub.read("/topics/a").await, ["0", "1", "2"]);
}

#[tokio::test]
async fn no_answer_is_to_be_taken_for_another_type_than_it_says() {
    let hub = Running::start().await;
    let id = hub.publish("a", "<script>").await;
    let held = Request::get(&format!("/topics/a?since={id}&wait=20ms"));
    for request in [
        Request::get("/topics/a"),
        held.clone(),
        Request::get("/topics"),
        Request::get("/metrics"),
        Request::post("/topics/a", "x"),
        Request::new("PUT", "/topics/a"),
        Request::get("/nothing"),
        Request::new("OPTIONS", "/topics/a"),
        Request::get("/healthz").header("host", "twice"),
    ] {
        let answer = hub.ask(request).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
    }
    let stream = hub.stream("/topics/a").await;
    assert_eq!(stream.head.header("x-content-type-options"), Some("nosniff"));
}

/// For those who read it in a terminal.
#[tokio::test]
async fn every_answer_in_json_is_a_line() {
    let hub = Running::start().await;
    let id = hub.publish("a", "x").await;
    hub.publish("a", "y").await;
    for (request, status) in [
        (Request::get("/topics/a"), 200),
        (Request::get("/topics/a?wait=20ms&since=latest"), 200),
        (Request::get(&format!("/topics/a?since={id}")), 200),
        (Request::get("/events?topic=a"), 200),
        (Request::get("/topics"), 200),
        (Request::get("/openapi.json"), 200),
        (Request::post("/topics/a", "x"), 201),
        (Request::post("/topics/a", "{\"data\":1}").ndjson(), 201),
        (Request::post("/events", "[{\"topic\":\"a\",\"data\":1}]").json(), 201),
        (Request::get("/topics/a?limit=0"), 400),
        (Request::get("/nowhere"), 404),
        (Request::new("PUT", "/topics/a"), 405),
        (Request::get("/topics/a").header("host", "twice"), 400),
    ] {
        let answer = hub.ask(request.clone()).await;
        assert_eq!(answer.status(), status, "{request:?}");
        assert!(answer.header("content-type").unwrap().contains("json"), "{request:?}");
        let text = answer.text();
        assert!(text.ends_with("}\n") && !text.ends_with("\n\n"), "{request:?}: {text:?}");
        assert_eq!(answer.header("content-length").unwrap(), text.len().to_string(), "{request:?}");
    }
    // A poll that waited in a shard, too.
    let mut wire = hub.connect().await;
    for round in 0..3 {
        let target = format!("/topics/a?wait=30&since={}", hub.cursor(hub.hub.latest()));
        wire.send(Request::get(&target).bytes()).await;
        hub.waiting("a", 1).await;
        hub.publish("a", "later").await;
        let answer = wire.answer(false).await;
        assert!(answer.text().ends_with("}\n"), "round {round}: {:?}", answer.text());
    }
}
