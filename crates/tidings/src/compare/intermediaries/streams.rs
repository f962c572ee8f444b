//! Whether a stream comes as it is sent.

use std::time::{Duration, Instant};

use memchr::memmem;
use serde::Serialize;

use super::asker::{Asker, refusal};
use super::exchange::{Answer, Exchange, Fault};

/// What became of a stream on its way.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Streaming {
    /// From asking to the head of the answer, in milliseconds.
    pub(crate) head_ms: Option<f64>,
    /// From asking to the first byte of the stream, which the hub sends at once.
    pub(crate) first_byte_ms: Option<f64>,
    /// From publishing an event to having it: the median, and the most. Absent where one did not come.
    pub(crate) delay_ms: Option<f64>,
    pub(crate) most_delay_ms: Option<f64>,
    /// What publishing itself takes, to its answer.
    pub(crate) publish_ms: Option<f64>,
    /// It is held back.
    pub(crate) held_back: bool,
    /// So many bytes of the stream had to follow before the first came; absent where it is not held back, or nothing ever came.
    pub(crate) held_back_bytes: Option<u64>,
    /// The content coding that was put on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coding: Option<String>,
    /// There was no stream to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
}

/// How long the beginning of a stream may take, and each event of it, before it counts as held back.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many events are waited for.
const EVENTS: usize = 5;
/// Between one event and the next.
const PAUSE: Duration = Duration::from_millis(50);
/// How many events are pressed into a stream that is held back, and how large each is: more than any buffer that proxies have by default.
const PRESSES: usize = 160;
const PRESS_BYTES: usize = 2 << 10;
/// How long it is looked each time whether something came.
const LOOK: Duration = Duration::from_millis(25);

/// Looks at a stream; with `codings`, at one that may be compressed.
pub(super) fn look(asker: &Asker, codings: &str) -> Result<Streaming, Fault> {
    let name = if codings.is_empty() { "stream" } else { "packed" };
    let mut streaming = Streaming::default();
    let mut publisher = Exchange::open(&asker.server)?;
    // The connection is made before anything is timed.
    asker.publish(&mut publisher, name, "warm")?;
    let mut exchange = Exchange::open(&asker.server)?;
    let begun = Instant::now();
    exchange.send(&asker.get(&asker.topic(name), &format!("Accept: text/event-stream\r\n{codings}")))?;
    let mut answer = match exchange.head(begun + PATIENCE) {
        Ok(answer) => answer,
        Err(Fault::Late) => {
            press(asker, &mut publisher, name, &mut streaming, |wait| {
                exchange.head(Instant::now() + wait).map(drop)
            })?;
            return Ok(streaming);
        }
        Err(fault) => return Err(fault),
    };
    streaming.head_ms = Some(millis(begun));
    if answer.status != 200 {
        let body = exchange.body(&mut answer, Instant::now() + PATIENCE).unwrap_or_default();
        streaming.refused = Some(refusal("a stream", answer.status, &body));
        return Ok(streaming);
    }
    streaming.coding = answer.field("content-encoding").map(str::to_owned);
    match exchange.piece(&mut answer, begun + PATIENCE) {
        Ok(Some(_)) => streaming.first_byte_ms = Some(millis(begun)),
        Ok(None) => return Err(Fault::Ended),
        Err(Fault::Late) => {
            press(asker, &mut publisher, name, &mut streaming, |wait| {
                exchange.piece(&mut answer, Instant::now() + wait).map(drop)
            })?;
            return Ok(streaming);
        }
        Err(fault) => return Err(fault),
    }
    events(asker, name, &mut publisher, (&mut exchange, &mut answer), &mut streaming)?;
    Ok(streaming)
}

/// Publishes some events, and waits for each.
fn events(
    asker: &Asker,
    name: &str,
    publisher: &mut Exchange,
    (exchange, answer): (&mut Exchange, &mut Answer),
    streaming: &mut Streaming,
) -> Result<(), Fault> {
    let (mut delays, mut publishing) = (Vec::new(), Vec::new());
    for number in 0..EVENTS {
        std::thread::sleep(PAUSE);
        let mark = format!("mark-{number}-of-the-stream");
        let sent = Instant::now();
        asker.publish(publisher, name, &mark)?;
        publishing.push(millis(sent));
        let mut come = Vec::new();
        loop {
            match exchange.piece(answer, sent + PATIENCE) {
                Ok(Some(piece)) => come.extend_from_slice(&piece),
                Ok(None) => return Err(Fault::Ended),
                Err(Fault::Late) => {
                    return press(asker, publisher, name, streaming, |wait| {
                        exchange.piece(answer, Instant::now() + wait).map(drop)
                    });
                }
                Err(fault) => return Err(fault),
            }
            // What is compressed is not read: anything is a sign that the event came.
            if streaming.coding.is_some() || memmem::find(&come, mark.as_bytes()).is_some() {
                break;
            }
        }
        delays.push(millis(sent));
    }
    delays.sort_by(f64::total_cmp);
    publishing.sort_by(f64::total_cmp);
    streaming.delay_ms = Some(delays[EVENTS / 2]);
    streaming.most_delay_ms = delays.last().copied();
    streaming.publish_ms = Some(publishing[EVENTS / 2]);
    Ok(())
}

/// Presses bytes into a stream that is held back until some come out.
fn press(
    asker: &Asker,
    publisher: &mut Exchange,
    name: &str,
    streaming: &mut Streaming,
    mut look: impl FnMut(Duration) -> Result<(), Fault>,
) -> Result<(), Fault> {
    streaming.held_back = true;
    let filler = "x".repeat(PRESS_BYTES);
    for count in 1..=PRESSES {
        asker.publish(publisher, name, &filler)?;
        match look(LOOK) {
            Ok(()) => {
                streaming.held_back_bytes = Some((count * PRESS_BYTES) as u64);
                return Ok(());
            }
            Err(Fault::Late) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
