//! What a run shall do, checked before anything is opened.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use super::Arguments;
use super::dialect::{Asking, Dialect, Target};
use super::payload::{MAX_PUBLISHERS, MAX_TOPICS, MIN_SIZE};
use super::server::{Location, Server};

/// How subscribers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Streams of server-sent events
    Sse,
    /// Polls that the server holds until there is something
    LongPoll,
    /// Polls at an interval
    Poll,
    /// WebSockets
    #[value(name = "websocket")]
    WebSocket,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Events on their way from publishers to subscribers.
    Deliver,
    /// Connections that nothing happens on.
    Idle,
    /// Publishing alone.
    Publish,
    /// Subscribers that come back at once, each so many events behind.
    Return { events: u64 },
}

/// A run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) dialect: Dialect,
    pub(crate) server: Server,
    /// Where events are published, which may be another hub.
    pub(crate) publish_dialect: Dialect,
    pub(crate) publish_server: Server,
    pub(crate) transport: Transport,
    pub(crate) subscribers: usize,
    /// Subscribers that share a connection.
    pub(crate) streams: usize,
    pub(crate) threads: usize,
    pub(crate) topics: usize,
    pub(crate) publishers: usize,
    /// Events a second over all publishers; `None` is flat out.
    pub(crate) rate: Option<f64>,
    pub(crate) size: usize,
    pub(crate) batch: usize,
    /// Events after which publishing ends before its time.
    pub(crate) events: Option<u64>,
    /// How many events may be on their way at once when publishing flat out; `None` is any number.
    pub(crate) window: Option<u64>,
    pub(crate) duration: Duration,
    pub(crate) interval: Duration,
    /// How long a poll asks to be held.
    pub(crate) wait: Duration,
    /// What streams wish for as the interval of heartbeats.
    pub(crate) heartbeat: Option<Duration>,
    /// Every subscriber begins at a place that was asked for, so that none misses what is published while it comes.
    pub(crate) placed: bool,
    /// How long after publishing has ended deliveries are waited for at most.
    pub(crate) patience: Option<Duration>,
    pub(crate) settle: Duration,
    /// How long a subscriber's connection lasts.
    pub(crate) stay: Option<Duration>,
    /// The server's processes.
    pub(crate) pids: Vec<u32>,
    pub(crate) fsync_dir: Option<PathBuf>,
    pub(crate) json: bool,
}

/// How long a poll asks to be held.
const WAIT: Duration = Duration::from_secs(60);
/// The longest run, so that a forgotten one ends.
const MAX_DURATION: Duration = Duration::from_secs(3_600);
/// The most streams that a connection could have, in the numbers that one end of it has for them.
const MAX_STREAMS: usize = 10_000;
/// Files that the program has open beside its connections.
const OTHER_FILES: u64 = 64;
/// How many events fit into one request where subscribers are to be brought behind.
const RETURN_BATCH: usize = 100;

