//! §3.4: never silent.

use serde_json::json;
use tidings_protocol::GapReason;

use crate::support::{Block, Request, Running, Setup, texts};

/// A hub that has discarded some of the events that were published as 0 to 99, and the first number it still has.
async fn forgetful() -> (Running, usize) {
    let hub = Setup::keeping(20).start().await;
    hub.publish_numbers("a", 0..100).await;
    let kept = hub.read("/topics/a").await;
    assert!((5..50).contains(&kept.len()), "{}", kept.len());
    (hub, 100 - kept.len())
}

/// Every cursor that cannot be continued, with the reason.
fn broken(hub: &Running) -> Vec<(String, &'static str)> {
    vec![
        (hub.cursor(3), "expired"),
        (hub.cursor(0), "expired"),
        (hub.cursor(101), "ahead"),
        (hub.cursor(u64::MAX), "ahead"),
        ("q7m2x9-3".into(), "unknown"),
        ("q7m2x9-0".into(), "unknown"),
        ("nonsense".into(), "unknown"),
        (format!("{}0", hub.cursor(u64::MAX)), "unknown"),
        (format!("{}-", hub.hub.epoch()), "unknown"),
        (hub.cursor(3).to_uppercase(), "unknown"),
        ("17".into(), "unknown"),
        ("earliest".into(), "unknown"),
        ("<\"\\>".into(), "unknown"),
    ]
}

#[tokio::test]
async fn a_poll_is_told_and_goes_on_from_the_earliest_event() {
    let (hub, first) = forgetful().await;
    let resumed = hub.cursor(first as u64);
    for (cursor, reason) in broken(&hub) {
        for target in ["/topics/a", "/topics/a?wait=30", "/topics/*?since=latest", "/events?topic=a&topic=b"]
        {
            let answer = hub.ask(Request::get(target).last_event_id(&cursor)).await;
            let gap = json!({"reason": reason, "since": cursor, "resumed": resumed});
            assert_eq!(answer.json()["gap"], gap, "{target}");
            let page = answer.page();
            assert_eq!(texts(&page)[0], first.to_string());
            assert_eq!(page.events.len(), 100 - first);
            let page = hub.poll(&format!("/topics/a?since={}", page.next)).await;
            assert!(page.gap.is_none(), "a gap is told once");
        }
    }
}

#[tokio::test]
async fn a_stream_is_told_before_the_events() {
    let (hub, first) = forgetful().await;
    let resumed = hub.cursor(first as u64);
    for (cursor, reason) in broken(&hub) {
        for target in
            ["/topics/a", "/topics/a?since=latest", "/events?topic=a&topic=b", "/topics/a?envelope=true"]
        {
            let mut stream = hub.open(Request::stream(target).last_event_id(&cursor)).await;
            let gap = json!({"reason": reason, "since": cursor, "resumed": resumed});
            let opening = stream.block().await;
            // Cut off here, the client comes back with the cursor that it had, and is told again.
            assert_eq!(opening, Block { retry: Some(2_000), ..Block::default() });
            let told = stream.block().await;
            assert_eq!(told.event.as_deref(), Some("tidings.gap"));
            assert_eq!(told.id.as_deref(), Some(&*resumed));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&told.data.unwrap()).unwrap(), gap);
            assert_eq!(stream.event().await.id, Some(hub.cursor(first as u64 + 1)));
        }
        let mut lines = hub.open(Request::lines("/topics/a").last_event_id(&cursor)).await;
        assert_eq!(lines.line().await["gap"]["reason"], reason);
        assert_eq!(lines.line().await["data"], first.to_string());
    }
}

#[tokio::test]
async fn a_gap_event_is_as_the_protocol_shows_it() {
    let hub = Running::start().await;
    let mut stream = hub.open(Request::stream("/topics/a?lastEventId=q7m2x9-1042")).await;
    let zero = hub.cursor(0);
    stream
        .expect(&format!(
            "retry: 2000\n\nevent: tidings.gap\nid: {zero}\ndata: {{\"reason\":\"unknown\",\"since\":\"q7m2x9-1042\",\
             \"resumed\":\"{zero}\"}}\n\n"
        ))
        .await;
    let id = hub.publish("a", "x").await;
    stream.expect(&format!("id: {id}\ndata: x\n\n")).await;
}

