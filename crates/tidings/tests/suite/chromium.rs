//! Chromium's own `EventSource`.

use crate::clients::{TYPES, keeps_its_place_and_ends_with_the_topic, resumes_after_restarts};
use serde_json::json;

use crate::support::{Authority, Hub, Script, tools};

fn launch(url: &str) -> Option<Script> {
    let chromium = tools::program(&["chromium", "chromium-browser"])?;
    let mut command = tools::node("chromium.mjs", "playwright-core")?;
    command.arg(chromium).arg(url).args(TYPES);
    Some(Script::start(command))
}

#[tokio::test]
async fn chromium_resumes_after_restarts() {
    resumes_after_restarts(launch).await;
}

#[tokio::test]
async fn chromium_keeps_its_place_and_ends_with_the_topic() {
    keeps_its_place_and_ends_with_the_topic(launch).await;
}

/// A hub that is for its machine alone is not for every page that somebody there looks at.
#[tokio::test]
async fn pages_of_others_get_nothing_of_a_hub_on_this_machine() {
    let hub = Hub::in_memory(&[]).await;
    let Some(chromium) = tools::program(&["chromium", "chromium-browser"]) else { return };
    let Some(mut command) = tools::node("chromium_strangers.mjs", "playwright-core") else { return };
    command.arg(chromium).arg(hub.url("").replace("127.0.0.1", "localhost"));
    let mut script = Script::start(command);
    assert_eq!(script.object().await, json!({"page": 421}));
    for _ in 0..2 {
        assert_eq!(script.object().await, json!({"rebound": 421}));
    }
    // The browser takes the name for the hub's own, so it hides nothing.
    assert_eq!(script.object().await, json!({"rebound": 421}));
    for _ in 0..6 {
        assert_eq!(script.object().await, json!({"port": "opaque"}));
    }
    assert_eq!(script.object().await, json!({"form": 403}));
    assert_eq!(hub.get("/topics/a").await.json()["events"], json!([]));
    assert_eq!(script.object().await, json!({"own": 201}));
    script.end().await;
}

/// Over HTTP/1.1 there would be no more than six streams, and a connection for each WebSocket (RFC 8441).
#[tokio::test]
async fn chromium_has_many_streams_and_websockets_on_one_connection() {
    const COUNT: usize = 100;
    let hub = Hub::over_tls(&Authority::new(), &[]).await;
    let Some(chromium) = tools::program(&["chromium", "chromium-browser"]) else { return };
    let Some(mut command) = tools::node("chromium_http2.mjs", "playwright-core") else { return };
    command.arg(chromium).arg(hub.url("/topics/t")).arg(COUNT.to_string());
    let mut script = Script::start(command);
    assert_eq!(script.object().await, json!({"open": COUNT, "protocol": "h2"}));
    let numbers: Vec<_> = (0..COUNT).map(|number| number.to_string()).collect();
    assert_eq!(script.object().await, json!({"got": numbers}));
    // The browser's, a few that it may have opened in advance, and the one that asks.
    assert!(hub.metric("tidings_connections").await <= 10);
    assert_eq!(script.object().await, json!({"subscribed": vec![""; COUNT]}));
    assert_eq!(hub.metric("tidings_websockets").await, COUNT as u64);
    assert!(hub.metric("tidings_connections").await <= 10);
    let said: Vec<_> = (0..COUNT).map(|number| format!("by {number}")).collect();
    assert_eq!(script.object().await, json!({"heard": said}));
    script.end().await;
}
