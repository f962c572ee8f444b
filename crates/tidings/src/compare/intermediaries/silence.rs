//! How long a connection may be silent before somebody cuts it. It is looked at while everything else is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::asker::Asker;
use super::exchange::{Exchange, Fault};

/// What became of connections on which nothing happened.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Silences {
    /// A stream without events, which asks for heartbeats as seldom as a hub sends them.
    pub(crate) stream: Option<Silence>,
    /// A long poll that asks to be held for as long as a hub holds one.
    pub(crate) long_poll: Option<Silence>,
    /// A connection over which nothing is asked.
    pub(crate) unused: Option<Silence>,
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Silence {
    /// It was cut after so many seconds of silence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut_after: Option<f64>,
    /// The longest silence that it outlived, in seconds.
    pub(crate) outlived: f64,
    /// The status that it was cut with, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
}

/// Connections that are looked at.
#[derive(Debug)]
pub(crate) struct Watch {
    enough: Arc<AtomicBool>,
    begun: Instant,
    stream: JoinHandle<Option<Silence>>,
    long_poll: JoinHandle<Option<Silence>>,
    unused: JoinHandle<Option<Silence>>,
}

/// The most that a hub grants: between two heartbeats, and for a poll to be held.
const LONGEST: u64 = 60;
/// How soon it is noticed that it is enough.
const TICK: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(10);

// === impl Watch ===

impl Watch {
    pub(super) fn start(asker: &Asker) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let spawn = |look: fn(&Asker, &AtomicBool) -> Result<Silence, Fault>| {
            let (asker, enough) = (asker.clone(), Arc::clone(&enough));
            std::thread::spawn(move || look(&asker, &enough).ok())
        };
        let (stream, long_poll, unused) = (spawn(stream), spawn(long_poll), spawn(unused));
        Self { enough, begun: Instant::now(), stream, long_poll, unused }
    }

    /// How long they have been looked at.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether there is nothing left to wait for.
    pub(crate) fn is_over(&self) -> bool {
        self.stream.is_finished() && self.long_poll.is_finished() && self.unused.is_finished()
    }

    pub(crate) fn end(self) -> Silences {
        self.enough.store(true, Ordering::Relaxed);
        let [stream, long_poll, unused] =
            [self.stream, self.long_poll, self.unused].map(|thread| thread.join().ok().flatten());
        Silences { stream, long_poll, unused }
    }
}

fn stream(asker: &Asker, enough: &AtomicBool) -> Result<Silence, Fault> {
    let path = format!("{}?heartbeat={LONGEST}", asker.topic("silent"));
    let (mut exchange, mut answer) = asker.ask(&path, "Accept: text/event-stream\r\n")?;
    if answer.status != 200 {
        return Err(Fault::Failed(String::new()));
    }
    exchange.piece(&mut answer, Instant::now() + TIMEOUT)?;
    let mut silence = Silence::default();
    let mut last = Instant::now();
    while !enough.load(Ordering::Relaxed) {
        let come = exchange.piece(&mut answer, Instant::now() + TICK);
        let silent = last.elapsed().as_secs_f64();
        match come {
            // A heartbeat ends a silence, and begins another.
            Ok(Some(_)) => last = Instant::now(),
            Err(Fault::Late) => {}
            Ok(None) | Err(_) => {
                silence.cut_after = Some(silent);
                return Ok(silence);
            }
        }
        silence.outlived = silence.outlived.max(silent);
    }
    Ok(silence)
}

fn long_poll(asker: &Asker, enough: &AtomicBool) -> Result<Silence, Fault> {
    let mut exchange = Exchange::open(&asker.server)?;
    let path = format!("{}?since=latest&wait={LONGEST}", asker.topic("silent"));
    exchange.send(&asker.get(&path, "Accept: application/json\r\n"))?;
    let asked = Instant::now();
    let mut silence = Silence::default();
    while !enough.load(Ordering::Relaxed) {
        let head = exchange.head(Instant::now() + TICK);
        let silent = asked.elapsed().as_secs_f64();
        match head {
            Err(Fault::Late) => silence.outlived = silent,
            Ok(answer) if answer.status == 200 => {
                silence.outlived = silent;
                return Ok(silence);
            }
            Ok(answer) => {
                (silence.cut_after, silence.status) = (Some(silent), Some(answer.status));
                return Ok(silence);
            }
            Err(_) => {
                silence.cut_after = Some(silent);
                return Ok(silence);
            }
        }
    }
    Ok(silence)
}

fn unused(asker: &Asker, enough: &AtomicBool) -> Result<Silence, Fault> {
    let (mut exchange, mut answer) = asker.ask(&asker.topic("silent"), "Accept: application/json\r\n")?;
    exchange.body(&mut answer, Instant::now() + TIMEOUT)?;
    let since = Instant::now();
    let mut silence = Silence::default();
    while !enough.load(Ordering::Relaxed) {
        let come = exchange.bytes(1, Instant::now() + TICK);
        let silent = since.elapsed().as_secs_f64();
        match come {
            Err(Fault::Late) => silence.outlived = silent,
            _ => {
                silence.cut_after = Some(silent);
                return Ok(silence);
            }
        }
    }
    Ok(silence)
}