#[tokio::test]
async fn a_last_event_id_is_never_an_error() {
    let hub = Running::start().await;
    let long = "x".repeat(8_000);
    for id in ["0", "-", "--", "{}", "a b", "\u{20ac}", &long, "q7m2x9-99999999999999999999999"] {
        for accept in ["application/json", "text/event-stream", "application/x-ndjson"] {
            let header = Request::new("HEAD", "/topics/a").accept(accept).last_event_id(id);
            assert_eq!(hub.ask(header).await.status(), 200, "{id}");
        }
        let page = hub.ask(Request::get("/topics/a").last_event_id(id)).await.page();
        assert_eq!(page.gap.unwrap().since, id);
    }
    for query in ["lastEventId=%ff", "lastEventId=%00", "lastEventId=nonsense%0A", "lastEventId=%20"] {
        let page = hub.poll(&format!("/topics/a?{query}")).await;
        assert_eq!(page.gap.unwrap().reason, GapReason::Unknown, "{query}");
        assert!(hub.open(Request::stream(&format!("/topics/a?{query}"))).await.block().await.id.is_none());
    }
    let mut wire = hub.connect().await;
    wire.send(b"GET /topics/a HTTP/1.1\r\nhost: hub\r\nlast-event-id: \xff\xfe\r\n\r\n").await;
    assert_eq!(wire.answer(false).await.page().gap.unwrap().reason, GapReason::Unknown);
}

#[tokio::test]
async fn a_well_formed_cursor_of_another_log_is_a_gap_also_as_since() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let page = hub.poll("/topics/a?since=q7m2x9-1").await;
    assert_eq!(page.gap.as_ref().unwrap().reason, GapReason::Unknown);
    assert_eq!(texts(&page), ["x"]);
    let page = hub.poll(&format!("/topics/a?since={}", hub.cursor(2))).await;
    assert_eq!(page.gap.unwrap().reason, GapReason::Ahead);
}

#[tokio::test]
async fn there_is_no_gap_where_nothing_is_missing() {
    let (hub, first) = forgetful().await;
    let edge = hub.cursor(first as u64);
    for since in [&*edge, &hub.cursor(100), "earliest", "latest", "-10000", "7d", "2001-01-01T00:00:00Z"] {
        assert!(hub.get(&format!("/topics/a?since={since}")).await.json().get("gap").is_none(), "{since}");
    }
    let empty = Running::start().await;
    assert!(empty.poll(&format!("/topics/a?since={}", empty.cursor(0))).await.gap.is_none());
}

#[tokio::test]
async fn a_reader_of_pages_that_is_overtaken_is_told() {
    let hub = Setup::keeping(50).start().await;
    hub.publish_numbers("a", 0..40).await;
    let page = hub.poll("/topics/a?limit=10").await;
    assert!(page.more && page.gap.is_none());
    hub.publish_numbers("a", 40..140).await;
    let next = hub.poll(&format!("/topics/a?limit=10&since={}", page.next)).await;
    let gap = next.gap.as_ref().unwrap();
    assert_eq!((gap.reason, &gap.since), (GapReason::Expired, &page.next));
    let first: u64 = texts(&next)[0].parse().unwrap();
    assert_eq!(gap.resumed, hub.cursor(first));
}

#[tokio::test]
async fn an_ended_topic_with_a_gap_before_it_is_told_whole() {
    let hub = Running::start().await;
    hub.ask(Request::post("/topics/a?close=true", "x")).await.id();
    for cursor in ["q7m2x9-1", "nonsense", &hub.cursor(2)] {
        let text = hub.open(Request::stream("/topics/a").last_event_id(cursor)).await.end().await;
        let blocks: Vec<_> = text.split_inclusive("\n\n").map(Block::new).collect();
        let events: Vec<_> = blocks.iter().map(|block| block.event.as_deref()).collect();
        assert_eq!(events, [None, Some("tidings.gap"), None, Some("tidings.end")]);
        let page = hub.ask(Request::get("/topics/a").last_event_id(cursor)).await.page();
        assert!(page.gap.is_some() && page.closed && page.events.len() == 1);
    }
}

#[tokio::test]
async fn a_gap_of_an_empty_log_resumes_at_its_end() {
    let hub = Setup::keeping(1).start().await;
    hub.publish("a", &"x".repeat(1_000)).await;
    let answer = hub.ask(Request::get("/topics/a").last_event_id("nonsense")).await.json();
    let expected = json!({
        "events": [], "next": hub.cursor(1), "more": false,
        "gap": {"reason": "unknown", "since": "nonsense", "resumed": hub.cursor(1)},
    });
    assert_eq!(answer, expected);
    let id = hub.publish("a", "x").await;
    assert_eq!(hub.poll(&format!("/topics/a?since={}", hub.cursor(1))).await.next, id);
}

#[tokio::test]
async fn each_reader_with_a_gap_is_counted_once() {
    let (hub, _) = forgetful().await;
    let count = async |reason: &str| hub.metric(&format!("tidings_gaps_total{{reason=\"{reason}\"}}")).await;
    hub.ask(Request::get("/topics/a").last_event_id("nonsense")).await.page();
    assert_eq!(count("unknown").await, 1);
    let mut stream = hub.open(Request::stream("/topics/a").last_event_id("nonsense")).await;
    stream.block().await;
    stream.block().await;
    assert_eq!(count("unknown").await, 2);
    hub.poll(&format!("/topics/a?since={}", hub.cursor(1))).await;
    hub.poll(&format!("/topics/a?since={}", hub.cursor(1_000))).await;
    assert_eq!((count("expired").await, count("ahead").await), (1, 1));
}
