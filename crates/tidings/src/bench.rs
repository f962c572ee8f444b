//! `tidings bench`: puts a hub under load, and says how it bears it.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::connection::Connection;
use crate::value::Span;
use browser::Client;
use dialect::Target;
use plan::{Plan, Transport};
use table::Table;

pub(crate) mod body;
pub(crate) mod browser;
mod call;
mod clock;
pub(crate) mod connection;
mod crowd;
pub(crate) mod dialect;
mod disk;
pub(crate) mod head;
mod http1;
mod http2;
pub(crate) mod latency;
mod lines;
mod link;
mod party;
mod payload;
pub(crate) mod plan;
mod process;
mod progress;
mod publisher;
mod publishers;
pub(crate) mod report;
pub(crate) mod run;
mod run_state;
pub(crate) mod server;
mod socket;
mod subscriber;
mod table;
mod tally;
mod watch;

/// What `tidings bench` is told.
#[derive(Debug, Args)]
#[command(after_help = "Server and load share the machine: give each its own cores (`taskset`) for \
    numbers that can be compared.\n\n\
    Exit codes: 0 measured; 1 a delivery was lost, repeated, out of order or malformed, or a connection failed; 2 wrong \
    arguments.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,

    /// Another hub over the same engine to publish to, so that events cross from one to the other
    #[arg(long, value_name = "URL")]
    publish_url: Option<String>,

    /// What kind of server it is
    #[arg(long, value_enum, default_value = "tidings")]
    target: Target,

    /// Allow a server on another machine
    #[arg(long)]
    remote: bool,

    /// How subscribers read
    #[arg(long, value_enum, default_value = "sse")]
    transport: Transport,

    /// What the clients are like
    #[arg(long, value_enum, default_value = "bare")]
    client: Client,

    /// Speak HTTP/2: where the URL is `https://`, as is agreed when a connection is made, and in clear with prior knowledge
    #[arg(long)]
    http2: bool,

    /// With `--http2`: subscribers that share a connection, each in a stream of its own
    #[arg(long, default_value_t = 1, value_name = "NUMBER", requires = "http2")]
    streams_per_connection: usize,

    /// Subscribers that wait for events
    #[arg(long, default_value_t = 1_000, value_name = "NUMBER")]
    subscribers: usize,

    /// Topics, each with its share of the subscribers
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    topics: usize,

    /// Connections that publish, each waiting for its acknowledgement before it goes on
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    publishers: usize,

    /// Events a second, over all publishers [default: flat out]
    #[arg(long, value_name = "NUMBER")]
    rate: Option<f64>,

    /// Flat out, how many events may be on their way to the subscribers; 0 for any number
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    window: u64,

    /// Bytes of data in each event
    #[arg(long, default_value_t = 100, value_name = "BYTES")]
    size: usize,

    /// Events in each publication [default: 1]
    #[arg(long, value_name = "NUMBER")]
    batch: Option<usize>,

    /// How long to publish, or to hold the connections
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    duration: Span,

    /// Stop publishing after so many events, if that comes first
    #[arg(long, value_name = "NUMBER")]
    events: Option<u64>,

    /// The time between two polls of `--transport poll`
    #[arg(long, default_value = "1s", value_name = "DURATION")]
    interval: Span,

    /// End each subscriber's connection after so long; it comes back over a new one, and reads on [default: never]
    #[arg(long, value_name = "DURATION")]
    stay: Option<Span>,

    /// How long to let everything come to rest before it is measured
    #[arg(long, default_value = "1s", value_name = "DURATION")]
    settle: Span,

    /// The server's process, if it runs on this machine: its CPU and memory are measured. Several with commas between them, as a
    /// proxy's and that of the server behind it, are measured together
    #[arg(long = "pid", value_name = "PID", value_delimiter = ',')]
    pids: Vec<u32>,

    /// Only hold the connections
    #[arg(long, conflicts_with_all = ["publish_only", "return_events"])]
    idle: bool,

    /// Only publish
    #[arg(long, conflicts_with = "return_events")]
    publish_only: bool,

    /// With `--publish-only`: compare a publication with one fdatasync of a file in this folder, made on the cores of the
    /// server where `--pid` names it
    #[arg(long, value_name = "FOLDER", requires = "publish_only")]
    fsync_dir: Option<PathBuf>,

    /// Publish so many events to each topic, and then have all subscribers come back at once from before them
    #[arg(long = "return", value_name = "EVENTS")]
    return_events: Option<u64>,

    /// Threads for the subscribers
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    threads: usize,

    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let plan = Plan::new(arguments)?;
    let report = run::run(&plan, arguments.connection.url())?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", Table(&report))?;
    }
    out.flush()?;
    Ok(report.verdict()?)
}
