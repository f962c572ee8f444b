//! The ways in which the same events are read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tidings_protocol::format_duration;

use crate::bench::plan;

/// One way to read, and what it is read over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Lane {
    pub(crate) transport: Transport,
    pub(crate) wire: Wire,
}

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// It asks again after this time.
    Poll(Duration),
    LongPoll,
    Sse,
    WebSocket,
}

/// What is spoken below that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) tls: bool,
    pub(crate) http2: bool,
}

/// Which ways are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// Polls at each of the intervals
    Poll,
    /// Polls that the hub holds until there is something
    LongPoll,
    /// Streams of server-sent events
    Sse,
    /// WebSockets
    #[value(name = "websocket")]
    WebSocket,
}

/// What clients do when they are told nothing else: how long a poll asks to be held, and how often a stream gives a sign
/// of life.
pub(crate) const LONG_POLL_WAIT: Duration = tidings_client::defaults::LONG_POLL_WAIT;
pub(crate) const HEARTBEAT: Duration = tidings_client::defaults::HEARTBEAT;

// === impl Transport ===

impl Transport {
    /// What the load generator calls it.
    pub(crate) fn of_plan(self) -> plan::Transport {
        match self {
            Self::Poll(_) => plan::Transport::Poll,
            Self::LongPoll => plan::Transport::LongPoll,
            Self::Sse => plan::Transport::Sse,
            Self::WebSocket => plan::Transport::WebSocket,
        }
    }

    /// Whether one request brings every event.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Sse | Self::WebSocket)
    }

    /// How often something happens while nothing does: a poll, or a heartbeat.
    pub(crate) fn rhythm(self) -> Duration {
        match self {
            Self::Poll(interval) => interval,
            Self::LongPoll => LONG_POLL_WAIT,
            Self::Sse | Self::WebSocket => HEARTBEAT,
        }
    }

    /// As a sentence has it: "a long poll".
    pub(crate) fn with_article(self) -> String {
        match self {
            Self::Poll(_) => format!("a {self}"),
            Self::LongPoll => "a long poll".into(),
            Self::Sse => "an SSE stream".into(),
            Self::WebSocket => "a WebSocket".into(),
        }
    }

    /// A short name that stays the same, for machines.
    pub(crate) fn key(self) -> String {
        match self {
            Self::Poll(interval) => format!("poll-{}", format_duration(interval)),
            Self::LongPoll => "long-poll".into(),
            Self::Sse => "sse".into(),
            Self::WebSocket => "websocket".into(),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poll(interval) => write!(f, "poll every {}", span(*interval)),
            Self::LongPoll => f.write_str("long poll"),
            Self::Sse => f.write_str("SSE"),
            Self::WebSocket => f.write_str("WebSocket"),
        }
    }
}

impl Serialize for Transport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.key())
    }
}

// === impl Wire ===

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.http2 { "HTTP/2" } else { "HTTP/1.1" })?;
        f.write_str(if self.tls { " over TLS" } else { "" })
    }
}

impl Serialize for Wire {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Lane ===

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.transport, self.wire.to_string().replace(" over", ","))
    }
}

/// A length of time, as people write it: `1 s`, `500 ms`, `2.5 s`, `1 min`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 60.0 && (seconds % 60.0).abs() < 1e-9 {
        format!("{} min", seconds / 60.0)
    } else if seconds >= 1.0 {
        format!("{} s", (seconds * 100.0).round() / 100.0)
    } else {
        format!("{} ms", (seconds * 1e5).round() / 100.0)
    }
}

/// A number of events a second: `10`, `0.5`, or as `1/min`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub(crate) struct Rate(pub(crate) f64);

/// The text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number of events a second from 1/min to 10000, like `10`, `0.5` or `1/min`")]
pub(crate) struct InvalidRate;

// === impl Rate ===

impl Rate {
    /// The lowest that anything is said of.
    pub(crate) const LEAST: Self = Self(1.0 / 60.0);
    const MOST: f64 = 10_000.0;
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (number, seconds) = match text.split_once('/') {
            None | Some((_, "s")) => (text.trim_end_matches("/s"), 1.0),
            Some((number, "min")) => (number, 60.0),
            Some((number, "h")) => (number, 3_600.0),
            Some(_) => return Err(InvalidRate),
        };
        let rate = number.parse::<f64>().map_err(|_| InvalidRate)? / seconds;
        // A whole minute, in whatever digits.
        let least = Self::LEAST.0 * (1.0 - 1e-9);
        if (least..=Self::MOST).contains(&rate) { Ok(Self(rate)) } else { Err(InvalidRate) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_minute = self.0 * 60.0;
        if self.0 < 0.95 && (per_minute - per_minute.round()).abs() < 1e-6 {
            return write!(f, "{}/min", per_minute.round());
        }
        write!(f, "{}/s", super::numbers::short(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate, shown) in [
            ("10", 10.0, "10/s"),
            ("1/min", 1.0 / 60.0, "1/min"),
            ("60/h", 1.0 / 60.0, "1/min"),
            ("0.5", 0.5, "30/min"),
            ("2.5/s", 2.5, "2.5/s"),
            ("1000", 1_000.0, "1,000/s"),
        ] {
            let read: Rate = text.parse().unwrap();
            assert!((read.0 - rate).abs() < 1e-9, "{text}");
            assert_eq!(read.to_string(), shown);
        }
        for text in ["", "0", "-1", "1/h", "1/day", "nan", "inf", "10001", "1/min/s"] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate), "{text}");
        }
    }

    #[test]
    fn lanes_have_names() {
        let lane = Lane {
            transport: Transport::Poll(Duration::from_secs(5)),
            wire: Wire { tls: true, http2: true },
        };
        assert_eq!(lane.to_string(), "poll every 5 s over HTTP/2, TLS");
        assert_eq!(lane.transport.key(), "poll-5s");
        let spans = [1, 60, 500, 1_500, 90_000, 120_000].map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(spans, ["1 ms", "60 ms", "500 ms", "1.5 s", "90 s", "2 min"]);
    }
}
