//! What a hub takes, whoever brings it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

use std::sync::Arc;
use std::time::Duration;

use tidings_hub::{Hub, HubConfig};
use tidings_log::{AppendError, Batch, Idempotency, Log, MemoryLog, Retention, Scope};
use tidings_protocol::{NewEvent, Topic};

fn log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Retention::default(), Duration::from_secs(60)))
}

#[tokio::test]
async fn a_hub_takes_so_many_topics_and_no_more() {
    let log = log();
    let hub = Hub::new(Arc::clone(&log) as Arc<dyn Log>, HubConfig { max_topics: 3, ..HubConfig::default() });
    let event = |name: &str| NewEvent::text(Topic::new(name).unwrap(), "x");
    let batch = |names: &[&str]| Batch {
        events: names.iter().map(|name| event(name)).collect(),
        close: None,
        idempotency: None,
    };
    hub.publish(batch(&["a", "a", "b", "a", "b"])).await.unwrap();
    let refused = hub.publish(batch(&["a", "c", "d", "c"])).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Full { reason } if reason.contains("max-topics")), "{refused}");
    assert_eq!(hub.stats().topics, 2, "a batch is appended whole or not at all");
    hub.publish(batch(&["c", "c", "a"])).await.unwrap();
    for name in ["d", "e"] {
        assert!(matches!(hub.publish(batch(&[name])).await, Err(AppendError::Full { .. })));
        let end =
            Batch { events: Vec::new(), close: Some(Topic::new(name).unwrap().into()), idempotency: None };
        assert!(matches!(hub.publish(end).await, Err(AppendError::Full { .. })));
    }
    hub.publish(batch(&["a", "b", "c"])).await.unwrap();
    // What another program brings is known as well.
    log.append(batch(&["d"])).await.unwrap();
    hub.publish(batch(&["d", "a"])).await.unwrap();
}

#[tokio::test]
async fn a_key_that_http_would_not_let_in_is_refused() {
    let hub = Hub::new(log(), HubConfig::default());
    let batch = |key: &str| {
        let event = NewEvent::text(Topic::new("a").unwrap(), "x");
        let idempotency = Idempotency { scope: Scope::Batches, key: key.to_owned() };
        Batch { idempotency: Some(idempotency), ..Batch::of(event) }
    };
    for key in ["", "two words", "ü", "line\nfeed", &"k".repeat(256)] {
        assert_eq!(hub.publish(batch(key)).await.unwrap_err(), AppendError::InvalidKey, "{key}");
    }
    assert_eq!(hub.bounds().latest, 0);
    for key in ["k", "!~", &"k".repeat(255)] {
        hub.publish(batch(key)).await.unwrap();
    }
}
