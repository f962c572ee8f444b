//! `tidings compare`: which transport suits, in figures, and what stands between a client and a hub.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidings_client::tls::Trust;
use tidings_protocol::Topic;

use crate::bench::server::Location;
use crate::connection::Credentials;
use crate::failure::{Failure, WrongArguments};
use crate::value::Span;
use conclusions::conclusions;
use intermediaries::Findings;
use lane::{Choice, Rate, Transport, Wire};
use outcome::Outcome;
use own_hub::{OwnHub, Room};
use progress::Progress;
use site::{Site, Token};
use survey::{HubSource, Survey};
use table::Table;

mod conclusions;
mod cost;
mod ended;
mod intermediaries;
mod lane;
mod measurement;
mod numbers;
mod outcome;
mod own_hub;
mod page;
mod plot;
mod progress;
mod site;
mod survey;
mod table;

/// What `tidings compare` is told.
#[derive(Debug, Args)]
#[command(
    after_help = "Without `--url` it starts hubs of its own on this machine, with their logs in a temporary folder, and ends \
    them. At another machine's hub it measures with fewer clients and lower rates, unless it is told which.\n\n\
    Exit codes: 0 measured; 1 nothing could be measured; 2 wrong arguments."
)]
pub(crate) struct Arguments {
    /// The hub to compare at, as its clients reach it [default: a hub of its own]
    #[arg(long, env = "TIDINGS_URL", value_name = "URL")]
    url: Option<String>,

    #[command(flatten)]
    credentials: Credentials,

    /// The topic below which test events are published; the token must allow to publish and to read there
    #[arg(long, default_value = "compare", value_name = "TOPIC")]
    topic: String,

    /// Only find out what stands between this machine and the hub
    #[arg(long)]
    check: bool,

    /// Take about half a minute, with fewer clients, rates and protocols
    #[arg(long)]
    quick: bool,

    /// Which transports to compare [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TRANSPORT,…")]
    transports: Vec<Choice>,

    /// Events a second to measure with; what is lower is computed [default: 10,100,1000]
    #[arg(long, value_delimiter = ',', value_name = "RATE,…")]
    rates: Vec<Rate>,

    /// Numbers of clients to measure with [default: 1,100,1000]
    #[arg(long, value_delimiter = ',', value_name = "NUMBER,…")]
    clients: Vec<usize>,

    /// Intervals of short polls: the shortest is measured, the others are computed from it
    #[arg(long, value_delimiter = ',', default_value = "1s,5s,30s", value_name = "DURATION,…")]
    intervals: Vec<Span>,

    /// Bytes of data in each event
    #[arg(long, default_value_t = 100, value_name = "BYTES")]
    size: usize,

    /// How long to publish for each measurement [default: 1s]
    #[arg(long, value_name = "DURATION")]
    duration: Option<Span>,

    /// How long to wait for silent connections to be cut, if the rest takes less [default: as long as the rest takes]
    #[arg(long, value_name = "DURATION")]
    idle: Option<Span>,

    /// Write a page with plots to a file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write everything as JSON
    #[arg(long)]
    json: bool,
}

/// What is measured with where nothing else is asked for.
struct Defaults {
    rates: &'static [f64],
    clients: &'static [usize],
    duration: Duration,
}

/// At a hub on this machine.
const USUAL: Defaults =
    Defaults { rates: &[10.0, 100.0, 1_000.0], clients: &[1, 100, 1_000], duration: Duration::from_secs(1) };
/// At one on another machine, that others may use as well.
const GENTLE: Defaults =
    Defaults { rates: &[10.0, 50.0], clients: &[1, 20], duration: Duration::from_secs(2) };
const QUICK: Defaults =
    Defaults { rates: &[10.0, 100.0], clients: &[1, 100], duration: Duration::from_millis(500) };

