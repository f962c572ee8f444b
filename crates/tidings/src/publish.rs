//! `tidings publish`: publishes events.

mod lines;
mod stream;

use std::error::Error;
use std::io::{IsTerminal as _, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use clap::{ArgGroup, Args};
use tidings_client::{Client, Interruption, Message, Publish, PublishError};
use tidings_protocol::{EndReason, EventType, Topic};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use self::lines::LinePublisher;
use self::stream::StreamPublisher;
use crate::connection::{Connection, NotAHub};
use crate::failure::{Failure, WrongArguments};
use crate::terminal::{Terminal, Troubles, seconds};
use crate::value::Span;

/// What `tidings publish` is told.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("by_line").args(["lines", "stream"]).multiple(true)))]
#[command(after_help = "\
Prints the id of each event, once it is as durable as the hub promises. While the hub is away, publishing is \
retried; no event is lost or published twice.

With --stream, --chunks or --sse, one request lasts as long as standard input, and the id of the last event is printed at the \
end. If the hub goes away, the stream continues after the last acknowledged event.

With --lines, bytes that are not UTF-8 become U+FFFD, and lines that are too large, or with --json not JSON, are skipped. \
Each is reported on standard error, and their number at the end. --strict ends at the first of them instead.

Exit codes: 0 published; 1 failed, or the hub was away for too long; 2 wrong arguments; 3 the hub refused it; \
130 interrupted.")]
pub(crate) struct Arguments {
    /// What to publish under, like `orders/42`
    topic: String,

    /// The data; without it, all of standard input
    #[arg(conflicts_with_all = ["lines", "stream", "chunks", "sse"])]
    data: Option<String>,

    /// The data is what is in this file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "lines", "stream", "chunks", "sse"])]
    file: Option<PathBuf>,

    /// The event type
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,

    /// Publish each line of standard input as an event, as it comes
    #[arg(long)]
    lines: bool,

    /// Publish standard input as one stream: each line as it comes, in a single request that goes on where the hub was away
    #[arg(long)]
    stream: bool,

    /// A stream of whatever text comes, as it comes: the tokens of a model
    #[arg(long, conflicts_with_all = ["lines", "sse", "json", "binary"])]
    chunks: bool,

    /// A stream of the events of an event stream, as `curl -sN` prints it; with `--json`, data that is JSON is published as such
    #[arg(long, conflicts_with_all = ["lines", "binary"])]
    sse: bool,

    /// How long the hub waits for a stream that was cut off, before it ends its topic as `aborted`
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    grace: Span,

    /// End at the first line that cannot be published as it is
    #[arg(long, requires = "by_line", conflicts_with = "data")]
    strict: bool,

    /// End the topic after this; with no data at all, only end it
    #[arg(long)]
    close: bool,

    /// Why the topic ends, where that is no clean end: readers are told, and whoever streams to it is stopped
    #[arg(long, value_name = "REASON", requires = "close")]
    reason: Option<String>,

    /// How long events are delivered, like `90s`: no read gives them any more when they are older
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Span>,

    /// Publish once: repeated with the same key, the hub gives its first answer and appends nothing; with
    /// `--lines`, the number of the line is added
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// The data is JSON
    #[arg(long)]
    json: bool,

    /// The data is any bytes, not text
    #[arg(long, conflicts_with = "json")]
    binary: bool,

    /// For how long to try again while the hub is away; `0` is not at all
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    retry_for: Span,

    #[command(flatten)]
    connection: Connection,
}

/// Sends what is published to one topic, and tells how that goes.
struct Sender<'a> {
    arguments: &'a Arguments,
    client: Client,
    terminal: Terminal,
    troubles: Troubles,
    /// Whether a hub has answered: until then, what is not one is a wrong address.
    is_answered: AtomicBool,
}

const INTERRUPTED: u8 = 130;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    arguments.check()?;
    let sender = Sender::new(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = arguments.publish(&sender) => result.map(|()| ExitCode::SUCCESS),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                arguments.break_off(&sender).await;
                sender.terminal.warn("interrupted; what has no id here may be published or not");
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    });
    // A read of standard input cannot be called off: it is left behind.
    runtime.shutdown_background();
    result
}

// === impl Arguments ===

impl Arguments {
    /// Refuses what no hub would take, before anything is read.
    fn check(&self) -> Result<(), WrongArguments> {
        Topic::new(&self.topic).map_err(|error| WrongArguments::at("TOPIC", &error))?;
        if let Some(event_type) = &self.event {
            EventType::new(event_type).map_err(|error| WrongArguments::at("--event", &error))?;
        }
        if let Some(reason) = &self.reason {
            EndReason::new(reason).map_err(|error| WrongArguments::at("--reason", &error))?;
        }
        Ok(())
    }

    fn is_stream(&self) -> bool {
        self.stream || self.chunks || self.sse
    }

