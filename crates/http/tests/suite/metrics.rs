//! §3.5: what `/metrics` counts, beside what `operations` asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidings_hub::Hub;
use tidings_log::{DiskConfig, DiskLog};

use crate::support::{H2, Request, Running, Setup, eventually};

/// Counts how often a metric of two words and a transport was taken.
async fn count(hub: &Running, name: &str, transport: &str) -> u64 {
    hub.metric(&format!("tidings_{name}{{transport=\"{transport}\"}}")).await
}

#[tokio::test]
async fn the_time_of_publications_and_deliveries_is_taken() {
    let hub = Running::start().await;
    hub.publish("a", "before").await;
    hub.ask(Request::post("/topics/a", "{").json()).await.problem(400, "invalid-data");
    assert_eq!(hub.metric("tidings_publish_seconds_count").await, 1);

    let mut stream = hub.stream("/topics/a?since=earliest").await;
    stream.event().await;
    let mut lines = hub.open(Request::lines("/topics/a")).await;
    let mut h2 = H2::connect(hub.address).await;
    let mut encrypted = h2.stream("/topics/a?since=earliest").await;
    encrypted.event().await;
    let mut wire = hub.connect().await;
    wire.send(Request::get("/topics/a?wait=20").bytes()).await;
    hub.waiting("a", 4).await;
    for transport in ["sse", "ndjson", "long-poll"] {
        assert_eq!(
            count(&hub, "delivery_seconds_count", transport).await,
            0,
            "what was old was not waited for"
        );
    }

    hub.publish("a", "now").await;
    stream.event().await;
    lines.line().await;
    encrypted.event().await;
    wire.answer(false).await.page();
    for (transport, events) in [("sse", 2), ("ndjson", 1), ("long-poll", 1), ("poll", 0)] {
        // The last of them is counted just after it is sent.
        let counted = async || count(&hub, "delivery_seconds_count", transport).await == events;
        eventually(transport, counted).await;
    }
    let all = hub.get("/metrics").await;
    let slow = "tidings_delivery_seconds_bucket{le=\"10.0\",transport=\"sse\"} 2";
    assert!(all.text().lines().any(|line| line == slow), "{}", all.text());
}

#[tokio::test]
async fn who_comes_with_a_cursor_comes_back() {
    let hub = Running::start().await;
    let id = hub.publish("a", "x").await;
    hub.poll("/topics/a").await;
    hub.stream("/topics/a?since=earliest").await;
    for transport in ["poll", "long-poll", "sse", "ndjson"] {
        assert_eq!(count(&hub, "reconnects_total", transport).await, 0, "{transport}");
    }
    hub.poll(&format!("/topics/a?since={id}")).await;
    hub.open(Request::stream("/topics/a").last_event_id(&id)).await;
    hub.open(Request::stream("/topics/a?lastEventId=nonsense")).await;
    hub.open(Request::lines(&format!("/topics/a?since={id}"))).await;
    // Also where its connection never left the shards.
    let mut wire = hub.connect().await;
    for number in 0..3 {
        wire.send(Request::get(&format!("/topics/a?wait=20&since={}", hub.cursor(number + 1))).bytes()).await;
        eventually("it waits", async || count(&hub, "subscribers", "long-poll").await == 1).await;
        hub.publish("a", "x").await;
        wire.answer(false).await.page();
    }
    for (transport, times) in [("poll", 1), ("long-poll", 3), ("sse", 2), ("ndjson", 1)] {
        assert_eq!(count(&hub, "reconnects_total", transport).await, times, "{transport}");
    }
}