/// The most of each, so that a run ends.
const MOST_CLIENTS: usize = 10_000;
const MOST_LISTED: usize = 8;
const MOST_IDLE: Duration = Duration::from_secs(3_600);
const MOST_DURATION: Duration = Duration::from_secs(60);
const MOST_INTERVAL: Duration = Duration::from_secs(86_400);
/// How often it is looked whether silent connections have been cut.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    arguments.check()?;
    ended::clear_room_when_told_to_end();
    let outcome = match arguments.url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => arguments.at(url)?,
        None => arguments.at_own_hub()?,
    };
    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut out, &outcome)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", Table(&outcome))?;
    }
    out.flush()?;
    if let Some(path) = &arguments.html {
        std::fs::write(path, page::page(&outcome))
            .map_err(|error| format!("failed to write {}: {error}", path.display()))?;
    }
    Ok(outcome.verdict(arguments.check)?)
}

// === impl Arguments ===

impl Arguments {
    /// Compares at hubs that are started for it.
    fn at_own_hub(&self) -> Result<Outcome, Box<dyn Error>> {
        let room = Room::new()?;
        // What is looked at while others are measured.
        let hub = OwnHub::start(&room, "watched")?;
        let site = || Site {
            authority: hub.authority.clone(),
            prefix: String::new(),
            token: None,
            trust: Trust::File(room.certificate()),
            topic: self.topic.clone(),
            pid: None,
        };
        let wires = [(false, false), (false, true), (true, false), (true, true)];
        let wires = wires.map(|(tls, http2)| Wire { tls, http2 }).to_vec();
        let url = format!("http://{}", hub.authority);
        self.compare(&site(), url, true, wires, &USUAL, HubSource::Own { room: &room, site: site() })
    }

    /// Compares at a hub that is there.
    fn at(&self, url: &str) -> Result<Outcome, Box<dyn Error>> {
        let Location { is_tls, authority, prefix } = Location::of(url)?;
        let site = Site {
            authority: authority.to_owned(),
            prefix: prefix.to_owned(),
            token: self.credentials.token().map(|token| Token(token.to_owned())),
            trust: self.credentials.trust(),
            topic: self.topic.clone(),
            pid: None,
        };
        let wire = Wire { tls: is_tls, http2: false };
        let usual = if site.is_local(wire)? { &USUAL } else { &GENTLE };
        self.compare(&site, url.to_owned(), false, vec![wire], usual, HubSource::Site(&site))
    }

    /// Looks at one hub, and measures.
    fn compare(
        &self,
        site: &Site,
        url: String,
        own_hub: bool,
        mut wires: Vec<Wire>,
        usual: &Defaults,
        mut source: HubSource<'_>,
    ) -> Result<Outcome, Box<dyn Error>> {
        let mut progress = Progress::new();
        progress.say(format_args!("looking at what stands between this machine and {url}"));
        let wire = wires[0];
        let (findings, watch) =
            intermediaries::look(site, wire).map_err(Failure::to(format!("compare at {url}")))?;
        if !own_hub && findings.speaks_http2() {
            wires.push(Wire { http2: true, ..wire });
        }
        let mut outcome = Outcome {
            url,
            own_hub,
            size: self.size,
            intermediaries: findings,
            lanes: Vec::new(),
            conclusions: Vec::new(),
        };
        if !self.check {
            let survey = self.survey(wires, usual, &outcome.intermediaries);
            progress.estimate(survey.estimate());
            outcome.lanes = survey.run(&mut source, &mut progress)?;
            outcome.conclusions = conclusions(&outcome);
        }
        let idle = self.idle.map_or(Duration::ZERO, |span| span.0);
        progress
            .step(format_args!("waiting for silent connections to be cut, for {} at most", lane::span(idle)));
        while watch.age() < idle && !watch.is_over() {
            std::thread::sleep(LOOK);
        }
        outcome.intermediaries.silences = watch.end();
        Ok(outcome)
    }

