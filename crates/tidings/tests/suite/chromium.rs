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

/// Over HTTP/1.1 there would be no more than six.
#[tokio::test]
async fn chromium_reads_many_streams_over_one_connection() {
    const COUNT: usize = 120;
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
    script.end().await;
}
