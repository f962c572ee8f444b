//! A run: one answer of an endpoint, from its head to its end, whoever is there to read it.

use std::time::Duration;

use reqwest::Response;
use tidings_event_stream::Event;
use tidings_http::RelayRun;
use tidings_hub::{Hub, Producer, ProducerError, Progress};
use tidings_protocol::{Cursor, EndReason, EventType, InvalidEventType, NewEvent, Topic};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::blocks::{Blocks, JsonLines, LineEnd, Piece, TooLarge};
use crate::caller::Caller;
use crate::config::OnLeave;
use crate::defaults;
use crate::lanes::InLane;
use crate::upstream::Events;

/// What is told of a run when it is over.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The endpoint came to its end.
    Whole,
    /// It did not, or not in a way that can be kept.
    Broken(String),
    /// Somebody has ended the topic.
    Ended,
    /// The log takes no more.
    Refused(String),
    /// Nobody reads it any more.
    Left,
    /// The hub shuts down.
    Shutdown,
}

/// A run that is under way.
pub(crate) struct Run {
    pub(crate) hub: Hub,
    pub(crate) topic: Topic,
    pub(crate) producer: Producer,
    pub(crate) response: Response,
    /// Where among the connections to the endpoint it is.
    pub(crate) in_lane: InLane,
    pub(crate) transcript: Transcript,
    pub(crate) caller: Option<Caller>,
    pub(crate) times: Times,
    pub(crate) on_leave: OnLeave,
    pub(crate) stop: CancellationToken,
    pub(crate) counted: RelayRun,
    /// How many events are durable.
    pub(crate) settled: u64,
    /// When it was last seen that somebody reads.
    pub(crate) read: Instant,
}

/// What is waited for, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// How long the endpoint may pause.
    pub(crate) silence: Duration,
    /// After how long the caller gets a sign of life.
    pub(crate) heartbeat: Duration,
    /// How long nobody may read, where the run is not to go on alone.
    pub(crate) unread: Duration,
}

/// How an answer is read.
#[derive(Debug)]
pub(crate) enum Transcript {
    Stream(Box<Blocks>),
    JsonLines(JsonLines),
}

/// What happened to a run.
enum Happened {
    Stopped,
    Progress(Result<Progress, ProducerError>),
    Chunk(Result<Option<bytes::Bytes>, reqwest::Error>),
    CallerLeft,
    Time,
}

/// When what is due.
struct Clocks {
    times: Times,
    /// When the endpoint was last heard of.
    heard: Instant,
    /// When the caller was last given something.
    given: Instant,
}

/// Why an event cannot be kept.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Large(#[from] TooLarge),
    #[error("the type of an event cannot be kept: {0}")]
    Type(#[from] InvalidEventType),
}

/// Types that hubs use among themselves begin so. Where the endpoint is a hub, they say something of it, and are no events.
const OF_HUBS: &str = "tidings.";

// === impl Transcript ===

impl Transcript {
    pub(crate) fn new(events: Events, limit: usize) -> Self {
        match events {
            Events::Stream => Self::Stream(Box::new(Blocks::new(limit))),
            Events::JsonLines => Self::JsonLines(JsonLines::new(limit)),
        }
    }

    /// The last id that the endpoint gave, and after how many milliseconds it wants to be asked again.
    pub(crate) fn place(&self) -> (&str, Option<u64>) {
        match self {
            Self::Stream(blocks) => (blocks.last_event_id(), blocks.retry()),
            Self::JsonLines(_) => ("", None),
        }
    }

    fn line_end(&self) -> Option<LineEnd> {
        match self {
            Self::Stream(blocks) => Some(blocks.line_end()),
            Self::JsonLines(_) => None,
        }
    }
}

// === impl Run ===

impl Run {
    /// Goes on to the end.
    pub(crate) async fn go(mut self) -> Outcome {
        let outcome = self.relay().await;
        self.end(outcome).await
    }

