//! `tidings subscribe`: prints events as they come.

mod format;

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::{FutureExt as _, StreamExt as _};
use tidings_client::{Conflate, Event, Item, Since, Subscription, Transport};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::connection::{Connection, NotAHub};
use crate::failure::{Failure, WrongArguments};
use crate::subscribe::format::Format;
use crate::terminal::{Terminal, Troubles, harmless, seconds};
use crate::value::Span;

/// What `tidings subscribe` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the data of each event and a line end; with --json, one JSON object per line, gaps and ends among them. A \
stream that breaks is resumed without loss or repetition, for as long as it takes.

Exit codes: 0 the topic ended, or Ctrl-C, or nobody reads any more; 1 failed; 2 wrong arguments; 3 the hub refused it; \
4 the topic ended for a reason, such as `aborted`: whoever published did not finish.")]
pub(crate) struct Arguments {
    /// Topics or patterns, like `orders/42`, `orders/*` or `**`
    #[arg(required = true, value_name = "SELECTOR")]
    selectors: Vec<String>,

    /// Where to begin: `latest`, `earliest`, the id of an event, `-N` for the last N, a time, or an age like `15m`
    #[arg(long, default_value = "latest", allow_hyphen_values = true)]
    since: Since,

    /// Only events of this type; may be repeated
    #[arg(long, value_name = "TYPE")]
    event: Vec<String>,

    /// What is made of events that are pending at once: of each topic the `latest`, or texts that are joined (`append`)
    #[arg(long, value_enum, value_name = "HOW")]
    conflate: Option<Fold>,

    /// The shortest time between two deliveries, at most 60s
    #[arg(long, value_name = "DURATION")]
    every: Option<Span>,

    /// How events are fetched; of several, like `websocket,auto`, by the first one that works
    #[arg(long, value_enum, default_value = "auto", value_delimiter = ',')]
    transport: Vec<Way>,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    /// What to print of each event: text in which `{id}`, `{topic}`, `{type}`, `{time}` and `{data}` stand for what the event
    /// has, `{{` and `}}` for braces, and `\n` and `\t` for a line end and a tab
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    format: Option<Format>,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    Auto,
    Sse,
    #[value(name = "websocket")]
    WebSocket,
    LongPoll,
    Poll,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Fold {
    Latest,
    Append,
}

/// The exit code where the topic ended with a reason, so that what was printed is perhaps not all that there was to be.
const BROKEN_OFF: u8 = 4;

/// The longest time between two deliveries that a hub takes.
const LONGEST_EVERY: Duration = Duration::from_secs(60);
/// How much is printed in one write at most, but for single events that are larger.
const WRITE_BYTES: usize = 64 << 10;

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let client = arguments.connection.client()?;
    let mut subscribe = client
        .subscribe(arguments.selectors)
        .since(arguments.since)
        .event_types(arguments.event)
        .transports(arguments.transport.into_iter().map(Transport::from));
    if let Some(fold) = arguments.conflate {
        subscribe = subscribe.conflate(fold.into());
    }
    if let Some(Span(interval)) = arguments.every {
        if interval > LONGEST_EVERY {
            return Err(WrongArguments::at("--every", &"it is at most 60s").into());
        }
        subscribe = subscribe.every(interval);
    }
    let subscription = subscribe.open().map_err(|error| WrongArguments::at("SELECTOR", &error))?;
    let printer = Printer {
        terminal: Terminal::find(),
        troubles: Troubles::default(),
        is_answered: Cell::new(false),
        is_broken_off: Cell::new(false),
        json: arguments.json,
        format: arguments.format,
        url: arguments.connection.url().to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = printer.print_all(subscription, tokio::io::stdout()) => result,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
            () = reader_left() => Ok(()),
        }
    });
    // A write to a pipe that nobody empties cannot be called off: it is left behind.
    runtime.shutdown_background();
    match result {
        Err(error) if is_broken_pipe(&*error) => Ok(ExitCode::SUCCESS),
        result => result.map(|()| {
            if printer.is_broken_off.get() { ExitCode::from(BROKEN_OFF) } else { ExitCode::SUCCESS }
        }),
    }
}

/// Resolves when the pipe that standard output is has lost its reader: `| head -n 1` should end with the first
/// line, and not with the next one that is written.
#[cfg(target_os = "linux")]
async fn reader_left() {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;

    let (left, leaves) = tokio::sync::oneshot::channel();
    // Nothing can call it off, so it is a thread that ends with the process.
    let watch = move || {
        let out = io::stdout();
        // Errors are told of without being asked for.
        let mut watched = [PollFd::new(&out, PollFlags::empty())];
        while let Err(Errno::INTR) = poll(&mut watched, None) {}
        let broken = watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP);
        // Where nobody listens any more, the process is about to end.
        let _ = left.send(broken);
    };
    let watching = std::thread::Builder::new().name("tidings-stdout".into()).spawn(watch);
    if watching.is_err() || leaves.await != Ok(true) {
        std::future::pending::<()>().await;
    }
}