// === impl Plan ===

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let mode = match (arguments.idle, arguments.publish_only, arguments.return_events) {
            (true, ..) => Mode::Idle,
            (_, true, _) => Mode::Publish,
            (.., Some(events)) => Mode::Return { events },
            _ => Mode::Deliver,
        };
        let target = arguments.target;
        let trust = arguments.connection.trust();
        let place = |url| {
            let location = Location::of(url)?;
            let server = Server::new(location, &trust, arguments.http2)?;
            if !server.address.ip().is_loopback() && !arguments.remote {
                return Err(format!(
                    "{} is another machine: give `--remote` if it is yours to put under load",
                    location.authority
                )
                .into());
            }
            Ok::<_, Box<dyn Error>>((server, location))
        };
        let token = arguments.connection.token();
        let (server, location) = place(arguments.connection.url())?;
        let Location { authority, prefix, .. } = location;
        let dialect = Dialect::new(target, arguments.client, authority, prefix, token);
        let publish_url = arguments.publish_url.as_deref().unwrap_or(arguments.connection.url());
        let (publish_server, location) = place(publish_url)?;
        let publish_dialect = dialect.at(location.authority, location.prefix, token);
        let batch = match (arguments.batch, mode) {
            (None, Mode::Return { .. }) if target.takes_batches() => RETURN_BATCH,
            (batch, _) => batch.unwrap_or(1),
        };
        let plan = Self {
            mode,
            dialect,
            server,
            publish_dialect,
            publish_server,
            transport: arguments.transport,
            subscribers: if mode == Mode::Publish { 0 } else { arguments.subscribers },
            streams: arguments.streams_per_connection,
            threads: arguments.threads,
            topics: arguments.topics,
            publishers: arguments.publishers,
            rate: arguments.rate,
            size: arguments.size,
            batch,
            events: arguments.events,
            window: Some(arguments.window).filter(|window| *window > 0),
            duration: arguments.duration.0,
            interval: arguments.interval.0,
            wait: WAIT,
            heartbeat: None,
            placed: false,
            patience: None,
            settle: arguments.settle.0,
            stay: arguments.stay.map(|span| span.0),
            pids: arguments.pids.clone(),
            fsync_dir: arguments.fsync_dir.clone(),
            json: arguments.json,
        };
        plan.check()?;
        Ok(plan)
    }

    /// How many subscribers a topic has.
    pub(crate) fn subscribers_of(&self, topic: usize) -> u64 {
        (self.subscribers / self.topics + usize::from(topic < self.subscribers % self.topics)) as u64
    }

    /// How a subscriber asks.
    pub(crate) fn asking(&self) -> Asking {
        Asking { transport: self.transport, wait: self.wait, heartbeat: self.heartbeat }
    }

    /// How many connections the subscribers have.
    pub(crate) fn connections(&self) -> usize {
        self.subscribers.div_ceil(self.streams)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: usize, least: usize, most: usize| {
            let fits = (least..=most).contains(&value);
            fits.then_some(()).ok_or(format!("`--{name}` is from {least} to {most}, not {value}"))
        };
        within("size", self.size, MIN_SIZE, 1 << 24)?;
        within("publishers", self.publishers, 1, MAX_PUBLISHERS)?;
        within("topics", self.topics, 1, MAX_TOPICS)?;
        within("batch", self.batch, 1, 10_000)?;
        within("threads", self.threads, 1, 256)?;
        within("streams-per-connection", self.streams, 1, MAX_STREAMS)?;
        if self.mode != Mode::Publish {
            within("subscribers", self.subscribers, self.topics.max(self.threads), 1_000_000)?;
        }
        if self.mode != Mode::Publish && self.threads > self.connections() {
            let connections = self.connections();
            return Err(format!("`--threads` is at most the number of connections: {connections}"));
        }
        if self.duration > MAX_DURATION {
            return Err(format!("`--duration` is at most {} s", MAX_DURATION.as_secs()));
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e7)) {
            return Err("`--rate` is a number of events a second, more than 0".into());
        }
        if matches!(self.mode, Mode::Return { .. }) && self.transport != Transport::Sse {
            return Err("`--return` is measured with `--transport sse`".into());
        }
        if self.stay.is_some() && self.mode != Mode::Deliver {
            return Err("`--stay` is for runs in which events are delivered".into());
        }
        self.dialect.target().check(self)?;
        let most = allow_open_files().saturating_sub(OTHER_FILES);
        let needed = (self.connections() + self.publishers) as u64;
        if needed > most {
            return Err(format!(
                "{needed} connections are more than the system allows: {most} (see `ulimit -Hn`)"
            ));
        }
        Ok(())
    }
}

// === impl Transport ===

impl Transport {
    /// Whether one request brings every event.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Sse | Self::WebSocket)
    }
}

// === impl Target ===

impl Target {
    /// What the other servers cannot do.
    fn check(self, plan: &Plan) -> Result<(), String> {
        let refuse = |what: &str| Err(format!("{self} has no {what}"));
        match self {
            Self::Tidings => Ok(()),
            _ if plan.stay.is_some() => refuse("way to read on that this program speaks: leave out `--stay`"),
            _ if plan.transport == Transport::WebSocket => refuse("WebSockets that this program speaks"),
            Self::Floor if plan.transport != Transport::Sse => refuse("polls"),
            Self::Floor if plan.topics > 1 => refuse("topics: give `--topics 1`"),
            Self::Nchan | Self::DurableStreams if plan.transport == Transport::Poll => {
                refuse("polls at an interval that this program speaks")
            }
            _ if plan.batch > 1 && !self.takes_batches() => refuse("batches: give `--batch 1`"),
            _ => Ok(()),
        }
    }
}

/// Raises the limit on open files as far as it goes, and returns it.
fn allow_open_files() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let raised = setrlimit(Resource::Nofile, limit).is_ok();
    (if raised { limit.maximum } else { before }).unwrap_or(u64::MAX)
}
