//! A reader that is cut off again and again, over every transport, while several publishers publish and the hub is
//! started anew: every acknowledged event exactly once, in order.

mod publisher;
mod reader;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use self::publisher::Publisher;
use self::reader::{Outcome, Reader};
use crate::support::Hub;

const CUTS: usize = 150;
/// After how many cuts the hub ends, and whether by SIGKILL.
const RESTARTS: [(usize, bool); 3] = [(30, false), (70, true), (110, false)];
const PUBLISHERS: u64 = 4;
const LIMIT: Duration = Duration::from_secs(180);

/// Where an event is in the log, and what it says.
type LoggedEvent = (u64, String);

#[tokio::test]
async fn every_acknowledged_event_comes_exactly_once_and_in_order() {
    let seed = std::env::var("TIDINGS_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("to do the same again: TIDINGS_CHAOS_SEED={seed}");
    // Little memory, so that the reader also reads what has left it.
    let hub = Hub::on_disk(&["--tail-bytes", "64KiB"]).await;
    let started = Instant::now();
    let (seen, acknowledged) =
        timeout(LIMIT, chaos(hub, seed)).await.unwrap_or_else(|_| panic!("it took longer than {LIMIT:?}"));
    println!("{} events in {:?}", acknowledged.len(), started.elapsed());

    for (number, (seen, acknowledged)) in seen.iter().zip(&acknowledged).enumerate() {
        assert_eq!(seen, acknowledged, "event {number}");
    }
    assert_eq!(seen.len(), acknowledged.len());
}

/// What the reader saw, as it saw it, and what was acknowledged, in the order of the log.
async fn chaos(mut hub: Hub, seed: u64) -> (Vec<LoggedEvent>, Vec<LoggedEvent>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (up, running) = watch::channel(true);
    let (stop, stopped) = watch::channel(false);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| Publisher::new(number, hub.address(), random.fork()))
        .map(|publisher| tokio::spawn(publisher.publish(running.clone(), stopped.clone())))
        .collect();

    let mut reader = Reader::new(hub.address(), random);
    let (cuts, mut counted) = watch::channel(0);
    let restarts = async {
        for (count, killed) in RESTARTS {
            counted.wait_for(|cuts| *cuts >= count).await.unwrap();
            up.send_replace(false);
            if killed {
                hub.kill().await;
            } else {
                let (status, _) = hub.terminate().await;
                assert!(status.success(), "the hub ended with {status}");
            }
            hub.start_again().await;
            up.send_replace(true);
        }
    };
    let reading = async {
        while *cuts.borrow() < CUTS {
            match reader.round().await {
                Outcome::Cut => cuts.send_modify(|cuts| *cuts += 1),
                Outcome::Whole => {}
                // The hub ended, or has not begun yet.
                Outcome::Lost => drop(running.clone().wait_for(|up| *up).await.unwrap()),
            }
        }
    };
    tokio::join!(restarts, reading);
    println!("rounds: {:?}", reader.rounds());

    stop.send_replace(true);
    let mut acknowledged = BTreeMap::new();
    for publisher in publishers {
        let own = publisher.await.unwrap();
        assert!(own.is_sorted(), "a publisher's events are in the order that it published them in");
        for (sequence, mark) in own {
            let other = acknowledged.insert(sequence, mark);
            assert_eq!(other, None, "two events have the sequence number {sequence}");
        }
    }
    let last = acknowledged.last_key_value().map_or(0, |(sequence, _)| *sequence);
    while reader.last() < last {
        assert_ne!(reader.whole_round().await, Outcome::Lost);
    }
    (reader.seen, acknowledged.into_iter().collect())
}
