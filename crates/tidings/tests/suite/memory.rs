//! What it costs a hub to let a reader catch up from very far behind.

use std::fmt::Write as _;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use memchr::memchr_iter;
use tokio::time::timeout;

use crate::support::{Connection, Hub, Version, within};

const EVENTS: u64 = 1_000_000;
const FEW: u64 = 1_000;
const BATCH: u64 = 10_000;
/// How much more memory the long way may take, in KiB: what reading the log takes at all, and what the allocator
/// keeps for each thread. The log itself is five times as large.
const MARGIN: u64 = 24 << 10;
/// How long it may take to read them all, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test]
async fn resuming_a_million_events_back_costs_no_more_memory_than_a_thousand() {
    let mut hub = Hub::on_disk(&["--tail-bytes", "4MiB", "--durability", "os"]).await;
    let filling = "x".repeat(64);
    let mut place = String::new();
    let mut connection =
        within("a connection", Connection::open(hub.address(), Version::Http1)).await.unwrap();
    for first in (0..EVENTS).step_by(usize::try_from(BATCH).unwrap()) {
        let mut body = String::new();
        for number in first..first + BATCH {
            writeln!(body, r#"{{"data":"{number:07} {filling}"}}"#).unwrap();
        }
        let request = Request::post("/topics/a").header("content-type", "application/x-ndjson");
        let answer =
            within("a batch", connection.ask(request.body(Full::from(body)).unwrap())).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
        if first + BATCH == EVENTS {
            let few = usize::try_from(BATCH - FEW - 1).unwrap();
            place = answer.json()["ids"][few].as_str().unwrap().to_owned();
        }
    }
    drop(connection);
    // So that nothing of it is in memory any more.
    hub.terminate().await;
    hub.start_again().await;

    let mut peaks = Vec::new();
    for (form, since) in [
        ("text/event-stream", &*place),
        ("text/event-stream", "earliest"),
        ("application/x-ndjson", "earliest"),
    ] {
        let count = if since == "earliest" { EVENTS } else { FEW };
        forget_peak(&hub);
        read(&hub, form, since, count).await;
        let peak = peak(&hub);
        println!("{count} events as {form}: a peak of {peak} KiB");
        peaks.push(peak);
    }
    assert!(peaks[1..].iter().all(|&peak| peak < peaks[0] + MARGIN), "{peaks:?} KiB");
}

/// Reads exactly so many events, the last of which is the last of all.
async fn read(hub: &Hub, form: &str, since: &str, count: u64) {
    let request = Request::get(format!("/topics/a?since={since}")).header("accept", form);
    let reading = async {
        let mut connection = Connection::open(hub.address(), Version::Http1).await.unwrap();
        let mut body = connection.send(request.body(Full::default()).unwrap()).await.unwrap().into_body();
        let (mut next, mut rest) = (EVENTS - count, Vec::new());
        while next < EVENTS {
            let frame = body.frame().await.unwrap().unwrap();
            rest.extend_from_slice(frame.data_ref().unwrap());
            let mut start = 0;
            for end in memchr_iter(b'\n', &rest) {
                let line = &rest[start..end];
                start = end + 1;
                let data = match form {
                    "text/event-stream" => line.strip_prefix(b"data: "),
                    _ => {
                        line.windows(8).position(|window| window == b"\"data\":\"").map(|at| &line[at + 8..])
                    }
                };
                if let Some(data) = data {
                    let number: u64 = std::str::from_utf8(&data[..7]).unwrap().parse().unwrap();
                    assert_eq!(number, next);
                    next += 1;
                }
            }
            rest.drain(..start);
        }
        assert_eq!(rest, b"", "more than there is");
    };
    timeout(PATIENCE, reading).await.expect("the last event");
}

/// The most memory that the hub had at once since its peak was forgotten, in KiB.
fn peak(hub: &Hub) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.process().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn forget_peak(hub: &Hub) {
    std::fs::write(format!("/proc/{}/clear_refs", hub.process().as_raw_nonzero()), "5").unwrap();
}