/// Not every system tells of it without being asked whether there is room: there the next write does.
#[cfg(not(target_os = "linux"))]
async fn reader_left() {
    std::future::pending::<()>().await;
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

struct Printer {
    terminal: Terminal,
    troubles: Troubles,
    /// Whether a hub has answered: until then, what is not one is a wrong address.
    is_answered: Cell<bool>,
    /// Whether the topic has ended for a reason.
    is_broken_off: Cell<bool>,
    json: bool,
    format: Option<Format>,
    url: String,
}

// === impl Printer ===

impl Printer {
    async fn print_all(
        &self,
        mut subscription: Subscription,
        mut out: impl AsyncWrite + Unpin,
    ) -> Result<(), Box<dyn Error>> {
        let mut text = Vec::new();
        loop {
            let mut next = subscription.next().await;
            // What has come together is written together.
            let end: Option<Result<(), Box<dyn Error>>> = loop {
                match next {
                    Some(Ok(item)) => match self.not_a_hub(&item) {
                        None => self.print(item, subscription.cursor(), &mut text),
                        Some(error) => break Some(Err(error.into())),
                    },
                    Some(Err(error)) => break Some(Err(error.into())),
                    None => break Some(Ok(())),
                }
                if text.len() >= WRITE_BYTES {
                    break None;
                }
                match subscription.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => break None,
                }
            };
            out.write_all(&text).await?;
            out.flush().await?;
            text.clear();
            if let Some(end) = end {
                return Ok(end.map_err(Failure::to("subscribe"))?);
            }
        }
    }

    fn not_a_hub(&self, item: &Item) -> Option<NotAHub> {
        let Item::Reconnecting { reason, .. } = item else { return None };
        if self.is_answered.get() { None } else { NotAHub::of(&self.url, reason) }
    }

    fn print(&self, item: Item, cursor: Option<&str>, out: &mut Vec<u8>) {
        match item {
            Item::Event(event) if self.json => print_line(event.object(), out),
            Item::Event(event) => self.print_data(&event, out),
            Item::Gap(gap) => {
                self.terminal.warn(format_args!(
                    "events after {} may be missing ({}); going on after {}",
                    gap.since,
                    gap.reason.as_str(),
                    gap.resumed
                ));
                if self.json {
                    print_line(&serde_json::json!({ "gap": gap }), out);
                }
            }
            Item::Open { transport } => {
                self.is_answered.set(true);
                self.troubles.are_over(self.terminal);
                self.terminal.note(format_args!("listening to {} by {transport}", self.url));
            }
            Item::Reconnecting { after, reason, .. } => {
                let next = format_args!("connecting again {}", seconds(after));
                self.troubles.tell(self.terminal, &reason, next);
            }
            Item::Closed { reason: None } => {
                self.terminal.note("the topic has ended");
                if self.json {
                    print_line(&serde_json::json!({ "end": { "id": cursor } }), out);
                }
            }
            Item::Closed { reason: Some(reason) } => {
                self.terminal.warn(format_args!("the topic has ended: {}", harmless(&reason)));
                if self.json {
                    print_line(&serde_json::json!({ "end": { "id": cursor, "reason": reason } }), out);
                }
                self.is_broken_off.set(true);
            }
            _ => {}
        }
    }

    /// The data as it is; for people, with what it belongs to before it, and nothing that a terminal obeys.
    fn print_data(&self, event: &Event, out: &mut Vec<u8>) {
        if let Some(format) = &self.format {
            format.write(event, self.terminal.data, out);
        } else if self.terminal.data {
            let kind = event.event_type().map(|kind| format!(" {kind}")).unwrap_or_default();
            let about = harmless(&format!("{} {}{kind}", event.time(), event.topic()));
            out.extend_from_slice(
                format!("{}  {}", self.terminal.aside(&about), harmless(&event.text())).as_bytes(),
            );
        } else {
            out.extend_from_slice(&event.bytes());
        }
        out.push(b'\n');
    }
}

/// Appends a JSON value as one line. Line breaks between the tokens of published JSON become spaces.
fn print_line(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    // Strings and values that were JSON before always serialize, and a Vec takes all that is written to it.
    drop(serde_json::to_writer(&mut *out, value));
    for byte in out.iter_mut().skip(start) {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    out.push(b'\n');
}

// === impl Way ===

impl From<Fold> for Conflate {
    fn from(fold: Fold) -> Self {
        match fold {
            Fold::Latest => Self::Latest,
            Fold::Append => Self::Append,
        }
    }
}

impl From<Way> for Transport {
    fn from(way: Way) -> Self {
        match way {
            Way::Auto => Self::Auto,
            Way::Sse => Self::Sse,
            Way::WebSocket => Self::WebSocket,
            Way::LongPoll => Self::LongPoll,
            Way::Poll => Self::Poll,
        }
    }
}
