//! What hubs over any engine go through, with clients at both.

use std::time::Duration;

use tidings_engine_servers::SlowProxy;

use super::away::{Watcher, is_ready, publish_many};
use super::load::Load;
use crate::support::Hub;

/// Two hubs over one log, with little memory, so that readers also read what has left it.
pub(super) async fn two(log: &str) -> [Hub; 2] {
    let arguments = ["--tail-bytes", "64KiB"];
    [Hub::over(log, &arguments).await, Hub::over(log, &arguments).await]
}

/// One hub after the other is killed and started again, and its clients go on at the other.
pub(super) async fn hubs_are_killed(log: &str) {
    let mut hubs = two(log).await;
    let load = Load::over(&hubs);
    for killed in [0, 1] {
        load.goes_on(300).await;
        hubs[killed].kill().await;
        load.goes_on(300).await;
        hubs[killed].start_again().await;
    }
    load.goes_on(300).await;
    load.ends().await;
}

/// The engine ends, and is started again, as often as `runs` is told so.
pub(super) async fn is_started_again(log: &str, mut runs: impl FnMut(bool)) {
    let hubs = two(log).await;
    let mut watcher = Watcher::of(&hubs[0], "watched").await;
    let load = Load::over(&hubs);
    load.goes_on(300).await;
    for _ in 0..2 {
        is_away(&hubs[0], &load, &mut watcher, || runs(false)).await;
        runs(true);
        is_ready(&hubs[0], true).await;
        load.goes_on(300).await;
    }
    is_back(&hubs[1], load, watcher).await;
    let log = hubs[0].logged("the engine is back, and takes writes", 2).await;
    assert!(log.contains("the engine is away") && !log.contains("a write failed"), "{log}");
}

/// The engine is there, but says nothing, for as long as `frozen` is told so.
pub(super) async fn says_nothing(log: &str, frozen: impl Fn(bool)) {
    let hubs = two(log).await;
    let mut watcher = Watcher::of(&hubs[0], "watched").await;
    let load = Load::over(&hubs);
    load.goes_on(100).await;
    is_away(&hubs[0], &load, &mut watcher, || frozen(true)).await;
    frozen(false);
    load.goes_on(100).await;
    is_back(&hubs[1], load, watcher).await;
}

/// A stream that is behind waits for a read, and not for what is published.
pub(super) async fn is_away_from_a_stream_that_is_behind(log: &str, mut runs: impl FnMut(bool)) {
    let hubs = two(log).await;
    let count = publish_many(&hubs[0], "behind").await;
    runs(false);
    is_ready(&hubs[0], false).await;
    let mut watcher = Watcher::from(&hubs[0], "behind", "earliest").await;
    watcher.lives().await;
    runs(true);
    watcher.sees_many(count).await;
}

/// The engine answers late: somewhat, then ten times as late, then hardly.
pub(super) async fn is_slow(log: &str, proxy: &SlowProxy, late: Duration) {
    proxy.set_delay(late);
    let hubs = two(log).await;
    let load = Load::over(&hubs);
    load.goes_on(100).await;
    proxy.set_delay(10 * late);
    load.goes_on(20).await;
    proxy.set_delay(Duration::from_millis(1));
    load.goes_on(100).await;
    load.ends().await;
}

/// Clients come to a hub that has not come so far as the one that they were at, and are told of no gap.
pub(super) async fn is_behind(log: &str, slow_log: &str, proxy: &SlowProxy, late: Duration) {
    let (ahead, behind) = (Hub::over(log, &[]).await, Hub::over(slow_log, &[]).await);
    ahead.publish("a", "before").await;
    proxy.set_delay(late);
    for round in 0..3 {
        let id = ahead.publish("a", round.to_string()).await.id;
        let page = behind.get(&format!("/topics/a?since={id}")).await.json();
        assert!(page["gap"].is_null(), "{page}");
        assert_eq!((&page["events"], &page["next"]), (&serde_json::json!([]), &serde_json::json!(id)));
    }
}

async fn is_away(hub: &Hub, load: &Load, watcher: &mut Watcher, goes: impl FnOnce()) {
    goes();
    is_ready(hub, false).await;
    load.is_refused(20).await;
    watcher.lives().await;
}

async fn is_back(hub: &Hub, load: Load, mut watcher: Watcher) {
    is_ready(hub, true).await;
    hub.publish("watched", "at last").await;
    watcher.sees("at last").await;
    load.ends().await;
}
