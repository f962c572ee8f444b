//! §3: where a reader starts.

use std::time::Duration;

use tidings_protocol::Timestamp;
use tokio::time::sleep;

use crate::support::{Request, Running, texts};

#[tokio::test]
async fn a_poll_starts_at_the_earliest_event_and_a_stream_or_long_poll_at_the_latest() {
    let hub = Running::start().await;
    hub.publish("a", "old").await;
    for target in ["/topics/a", "/topics/a?wait=0", "/topics/a?wait=0ms", "/events?topic=a"] {
        assert_eq!(hub.read(target).await, ["old"], "{target}");
    }
    let page = hub.poll("/topics/a?wait=10ms").await;
    assert!(page.events.is_empty() && page.next == hub.cursor(1));
    let mut stream = hub.open(Request::stream("/topics/a")).await;
    stream.expect(&format!("retry: 2000\nid: {}\n\n", hub.cursor(1))).await;
    let mut lines = hub.open(Request::lines("/topics/a")).await;
    hub.waiting("a", 2).await;
    hub.publish("a", "new").await;
    assert_eq!(stream.event().await.data.unwrap(), "new");
    assert_eq!(lines.line().await["data"], "new");
}

#[tokio::test]
async fn since_is_a_cursor() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..3).await;
    for (sequence, expected) in [(0, &["0", "1", "2"][..]), (1, &["1", "2"]), (3, &[])] {
        let cursor = hub.cursor(sequence);
        assert_eq!(hub.read(&format!("/topics/a?since={cursor}")).await, expected);
        assert_eq!(hub.read(&format!("/topics/a?since={cursor}-and-more")).await, expected);
    }
}

#[tokio::test]
async fn since_is_earliest_or_latest() {
    let hub = Running::start().await;
    let page = hub.poll("/topics/a?since=earliest").await;
    assert_eq!((page.events.len(), page.next), (0, hub.cursor(0)));
    hub.publish("a", "x").await;
    let page = hub.poll("/topics/a?since=latest").await;
    assert!(page.events.is_empty() && !page.more && page.next == hub.cursor(1));
    let mut stream = hub.open(Request::stream("/topics/a?since=earliest")).await;
    let opening = format!("retry: 2000\nid: {}\n\n", hub.cursor(0));
    stream.expect(&format!("{opening}id: {}\ndata: x\n\n", hub.cursor(1))).await;
    assert_eq!(hub.read("/topics/a?since=earliest&wait=10").await, ["x"]);
}

#[tokio::test]
async fn since_is_a_count_of_the_last_matching_events() {
    let hub = Running::start().await;
    for number in 0..4 {
        hub.publish_typed("a", if number % 2 == 0 { "even" } else { "odd" }, &number.to_string()).await;
        hub.publish("b", "other").await;
    }
    assert_eq!(hub.read("/topics/a?since=-1").await, ["3"]);
    assert_eq!(hub.read("/topics/a?since=-3").await, ["1", "2", "3"]);
    assert_eq!(hub.read("/topics/a?since=-2&event=even").await, ["0", "2"]);
    assert_eq!(hub.read("/topics/a?since=-10000").await, ["0", "1", "2", "3"]);
    assert_eq!(hub.read("/events?topic=a&topic=b&since=-2").await, ["3", "other"]);
    assert_eq!(hub.read("/topics/nothing?since=-5").await, [""; 0]);
    let mut stream = hub.stream("/topics/a?since=-2").await;
    assert_eq!(stream.event().await.data.unwrap(), "2");
}

#[tokio::test]
async fn the_end_of_a_topic_does_not_count_among_its_last_events() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..3).await;
    hub.close_topic("a").await;
    assert_eq!(hub.read("/topics/a?since=-1").await, ["2"]);
}

#[tokio::test]
async fn since_is_a_time() {
    let hub = Running::start().await;
    hub.publish("a", "before").await;
    sleep(Duration::from_millis(3)).await;
    let answer = hub.ask(Request::post("/topics/a", "at")).await.json();
    let time = answer["time"].as_str().unwrap();
    sleep(Duration::from_millis(3)).await;
    hub.publish("a", "after").await;
    assert_eq!(hub.read(&format!("/topics/a?since={time}")).await, ["at", "after"]);
    let elsewhere = time.replace('Z', "%2B00:00");
    assert_eq!(hub.read(&format!("/topics/a?since={elsewhere}")).await, ["at", "after"]);
    let elsewhere = time.replace('Z', "+00:00");
    assert_eq!(hub.read(&format!("/topics/a?since={elsewhere}")).await, ["at", "after"]);
    assert_eq!(hub.read("/topics/a?since=2001-01-01T00:00:00Z").await, ["before", "at", "after"]);
    let page = hub.poll("/topics/a?since=2101-01-01T00:00:00Z").await;
    assert!(page.events.is_empty() && page.gap.is_none());
}