    /// Comes to its end.
    pub(crate) async fn end(self, outcome: Outcome) -> Outcome {
        let Self { producer, caller, response, in_lane, counted, .. } = self;
        // The request to the endpoint is cancelled where it is not over.
        drop((response, in_lane));
        let ended = match &outcome {
            Outcome::Whole => producer.finish().await.map(drop),
            _ => {
                producer.abort(EndReason::aborted()).await;
                Ok(())
            }
        };
        drop(counted);
        match (ended, caller) {
            (Ok(()), Some(caller)) if matches!(outcome, Outcome::Whole) => caller.finish(),
            (Err(error), _) => tracing::debug!(%error, "the end of an answer could not be written"),
            _ => {}
        }
        outcome
    }

    /// Takes one answer of the endpoint.
    pub(crate) async fn relay(&mut self) -> Outcome {
        let now = Instant::now();
        let mut clocks = Clocks { times: self.times, heard: now, given: now };
        let mut bytes = 0_u64;
        loop {
            let has_room = self.producer.has_room();
            let watches = self.caller.is_none() && self.on_leave == OnLeave::Cancel;
            let due =
                clocks.due(has_room, self.caller.is_some() && self.transcript.line_end().is_some(), watches);
            let happened = tokio::select! {
                biased;
                () = self.stop.cancelled() => Happened::Stopped,
                progress = self.producer.progress() => Happened::Progress(progress),
                chunk = self.response.chunk(), if has_room => Happened::Chunk(chunk),
                () = left(self.caller.as_ref()) => Happened::CallerLeft,
                () = sleep_until(due) => Happened::Time,
            };
            match happened {
                Happened::Stopped => return self.settle_and(Outcome::Shutdown).await,
                Happened::Progress(Ok(progress)) => {
                    self.settle(&progress);
                    clocks.given = Instant::now();
                }
                Happened::Progress(Err(error)) => return lost(&error),
                Happened::Chunk(Ok(Some(chunk))) => {
                    clocks.heard = Instant::now();
                    clocks.given = clocks.heard;
                    bytes += chunk.len() as u64;
                    if let Err(error) = self.take(&chunk) {
                        return self.settle_and(Outcome::Broken(error.to_string())).await;
                    }
                }
                Happened::Chunk(Ok(None)) => {
                    let outcome = self.last(bytes);
                    return self.settle_and(outcome).await;
                }
                Happened::Chunk(Err(error)) => {
                    let outcome = Outcome::Broken(cause(&error.without_url()));
                    return self.settle_and(outcome).await;
                }
                Happened::CallerLeft => {
                    self.caller = None;
                    self.read = Instant::now();
                }
                Happened::Time => {
                    let now = Instant::now();
                    if has_room && now >= clocks.heard + self.times.silence {
                        let silence = self.times.silence.as_secs_f32();
                        let why = format!("it was silent for {silence} s (`silence-timeout`)");
                        return self.settle_and(Outcome::Broken(why)).await;
                    }
                    if !has_room {
                        clocks.heard = now;
                    }
                    if watches && self.is_unread() {
                        return self.settle_and(Outcome::Left).await;
                    }
                    if now >= clocks.given + self.times.heartbeat {
                        self.beat();
                        clocks.given = now;
                    }
                }
            }
        }
    }

