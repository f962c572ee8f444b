//! A hub that is opened over a log reads the newest events into memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidings_hub::{Hub, HubConfig, PullLimits};
use tidings_log::{
    AppendError, Appended, Batch, Bounds, BoxFuture, Chunk, Follower, Log, LogStats, LogUnavailable,
    MemoryLog, Position, ReadError, ReadLimits, Retention, TopicInfo, TopicQuery,
};
use tidings_protocol::{NewEvent, Selection, Selector, Sequence, Start, Topic};

fn log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Retention::default(), Duration::from_secs(60)))
}

fn select(selector: &str) -> Selection {
    Selection::new([Selector::new(selector).unwrap()])
}

async fn publish(hub: &Hub, topic: &str, text: &str) {
    hub.publish(Batch::of(NewEvent::text(Topic::new(topic).unwrap(), text))).await.unwrap();
}

#[tokio::test]
async fn a_hub_that_is_opened_again_reads_the_newest_events_into_memory() {
    let log = log();
    let first = Hub::new(log.clone(), HubConfig::default());
    for number in 0..50 {
        publish(&first, "a", &number.to_string()).await;
    }
    drop(first);
    for (tail_bytes, all) in [(1 << 20, true), (5_000, false), (0, false)] {
        let hub = Hub::new(log.clone(), HubConfig { tail_bytes, ..HubConfig::default() });
        let latest = hub.latest();
        assert!(hub.recent(latest - 1, PullLimits::default()).is_none(), "nothing is in memory yet");
        let mut cold = hub.subscribe(select("a"), Start::Last(50)).await.unwrap();
        assert_eq!(cold.pull(PullLimits::default()).await.unwrap().entries.len(), 50);
        hub.warm().await.unwrap();
        assert_eq!(hub.recent(0, PullLimits::default()).is_some(), all);
        assert_eq!(hub.recent(latest - 1, PullLimits::default()).is_some(), tail_bytes > 0);
        if let Some(recent) = hub.recent(latest - 5, PullLimits::default()) {
            let sequences: Vec<_> = recent.entries.iter().map(|entry| entry.event().sequence).collect();
            assert_eq!(sequences, (latest - 4..=latest).collect::<Vec<_>>());
        }
        let mut warm = hub.subscribe(select("a"), Start::Last(50)).await.unwrap();
        assert_eq!(warm.pull(PullLimits::default()).await.unwrap().entries.len(), 50);
        publish(&hub, "b", "goes on").await;
        assert_eq!(hub.latest(), latest + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warming_while_others_publish_leaves_no_hole() {
    for _ in 0..20 {
        let log = log();
        let first = Hub::new(log.clone(), HubConfig::default());
        for number in 0..300 {
            publish(&first, "a", &number.to_string()).await;
        }
        drop(first);
        let hub = Hub::new(log, HubConfig { tail_bytes: 100_000, ..HubConfig::default() });
        let publisher = {
            let hub = hub.clone();
            tokio::spawn(async move {
                for number in 300..600 {
                    publish(&hub, "a", &number.to_string()).await;
                }
            })
        };
        hub.warm().await.unwrap();
        publisher.await.unwrap();
        let mut subscription = hub.subscribe(select("*"), Start::Earliest).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 600 {
            let pull = subscription.next(PullLimits { events: 50, ..PullLimits::default() }).await.unwrap();
            let data = pull.entries.iter().map(|entry| entry.event().data.clone());
            seen.extend(data.map(|data| String::from_utf8(data.to_vec()).unwrap()));
        }
        let expected: Vec<_> = (0..600).map(|number| number.to_string()).collect();
        assert_eq!(seen, expected);
    }
}

/// A log in memory that counts what is read of it.
#[derive(Debug)]
struct Counting {
    log: MemoryLog,
    bytes: AtomicUsize,
}

impl Log for Counting {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.log.append(batch)
    }

    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>> {
        Box::pin(async move {
            let chunk = self.log.read(after, selection, limits).await?;
            let bytes = chunk.entries.iter().map(|entry| entry.data.len()).sum();
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            Ok(chunk)
        })
    }

    fn locate<'a>(
        &'a self,
        place: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>> {
        self.log.locate(place, selection)
    }

    fn topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Option<TopicInfo>, ReadError>> {
        self.log.topic(topic)
    }

    fn topics<'a>(&'a self, query: TopicQuery<'a>) -> BoxFuture<'a, Result<Vec<TopicInfo>, ReadError>> {
        self.log.topics(query)
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Bounds {
        self.log.follow(follower)
    }

    fn ready(&self) -> Result<(), LogUnavailable> {
        self.log.ready()
    }

    fn stats(&self) -> LogStats {
        self.log.stats()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        self.log.close()
    }
}

#[tokio::test]
async fn warming_reads_what_has_room_and_little_more() {
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    let (tail_bytes, data) = (1 << 20, "x".repeat(64 << 10));
    for _ in 0..300 {
        log.append(Batch::of(NewEvent::text(Topic::new("a").unwrap(), &data[..]))).await.unwrap();
    }
    let log = Arc::new(Counting { log, bytes: AtomicUsize::new(0) });
    let hub = Hub::new(Arc::clone(&log) as Arc<dyn Log>, HubConfig { tail_bytes, ..HubConfig::default() });
    hub.warm().await.unwrap();
    let (stats, read) = (hub.stats(), log.bytes.load(Ordering::Relaxed));
    assert!((10..=16).contains(&stats.tail_entries), "{}", stats.tail_entries);
    assert!(stats.tail_bytes <= tail_bytes as u64, "{}", stats.tail_bytes);
    assert!(read < 3 * tail_bytes, "{read} bytes were read to keep {}", stats.tail_bytes);
    let latest = hub.latest();
    let after = latest - stats.tail_entries;
    assert!(hub.recent(after, PullLimits::default()).is_some_and(|recent| recent.next > after));
}