#[tokio::test]
async fn since_is_an_age() {
    let hub = Running::start().await;
    hub.publish("a", "old").await;
    let published = Timestamp::now();
    for age in ["90s", "15m", "24h", "7d", "60000ms", "1.5h"] {
        assert_eq!(hub.read(&format!("/topics/a?since={age}")).await, ["old"], "{age}");
    }
    while published.until(Timestamp::now()) < Duration::from_millis(20) {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(hub.poll("/topics/a?since=10ms").await.events.is_empty());
}

#[tokio::test]
async fn a_last_event_id_wins_over_since_and_the_header_over_the_query() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..4).await;
    let ids: Vec<_> = (0..5).map(|sequence| hub.cursor(sequence)).collect();
    let query = format!("/topics/a?since={}&lastEventId={}", ids[1], ids[2]);
    let page = hub.ask(Request::get(&query).last_event_id(&ids[3])).await.page();
    assert_eq!(texts(&page), ["3"]);
    assert_eq!(hub.read(&query).await, ["2", "3"]);
    assert_eq!(hub.read(&format!("/topics/a?lastEventId={}&since=latest", ids[2])).await, ["2", "3"]);
    assert_eq!(hub.read(&format!("/topics/a?lastEventId={}&since=nonsense", ids[2])).await, ["2", "3"]);
    let page = hub.ask(Request::get("/topics/a?since=latest").last_event_id(&ids[3])).await.page();
    assert_eq!(texts(&page), ["3"]);
    let request = Request::stream(&query).last_event_id(&ids[3]);
    hub.open(request).await.expect(&format!("retry: 2000\nid: {0}\n\nid: {1}\n", ids[3], ids[4])).await;
    hub.open(Request::stream(&query)).await.expect(&format!("retry: 2000\nid: {}\n\n", ids[2])).await;
}

#[tokio::test]
async fn an_empty_last_event_id_is_none() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..2).await;
    let query = format!("/topics/a?lastEventId=&since={}", hub.cursor(1));
    let page = hub.ask(Request::get(&query).last_event_id("")).await.page();
    assert_eq!(texts(&page), ["1"]);
    assert!(page.gap.is_none());
}

#[tokio::test]
async fn a_malformed_since_is_refused() {
    let hub = Running::start().await;
    for since in [
        "",
        "nonsense",
        "-",
        "-0",
        "-10001",
        "-x",
        "--1",
        "15",
        "1w",
        "q7m2x9",
        "q7m2x9-",
        "q7m2x9-x",
        "Latest",
        "2026-11-22",
        "now",
        "%ff",
        "%00",
    ] {
        for form in ["application/json", "text/event-stream", "application/x-ndjson"] {
            let answer = hub.ask(Request::get(&format!("/topics/a?since={since}")).accept(form)).await;
            answer.problem(400, "invalid-query");
        }
    }
    let detail = hub.get("/topics/a?since=soon").await.problem(400, "invalid-query");
    assert!(detail.contains("soon") && detail.contains("earliest"));
}

#[tokio::test]
async fn what_is_beyond_every_clock_is_the_beginning_or_the_end() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let days = "9".repeat(400);
    for since in ["999999999d", "99999999999999999999h", &format!("{days}d"), "0000-01-01T00:00:00Z"] {
        assert_eq!(hub.read(&format!("/topics/a?since={since}")).await, ["x"], "{since}");
    }
    for since in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999-23:59"] {
        let page = hub.poll(&format!("/topics/a?since={since}")).await;
        assert!(page.events.is_empty() && page.gap.is_none(), "{since}");
        hub.stream(&format!("/topics/a?since={since}")).await;
    }
    for since in ["10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "99999999999999999999"] {
        let detail = hub.get(&format!("/topics/a?since={since}")).await.problem(400, "invalid-query");
        assert!(detail.contains(since) && detail.contains("RFC 3339"), "{detail}");
    }
    // Wishes are clamped, however large they are.
    for wish in ["999999999d", "99999999999999999999", &days] {
        assert_eq!(hub.read(&format!("/topics/a?since=-1&wait={wish}")).await.len(), 1, "{wish}");
        hub.stream(&format!("/topics/a?heartbeat={wish}")).await;
    }
    for limit in ["99999999999999999999", "18446744073709551617", "-1", "1e3"] {
        let detail = hub.get(&format!("/topics/a?limit={limit}")).await.problem(400, "invalid-query");
        assert!(detail.contains("1 to 10000"), "{detail}");
    }
}