    /// Takes what came from the endpoint: the caller gets it at once, and the log as well.
    fn take(&mut self, chunk: &[u8]) -> Result<(), Unusable> {
        let Self { transcript, producer, caller, topic, .. } = self;
        let mut unusable = None;
        let is_json_lines = matches!(transcript, Transcript::JsonLines(_));
        let sink = |piece: Piece<'_>| match piece {
            Piece::Bytes(bytes) => {
                if let Some(caller) = caller {
                    caller.give(bytes);
                }
            }
            Piece::Sign(bytes) => {
                if let Some(caller) = caller {
                    caller.give_sign(bytes);
                }
            }
            Piece::End { event, end, rest } => {
                if event.event.starts_with(OF_HUBS) {
                    if caller.as_mut().is_some_and(|own| !own.give_foreign_end(rest)) {
                        *caller = None;
                    }
                    return;
                }
                match new_event(topic, event, is_json_lines) {
                    Ok(event) => producer.push(event),
                    Err(error) => {
                        unusable.get_or_insert(error);
                        return;
                    }
                }
                if let Some(caller) = caller {
                    caller.end_event(end, rest);
                }
            }
        };
        match transcript {
            Transcript::Stream(blocks) => blocks.feed(chunk, sink)?,
            Transcript::JsonLines(lines) => lines.feed(chunk, sink)?,
        }
        unusable.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The endpoint came to its end, after so many bytes.
    fn last(&mut self, bytes: u64) -> Outcome {
        match &mut self.transcript {
            Transcript::Stream(blocks) => {
                let rest = blocks.rest();
                if let Some(caller) = &mut self.caller {
                    caller.give(&rest);
                }
                if bytes > 0 && !blocks.is_known() {
                    return Outcome::Broken(format!("its {bytes} bytes are no event stream"));
                }
            }
            Transcript::JsonLines(lines) => {
                if let Some(event) = lines.rest() {
                    match new_event(&self.topic, event, true) {
                        Ok(event) => self.producer.push(event),
                        Err(error) => return Outcome::Broken(error.to_string()),
                    }
                    if let Some(caller) = &mut self.caller {
                        caller.end_event(LineEnd::Lf, b"");
                    }
                }
            }
        }
        Outcome::Whole
    }

    /// Has all that came become durable, and gives the caller what is.
    async fn settle_and(&mut self, outcome: Outcome) -> Outcome {
        while !self.producer.is_idle() {
            match self.producer.progress().await {
                Ok(progress) => self.settle(&progress),
                Err(error) => return lost(&error),
            }
        }
        outcome
    }

    /// Gives the caller the ids of the events that have become durable. They are those of one append, so consecutive.
    fn settle(&mut self, progress: &Progress) {
        let count = progress.events - std::mem::replace(&mut self.settled, progress.events);
        let Some(last) = progress.last else { return };
        for back in (0..count).rev() {
            self.settle_one(Cursor::new(last.epoch, last.sequence - back));
        }
    }

    /// Whether nobody has read for long enough.
    pub(crate) fn is_unread(&mut self) -> bool {
        if self.hub.subscribers(&self.topic) > 0 {
            self.read = Instant::now();
        }
        self.read.elapsed() >= self.times.unread
    }

    fn settle_one(&mut self, id: Cursor) {
        if self.caller.as_mut().is_some_and(|caller| !caller.settle(id)) {
            self.caller = None;
        }
    }

    fn beat(&self) {
        if let (Some(caller), Some(end)) = (&self.caller, self.transcript.line_end()) {
            caller.beat(&[b":", end.bytes()].concat());
        }
    }
}

// === impl Clocks ===

impl Clocks {
    /// When something is to be looked at next.
    fn due(&self, has_room: bool, beats: bool, watches: bool) -> Instant {
        let mut due = if has_room { self.heard } else { Instant::now() } + self.times.silence;
        if beats {
            due = due.min(self.given + self.times.heartbeat);
        }
        if watches {
            due = due.min(Instant::now() + defaults::LEAVE_INTERVAL);
        }
        due
    }
}

async fn left(caller: Option<&Caller>) {
    match caller {
        Some(caller) => caller.left().await,
        None => std::future::pending().await,
    }
}

fn new_event(topic: &Topic, event: Event, is_json: bool) -> Result<NewEvent, InvalidEventType> {
    let Event { event, data, .. } = event;
    let new = match is_json {
        true => NewEvent::json(topic.clone(), data.clone())
            .unwrap_or_else(|_| NewEvent::text(topic.clone(), data)),
        false => NewEvent::text(topic.clone(), data),
    };
    if event.is_empty() { Ok(new) } else { Ok(new.typed(EventType::new(&event)?)) }
}

/// Why the topic takes no more.
pub(crate) fn lost(error: &ProducerError) -> Outcome {
    match error {
        ProducerError::Ended { .. } => Outcome::Ended,
        other => Outcome::Refused(other.to_string()),
    }
}

/// What is at the bottom of an error.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
