use tidings_log::{Batch, ReadLimits};
use tidings_protocol::{NewEvent, Selection, Topic};
use tokio::task::JoinSet;

use crate::conformance::open;
use crate::shelf::Shelf;

/// Readers who lost the same hub come back to about the same place, with selections of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_return_together_share_what_they_read() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    let topic = |number: usize| Topic::new(&format!("t/{}", number % 10)).unwrap();
    for _ in 0..20 {
        let events = (0..1_000).map(|number| NewEvent::text(topic(number), "x".repeat(100))).collect();
        log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
    }
    let (latest, before) = (log.bounds().latest, shelf.reads());
    let mut readers = JoinSet::new();
    for number in 0..200 {
        let log = std::sync::Arc::clone(&log);
        readers.spawn(async move {
            let selection = Selection::new([topic(number).into()]);
            let (mut after, mut count) = (0, 0);
            while after < latest {
                let limits = ReadLimits { entries: 1_000, bytes: 1 << 20 };
                let chunk = log.read(after, &selection, limits).await.unwrap();
                count += chunk.entries.len();
                after = chunk.next;
            }
            assert_eq!(count, 2_000);
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    // The log has three blocks. A reader may begin one of its own inside of one that is only being read.
    let reads = shelf.reads() - before;
    assert!((3..=10).contains(&reads), "{reads}");
}