    fn survey(&self, wires: Vec<Wire>, usual: &Defaults, between: &Findings) -> Survey {
        let usual = if self.quick { &QUICK } else { usual };
        let mut rates = self.rates.clone();
        if rates.is_empty() {
            rates = usual.rates.iter().copied().map(Rate).collect();
        }
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        rates.dedup();
        let mut clients = self.clients.clone();
        if clients.is_empty() {
            clients = usual.clients.to_vec();
        }
        clients.sort_unstable();
        clients.dedup();
        let mut intervals: Vec<_> = self.intervals.iter().map(|span| span.0).collect();
        intervals.sort_unstable();
        intervals.dedup();
        let transports = [
            (Choice::Poll, Transport::Poll(intervals[0])),
            (Choice::LongPoll, Transport::LongPoll),
            (Choice::Sse, Transport::Sse),
            (Choice::WebSocket, Transport::WebSocket),
        ];
        let chosen = |choice: &Choice| self.transports.is_empty() || self.transports.contains(choice);
        let mut wires = wires;
        if self.quick && wires.len() > 2 {
            wires = vec![wires[0], wires[wires.len() - 1]];
        }
        Survey {
            transports: transports
                .into_iter()
                .filter(|(choice, _)| chosen(choice))
                .map(|(_, transport)| transport)
                .collect(),
            wires,
            rates,
            clients,
            intervals,
            size: self.size,
            duration: self.duration.map_or(usual.duration, |span| span.0),
            blocked: between.blocked(),
        }
    }

    fn check(&self) -> Result<(), WrongArguments> {
        let listed = [self.rates.len(), self.clients.len(), self.intervals.len()];
        if listed.into_iter().max() > Some(MOST_LISTED) {
            return Err(WrongArguments::new(format!(
                "`--rates`, `--clients` and `--intervals` name {MOST_LISTED} each at most"
            )));
        }
        if let Some(clients) = self.clients.iter().find(|clients| !(1..=MOST_CLIENTS).contains(*clients)) {
            return Err(WrongArguments::at("--clients", &format!("from 1 to {MOST_CLIENTS}, not {clients}")));
        }
        let spans = self.intervals.iter().map(|interval| ("--intervals", *interval, MOST_INTERVAL));
        let spans = spans.chain(self.duration.map(|duration| ("--duration", duration, MOST_DURATION)));
        for (name, span, most) in spans.chain(self.idle.map(|idle| ("--idle", idle, MOST_IDLE))) {
            if span.0 > most || span.0.is_zero() {
                let what = format!("more than nothing and at most {}, not {span}", Span(most));
                return Err(WrongArguments::at(name, &what));
            }
        }
        if self.rates.iter().any(|rate| rate.0 * self.duration.map_or(1.0, |span| span.0.as_secs_f64()) < 1.0)
        {
            let what = "events that come once in a while are computed, not waited for: give rates of which there is an event within \
                        `--duration`";
            return Err(WrongArguments::at("--rates", &what));
        }
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~/".contains(letter);
        let topic = format!("{}/x", self.topic);
        if !self.topic.chars().all(is_plain) || topic.parse::<Topic>().is_err() {
            let what = format!("`{}` is no topic of letters, digits and `-._~/`", self.topic);
            return Err(WrongArguments::at("--topic", &what));
        }
        Ok(())
    }
}

// === impl Outcome ===

impl Outcome {
    /// Whether there is anything in it.
    fn verdict(&self, only_between: bool) -> Result<(), String> {
        if only_between {
            return match self.intermediaries.troubles.first() {
                Some(trouble) if self.intermediaries.pages.is_none() => Err(trouble.clone()),
                _ => Ok(()),
            };
        }
        if self.lanes.iter().any(|lane| !lane.delivering.is_empty()) {
            return Ok(());
        }
        let omitted = self.lanes.iter().flat_map(|lane| &lane.omitted).map(|omitted| &*omitted.reason).next();
        Err(format!("nothing could be measured: {}", omitted.unwrap_or("there was nothing to measure")))
    }
}
