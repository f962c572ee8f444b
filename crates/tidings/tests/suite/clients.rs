//! What every third-party client of `text/event-stream` is put through.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use crate::support::{Hub, Relay, Script};

/// The event types that a client is to listen for: `EventSource` shows no other.
pub(crate) const TYPES: [&str; 4] = ["message", "shipped", "tidings.gap", "tidings.end"];

/// What a client says that it saw.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Seen {
    Open,
    Event(Shown),
    /// The connection was lost, or not made, and the client will come back.
    Cut,
    /// The client will not come back.
    Closed,
}

#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
struct Shown {
    #[serde(rename = "type")]
    event: String,
    data: String,
    id: String,
}

/// Events that are easily spoilt on the way: media type, query, data, and the event that a reader is to get.
const SHAPES: [(&str, &str, &str, &str, &str); 10] = [
    ("text/plain", "", "plain", "message", "plain"),
    ("text/plain", "?event=shipped", "named", "shipped", "named"),
    ("text/plain", "", "one\ntwo\n\nfour\n", "message", "one\ntwo\n\nfour\n"),
    ("text/plain", "", "carriage\rreturns\r\nalso", "message", "carriage\nreturns\nalso"),
    ("text/plain", "", "  : spaces and a colon", "message", "  : spaces and a colon"),
    (
        "text/plain",
        "",
        "a\nid: 7\nevent: evil\nretry: 1\n\ndata: b",
        "message",
        "a\nid: 7\nevent: evil\nretry: 1\n\ndata: b",
    ),
    (
        "text/plain",
        "",
        "grüße \u{1f4ec} \u{2028}\u{85}\u{feff}",
        "message",
        "grüße \u{1f4ec} \u{2028}\u{85}\u{feff}",
    ),
    (
        "application/json",
        "?event=shipped",
        r#"{"carrier":"X","weight":1.50}"#,
        "shipped",
        r#"{"carrier":"X","weight":1.50}"#,
    ),
    ("application/json", "", "{\n  \"a\": [1,\n 2]\n}", "message", "{\n  \"a\": [1,\n 2]\n}"),
    ("application/octet-stream", "", "\0bytes", "message", "AGJ5dGVz"),
];

/// A client reads named events, data of several lines and JSON, and goes on after the hub was killed and after it
/// was asked to end: every event once, in order.
pub(crate) async fn resumes_after_restarts(launch: impl FnOnce(&str) -> Option<Script>) {
    let mut hub = Hub::on_disk(&[]).await;
    let Some(mut client) = launch(&hub.url("/topics/orders/42")) else { return };
    let mut expected = Vec::new();
    let mut shown = Vec::new();
    assert_eq!(next(&mut client).await, Seen::Open);

    for (form, query, data, event, received) in SHAPES {
        let published = hub.publish_as(form, &format!("orders/42{query}"), data).await;
        expected.push(Shown { event: event.into(), data: received.into(), id: published.id });
    }
    let long = "0123456789abcdef".repeat(20_000);
    publish(&hub, &mut expected, &long).await;
    read_until(&mut client, &mut shown, &expected).await;

    for killed in [true, false] {
        // Some of these are on their way to the client while the hub ends.
        for number in 0..5 {
            publish(&hub, &mut expected, &format!("before {number}")).await;
        }
        if killed {
            hub.kill().await;
        } else {
            hub.terminate().await;
        }
        hub.start_again().await;
        // And most of these come while the client is away.
        for number in 0..5 {
            publish(&hub, &mut expected, &format!("after {number}")).await;
        }
        read_until(&mut client, &mut shown, &expected).await;
    }
    client.end().await;
}

/// A client hears of its place while its topic is silent, comes back with it, and ends for good with the topic.
pub(crate) async fn keeps_its_place_and_ends_with_the_topic(launch: impl FnOnce(&str) -> Option<Script>) {
    let hub = Hub::in_memory(&[]).await;
    let relay = Relay::to(hub.address()).await;
    let Some(mut client) = launch(&relay.url("/topics/orders/42?heartbeat=1")) else { return };
    let mut shown = Vec::new();

    // The first thing that a client is told is its place: cut off now, it loses nothing.
    hub.publish("other", "before").await;
    assert_eq!(next(&mut client).await, Seen::Open);
    relay.answered("retry: 2000\nid: ").await;
    assert!(!relay.request(0).await.contains("last-event-id"));
    relay.cut();
    let mut expected = Vec::new();
    publish(&hub, &mut expected, "while away").await;
    read_until(&mut client, &mut shown, &expected).await;
    assert!(relay.request(1).await.contains("last-event-id: "));

    // Others' events move the place as well, which only a heartbeat tells.
    let place = hub.publish("other", "meanwhile").await.id;
    relay.answered(&format!(":\nid: {place}\n\n")).await;
    relay.cut();
    assert!(relay.request(2).await.contains(&format!("last-event-id: {place}\r\n")));

    let last = hub.publish("orders/42?close=true", "last").await;
    expected.push(Shown { event: "message".into(), data: "last".into(), id: last.id.clone() });
    expected.push(Shown { event: "tidings.end".into(), data: "{}".into(), id: last.id.clone() });
    read_until(&mut client, &mut shown, &expected).await;
    assert_eq!(next(&mut client).await, Seen::Cut);
    assert_eq!(next(&mut client).await, Seen::Closed);
    assert!(relay.request(3).await.contains(&format!("last-event-id: {}\r\n", last.id)));
    relay.answered("HTTP/1.1 204 ").await;
    // Longer than the delay after which it would come back.
    let another = timeout(Duration::from_millis(2_500), relay.request(4)).await;
    assert!(another.is_err(), "it came back after 204");
    assert_eq!(relay.requests(), 4);
    client.end().await;
}

async fn publish(hub: &Hub, expected: &mut Vec<Shown>, data: &str) {
    let published = hub.publish("orders/42", data.to_owned()).await;
    expected.push(Shown { event: "message".into(), data: data.into(), id: published.id });
}

async fn next(client: &mut Script) -> Seen {
    serde_json::from_value(client.object().await).unwrap()
}

/// Reads until all that is expected was shown: exactly that, in that order.
async fn read_until(client: &mut Script, shown: &mut Vec<Shown>, expected: &[Shown]) {
    while shown.len() < expected.len() {
        match next(client).await {
            Seen::Event(event) => {
                assert_eq!(event, expected[shown.len()], "event {}", shown.len());
                shown.push(event);
            }
            Seen::Open | Seen::Cut => {}
            Seen::Closed => panic!("the client gave up after {} events", shown.len()),
        }
    }
}
