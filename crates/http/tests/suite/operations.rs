//! §3.5: what an operator asks.

use crate::support::{Request, Running, eventually};

#[tokio::test]
async fn health_and_readiness_are_plain() {
    let hub = Running::start().await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = hub.get(path).await;
        assert_eq!((answer.status(), answer.text()), (200, text));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let head = hub.ask(Request::new("HEAD", path)).await;
        let length = text.len().to_string();
        assert_eq!((head.status(), head.text(), head.header("content-length")), (200, "", Some(&*length)));
        let refused = hub.ask(Request::post(path, "")).await;
        refused.problem(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let hub = Running::start().await;
    let answer = hub.get("/metrics").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in answer.text().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let own = name.starts_with("tidings_") || name.starts_with("process_");
        assert!(own && value.parse::<f64>().is_ok(), "{line}");
    }
    for family in ["published_events_total", "connections", "log_earliest", "log_latest", "log_writable"] {
        assert!(answer.text().contains(&format!("# HELP tidings_{family} ")), "{family}");
    }
}

#[tokio::test]
async fn what_was_published_and_delivered_is_counted() {
    let hub = Running::start().await;
    hub.publish("a", "12345").await;
    let batch = Request::post("/topics/a", "{\"data\":\"67\"}\n{\"data\":\"8\"}").ndjson().key("k");
    hub.ask(batch.clone()).await.ids();
    assert_eq!(hub.ask(batch).await.status(), 200);
    hub.ask(Request::post("/topics/a", "{").json()).await.problem(400, "invalid-data");
    hub.close_topic("b").await;
    assert_eq!(hub.metric("tidings_published_events_total").await, 3);
    assert_eq!(hub.metric("tidings_published_bytes_total").await, 8);
    assert_eq!(hub.metric("tidings_log_earliest").await, 1);
    assert_eq!(hub.metric("tidings_log_latest").await, 4);
    assert_eq!(hub.metric("tidings_log_writable").await, 1);

    hub.poll("/topics/a?limit=2").await;
    hub.poll("/topics/a?wait=10&since=earliest").await;
    let mut stream = hub.stream("/topics/a?since=-1").await;
    stream.event().await;
    let mut lines = hub.open(Request::lines("/topics/a?since=-2")).await;
    lines.line().await;
    lines.line().await;
    for (transport, events) in [("poll", 2), ("long-poll", 3), ("sse", 1), ("ndjson", 2)] {
        let name = format!("tidings_delivered_events_total{{transport=\"{transport}\"}}");
        assert_eq!(hub.metric(&name).await, events, "{transport}");
        let name = format!("tidings_delivered_bytes_total{{transport=\"{transport}\"}}");
        assert!(hub.metric(&name).await > 0, "{transport}");
    }
    hub.readers("sse", 1).await;
    hub.readers("ndjson", 1).await;
    hub.readers("long-poll", 0).await;
}

#[tokio::test]
async fn open_connections_are_counted() {
    let hub = Running::start().await;
    let wires = [hub.connect().await, hub.connect().await, hub.connect().await];
    let count = async || hub.metric("tidings_connections").await;
    eventually("all are open", async || count().await == 4).await;
    drop(wires);
    eventually("all but one are closed", async || count().await == 1).await;
}