    async fn publish(&self, sender: &Sender<'_>) -> Result<(), Box<dyn Error>> {
        if self.is_stream() {
            return StreamPublisher::new(self, sender).publish(tokio::io::stdin()).await;
        }
        if self.lines {
            return LinePublisher::new(self, sender).publish(tokio::io::stdin()).await;
        }
        let file = self.file.as_ref().filter(|file| file.as_os_str() != "-");
        let data = match (&self.data, file) {
            (Some(data), _) => data.clone().into_bytes(),
            (None, Some(file)) => std::fs::read(file).map_err(|error| {
                WrongArguments::new(format!("failed to read {}: {error}", file.display()))
            })?,
            (None, None) => self.read_all(sender.terminal).await?,
        };
        // An explicit empty DATA is an empty event, also a last one.
        let only_end = self.close && self.data.is_none() && self.file.is_none() && data.is_empty();
        let mut publish = if only_end {
            sender.client.close(&*self.topic)
        } else {
            sender.client.publish(&*self.topic, self.message(data)?)
        };
        publish = match &self.reason {
            Some(reason) => publish.close_because(reason),
            None if self.close => publish.close(),
            None => publish,
        };
        Ok(sender.send(publish, self.idempotency_key.clone()).await.map_err(Failure::to("publish"))?)
    }

    /// Readers of a stream that is interrupted need not wait for the hub to give it up.
    async fn break_off(&self, sender: &Sender<'_>) {
        if self.is_stream() && self.close {
            let close = sender.client.close(&*self.topic).close_because(EndReason::ABORTED);
            drop(close.retry_for(Duration::ZERO).send().await);
        }
    }

    fn message(&self, data: Vec<u8>) -> Result<Message, Box<dyn Error>> {
        if self.json {
            return Ok(self.typed(Message::json_text(data)));
        }
        if self.binary {
            return Ok(self.typed(Message::bytes(data)));
        }
        let text = String::from_utf8(data).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            format!("the data is not UTF-8: byte {at} begins no character; `--binary` sends any bytes")
        })?;
        Ok(self.typed(Message::text(text)))
    }

    fn typed(&self, message: Message) -> Message {
        match &self.event {
            Some(event_type) => message.event_type(event_type),
            None => message,
        }
    }

    async fn read_all(&self, terminal: Terminal) -> Result<Vec<u8>, Box<dyn Error>> {
        if stdin().is_terminal() {
            if self.close {
                return Ok(Vec::new());
            }
            terminal.note("reading the data from the terminal; Ctrl-D ends it");
        }
        let mut data = Vec::new();
        let read = tokio::io::stdin().read_to_end(&mut data).await;
        read.map_err(|error| format!("failed to read standard input: {error}"))?;
        Ok(data)
    }
}

// === impl Sender ===

impl<'a> Sender<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            arguments,
            client: arguments.connection.client()?,
            terminal: Terminal::find(),
            troubles: Troubles::default(),
            is_answered: AtomicBool::new(false),
        })
    }

    async fn send(&self, mut publish: Publish, key: Option<String>) -> Result<(), Box<dyn Error>> {
        if let Some(key) = key {
            publish = publish.idempotency_key(key);
        }
        if let Some(ttl) = self.arguments.ttl {
            publish = publish.ttl(ttl.0);
        }
        let (terminal, troubles) = (self.terminal, self.troubles.clone());
        let is_first = !self.is_answered.load(Relaxed);
        let url = self.arguments.connection.url().to_owned();
        let (give_up, mut given_up) = mpsc::channel(1);
        let not_a_hub = move |reason: &Interruption| if is_first { NotAHub::of(&url, reason) } else { None };
        let tell = {
            let not_a_hub = not_a_hub.clone();
            move |reason: &Interruption, delay: Duration| match not_a_hub(reason) {
                // Where it is told already, that is enough.
                Some(error) => drop(give_up.try_send(error)),
                None => troubles.tell(terminal, reason, format_args!("trying again {}", seconds(delay))),
            }
        };
        let publish = publish.retry_for(self.arguments.retry_for.0).on_retry(tell).send();
        let published = tokio::select! {
            published = publish => published,
            Some(error) = given_up.recv() => return Err(error.into()),
        };
        if let Err(PublishError::GaveUp { last, .. }) = &published
            && let Some(error) = not_a_hub(last)
        {
            return Err(error.into());
        }
        self.is_answered.fetch_or(matches!(published, Ok(_) | Err(PublishError::Refused(_))), Relaxed);
        let published = published?;
        self.troubles.are_over(self.terminal);
        print(published.ids()).await;
        Ok(())
    }
}

/// Prints the ids. Whether somebody still reads them is no reason to publish or not to.
async fn print(ids: &[String]) {
    let text: String = ids.iter().flat_map(|id| [id, "\n"]).collect();
    let mut out = tokio::io::stdout();
    if out.write_all(text.as_bytes()).await.is_ok() {
        drop(out.flush().await);
    }
}
