//! What a run shall do, checked before anything is opened.

use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use super::Arguments;
use super::dialect::{Dialect, Target};
use super::payload::{MAX_PUBLISHERS, MAX_TOPICS, MIN_SIZE};

/// How subscribers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Streams of server-sent events
    Sse,
    /// Polls that the server holds until there is something
    LongPoll,
    /// Polls at an interval
    Poll,
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
    pub(crate) server: SocketAddr,
    /// Where events are published, which may be another hub.
    pub(crate) publish_dialect: Dialect,
    pub(crate) publish_server: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) subscribers: usize,
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
    pub(crate) settle: Duration,
    pub(crate) pid: Option<u32>,
    pub(crate) fsync_dir: Option<PathBuf>,
    pub(crate) json: bool,
}

/// The longest run, so that a forgotten one ends.
const MAX_DURATION: Duration = Duration::from_secs(3_600);
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
        let place = |url| {
            let (authority, prefix) = split_url(url)?;
            let server = resolve(authority)?;
            if !server.ip().is_loopback() && !arguments.remote {
                return Err(format!(
                    "{authority} is another machine: give `--remote` if it is yours to put under load"
                )
                .into());
            }
            Ok::<_, Box<dyn Error>>((server, authority, prefix))
        };
        let token = arguments.connection.token();
        let (server, authority, prefix) = place(arguments.connection.url())?;
        let dialect = Dialect::new(target, arguments.client, authority, prefix, token);
        let publish_url = arguments.publish_url.as_deref().unwrap_or(arguments.connection.url());
        let (publish_server, authority, prefix) = place(publish_url)?;
        let publish_dialect = dialect.at(authority, prefix, token);
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
            settle: arguments.settle.0,
            pid: arguments.pid,
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

    fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: usize, least: usize, most: usize| {
            let fits = (least..=most).contains(&value);
            fits.then_some(()).ok_or(format!("`--{name}` is from {least} to {most}, not {value}"))
        };
        within("size", self.size, MIN_SIZE, 1 << 24)?;
        within("publishers", self.publishers, 1, MAX_PUBLISHERS)?;
        within("topics", self.topics, 1, MAX_TOPICS)?;
        within("batch", self.batch, 1, 10_000)?;
        within("threads", self.threads, 1, 256)?;
        if self.mode != Mode::Publish {
            within("subscribers", self.subscribers, self.topics.max(self.threads), 1_000_000)?;
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
        self.dialect.target().check(self)?;
        let most = allow_open_files().saturating_sub(OTHER_FILES);
        let needed = (self.subscribers + self.publishers) as u64;
        if needed > most {
            return Err(format!(
                "{needed} connections are more than the system allows: {most} (see `ulimit -Hn`)"
            ));
        }
        Ok(())
    }
}

// === impl Target ===

impl Target {
    /// What the other servers cannot do.
    fn check(self, plan: &Plan) -> Result<(), String> {
        let refuse = |what: &str| Err(format!("{self} has no {what}"));
        match self {
            Self::Tidings => Ok(()),
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

/// The authority and the path of a base URL.
fn split_url(url: &str) -> Result<(&str, &str), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        format!("`{url}` is no URL to measure: right would be `http://HOST:PORT`, perhaps with a path")
    })?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Ok((authority, path.trim_end_matches('/')))
}

fn resolve(authority: &str) -> Result<SocketAddr, String> {
    let with_port = if authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok())
        && authority.contains(':')
    {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let addresses = with_port.to_socket_addrs();
    let found = addresses.map_err(|error| format!("failed to find the address of {authority}: {error}"))?;
    let mut found: Vec<_> = found.collect();
    // `localhost` is often both, and most servers listen on the older one.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| format!("{authority} has no address"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_into_authority_and_path() {
        assert_eq!(split_url("http://127.0.0.1:8080"), Ok(("127.0.0.1:8080", "")));
        assert_eq!(split_url("http://localhost/push/"), Ok(("localhost", "/push")));
        assert!(split_url("https://localhost").unwrap_err().contains("right would be"));
    }

    #[test]
    fn an_authority_without_a_port_has_80() {
        assert_eq!(resolve("127.0.0.1").unwrap().port(), 80);
        assert_eq!(resolve("[::1]").unwrap().port(), 80);
        assert_eq!(resolve("127.0.0.1:81").unwrap().port(), 81);
    }
}