#[tokio::test]
async fn refusals_are_counted_by_reason_and_responses_by_status() {
    let hub = Running::start().await;
    hub.get("/nowhere").await.problem(404, "not-found");
    hub.get("/topics/a?since=x").await.problem(400, "invalid-query");
    hub.get("/topics/a?limit=0").await.problem(400, "invalid-query");
    hub.ask(Request::new("PUT", "/events")).await.problem(405, "method-not-allowed");
    // Before any route is looked for.
    let mut wire = hub.connect().await;
    wire.send("GET /topics/a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
    wire.answer(false).await.problem(400, "invalid-query");
    for (reason, times) in [("not-found", 1), ("invalid-query", 3), ("method-not-allowed", 1)] {
        let name = format!("tidings_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(hub.metric(&name).await, times, "{reason}");
    }
    assert_eq!(hub.metric("tidings_responses_total{status=\"400\"}").await, 3);
    let before = hub.metric("tidings_responses_total{status=\"200\"}").await;
    hub.poll("/topics/a").await;
    hub.stream("/topics/a").await;
    // And the two that ask.
    assert_eq!(hub.metric("tidings_responses_total{status=\"200\"}").await, before + 3);
}

#[tokio::test]
async fn connections_are_counted_by_what_they_speak() {
    let hub = Running::start().await;
    let speaking = async |protocol| {
        let name = format!("tidings_protocol_connections{{protocol=\"{protocol}\",tls=\"false\"}}");
        hub.metric(&name).await
    };
    let silent = hub.connect().await;
    let parked = hub.stream("/topics/a").await;
    let mut h2 = H2::connect(hub.address).await;
    h2.ask("GET", "/healthz", &[], "").await;
    eventually("the last one who asked is gone", async || speaking("http/1.1").await == 2).await;
    assert_eq!(speaking("http/2").await, 1);
    assert_eq!(hub.metric("tidings_connections").await, 4);
    drop((silent, parked, h2));
    eventually("they are gone", async || speaking("http/1.1").await == 1 && speaking("http/2").await == 0)
        .await;
}

async fn on_disk(dir: &std::path::Path, tail_bytes: usize) -> Running {
    let mut setup = Setup::new();
    setup.hub.tail_bytes = tail_bytes;
    let log = DiskLog::open(dir, DiskConfig::default()).unwrap();
    let hub = Hub::new(Arc::new(log), setup.hub);
    setup.start_over(hub).await
}

#[tokio::test]
async fn the_log_tells_its_size_and_what_was_read_where() {
    let dir = tempfile::tempdir().unwrap();
    // Room for the newest event alone.
    let hub = on_disk(dir.path(), 1).await;
    hub.publish_numbers("a", 0..5).await;
    assert_eq!(hub.metric("tidings_log_entries").await, 5);
    assert_eq!(hub.metric("tidings_log_segments").await, 1);
    assert!(hub.metric("tidings_log_bytes").await > 5 * 36);
    assert!(hub.metric("tidings_log_sync_seconds_count").await >= 1);
    assert_eq!(hub.metric("tidings_tail_entries").await, 1);
    assert!(hub.metric("tidings_tail_bytes").await > 0);

    let (hits, misses) = ("tidings_tail_hits_total", "tidings_tail_misses_total");
    assert_eq!((hub.metric(hits).await, hub.metric(misses).await), (0, 0));
    hub.poll(&format!("/topics/a?since={}", hub.cursor(4))).await;
    assert_eq!((hub.metric(hits).await, hub.metric(misses).await), (1, 0));
    hub.poll("/topics/a").await;
    assert_eq!((hub.metric(hits).await, hub.metric(misses).await), (1, 1));
}

#[tokio::test]
async fn the_two_formats_have_the_same_samples() {
    let hub = Running::start().await;
    let older = hub.get("/metrics").await;
    let newer = hub.ask(Request::get("/metrics").accept("application/openmetrics-text;version=1.0.0")).await;
    assert_eq!(
        newer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(newer.text().ends_with("# EOF\n") && !older.text().contains("# EOF"));
    assert!(newer.text().contains("# TYPE tidings_published_events counter\n"));
    assert!(older.text().contains("# TYPE tidings_published_events_total counter\n"));
    let names = |text: &str| -> BTreeSet<String> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    assert_eq!(names(older.text()), names(newer.text()));
}

/// The names of all families, as they are told.
fn families(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

#[tokio::test]
async fn the_documentation_names_every_metric_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let hub = on_disk(dir.path(), 1 << 20).await;
    let answer = hub.get("/metrics").await;
    let page = include_str!("../../../../docs/operations.md");
    let table =
        page.lines().filter(|line| line.starts_with("| `tidings_") || line.starts_with("| `process_"));
    let names =
        table.filter_map(|line| line.split('|').nth(1)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: BTreeSet<&str> =
        names.filter(|name| name.starts_with("tidings_") || name.starts_with("process_")).collect();
    assert_eq!(named.into_iter().filter(is_told).collect::<BTreeSet<_>>(), families(answer.text()));
}

/// Whether a metric is told here. What the process takes is told on Linux alone, and not by the portable twin.
fn is_told(name: &&str) -> bool {
    !(cfg!(feature = "portable") && name.starts_with("process_"))
}

/// The names of metrics in a text, as families.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let own = words.filter(|word| word.starts_with("tidings_") || word.starts_with("process_"));
    own.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let hub = on_disk(dir.path(), 1 << 20).await;
    let answer = hub.get("/metrics").await;
    let served = families(answer.text());
    let dashboard = include_str!("../../../../deploy/grafana/tidings.json");
    let alerts = include_str!("../../../../deploy/prometheus/tidings.rules.yml");
    for (what, text) in [("dashboard", dashboard), ("alerts", alerts)] {
        let missing: Vec<_> = named(text).difference(&served).copied().filter(is_told).collect();
        assert!(missing.is_empty(), "the {what}: {missing:?}");
    }
    let shown = named(dashboard);
    let hidden: Vec<_> = served.difference(&shown).collect();
    assert!(hidden.is_empty(), "the dashboard does not show {hidden:?}");
}

#[test]
fn every_panel_of_the_dashboard_has_a_unit_and_the_chosen_source() {
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../../../deploy/grafana/tidings.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = &panel["title"];
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        assert!(ids.insert(panel["id"].as_u64()), "{title}");
    }
    assert_eq!(dashboard["templating"]["list"][0]["name"], "datasource");
}
