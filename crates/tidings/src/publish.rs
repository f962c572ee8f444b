//! `tidings publish`: publishes events.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _, stdin, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tidings_client::{Client, Message, Publish, PublishError};
use tokio::io::AsyncReadExt as _;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::lines::{Line, Lines};
use crate::terminal::{Terminal, seconds};
use crate::value::Span;

/// What `tidings publish` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the id of each event, once it is as durable as the hub promises. Where the hub is away, it is tried again, \
and no event is lost or doubled by that.

Exit codes: 0 published; 1 failed, or the hub was away for too long; 2 wrong arguments; 3 the hub refused it; \
130 interrupted.")]
pub(crate) struct Arguments {
    /// What to publish under, like `orders/42`
    topic: String,

    /// The data; without it, all of standard input
    #[arg(conflicts_with = "lines")]
    data: Option<String>,

    /// The event type
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,

    /// Publish each line of standard input as an event, as it comes
    #[arg(long)]
    lines: bool,

    /// End the topic after this; with no data at all, only end it
    #[arg(long)]
    close: bool,

    /// A key under which the hub publishes this once only, however often it comes; with `--lines`, the
    /// number of the line is added
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

const INTERRUPTED: u8 = 130;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let client = arguments.connection.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = arguments.publish(&client) => result.map(|()| ExitCode::SUCCESS),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                Terminal::find().warn("interrupted; what has no id here may be published or not");
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
    async fn publish(&self, client: &Client) -> Result<(), Box<dyn Error>> {
        if self.lines {
            return self.publish_lines(client).await;
        }
        let data = match &self.data {
            Some(data) => data.clone().into_bytes(),
            None => self.read_all().await?,
        };
        // An explicit empty DATA is an empty event, also a last one.
        let only_end = self.close && self.data.is_none() && data.is_empty();
        let mut publish = if only_end {
            client.close(&*self.topic)
        } else {
            client.publish(&*self.topic, self.message(data)?)
        };
        if self.close {
            publish = publish.close();
        }
        Ok(self.send(publish, self.idempotency_key.clone()).await.map_err(Failure::to("publish"))?)
    }

    async fn publish_lines(&self, client: &Client) -> Result<(), Box<dyn Error>> {
        let mut lines = Lines::of(tokio::io::stdin());
        let mut number = 0_u64;
        loop {
            // With a key of the caller's, each line is known by its number, however the lines come in.
            let together = if self.idempotency_key.is_some() { 1 } else { usize::MAX };
            let ready = lines.next(together, |line| self.goes_alone(line)).await?;
            if ready.is_empty() {
                break;
            }
            self.publish_group(client, &ready, number + 1).await?;
            number += ready.len() as u64;
        }
        if self.close {
            let key = self.idempotency_key.as_ref().map(|key| format!("{key}-end"));
            self.send(client.close(&*self.topic), key).await.map_err(Failure::to("end the topic"))?;
        }
        Ok(())
    }

    /// Publishes lines of which the first has the number `first`: at once, or where they are refused, one by one up to
    /// the one that is to blame.
    async fn publish_group(&self, client: &Client, lines: &[Line], first: u64) -> Result<(), Box<dyn Error>> {
        if lines.len() > 1 {
            let last = first + lines.len() as u64 - 1;
            match self.publish_together(client, lines).await {
                Ok(()) => return Ok(()),
                Err(error) if is_unknown(&*error) => {
                    return Err(Failure::to(format!("publish lines {first} to {last}"))(error).into());
                }
                Err(_) => {}
            }
        }
        for (number, line) in (first..).zip(lines) {
            let key = self.idempotency_key.as_ref().map(|key| format!("{key}-{number}"));
            let sent = match self.message(line.clone()) {
                Ok(message) => self.send(client.publish(&*self.topic, message), key).await,
                Err(error) => Err(error),
            };
            sent.map_err(Failure::to(format!("publish line {number}")))?;
        }
        Ok(())
    }

    async fn publish_together(&self, client: &Client, lines: &[Line]) -> Result<(), Box<dyn Error>> {
        let messages: Result<Vec<_>, _> = lines.iter().map(|line| self.message(line.clone())).collect();
        self.send(client.publish_batch(&*self.topic, messages?), None).await
    }

    /// Whether a line cannot be one of several: in a batch, a JSON string would be a text.
    fn goes_alone(&self, line: &Line) -> bool {
        self.json && line.trim_ascii_start().starts_with(b"\"")
    }

    fn message(&self, data: Vec<u8>) -> Result<Message, Box<dyn Error>> {
        let message = if self.json {
            Message::json_text(data)
        } else if self.binary {
            Message::bytes(data)
        } else {
            Message::text(String::from_utf8(data).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                format!("the data is not UTF-8: byte {at} begins no character; `--binary` sends any bytes")
            })?)
        };
        Ok(match &self.event {
            Some(event_type) => message.event_type(event_type),
            None => message,
        })
    }

    async fn send(&self, mut publish: Publish, key: Option<String>) -> Result<(), Box<dyn Error>> {
        if let Some(key) = key {
            publish = publish.idempotency_key(key);
        }
        let terminal = Terminal::find();
        let published = publish
            .retry_for(self.retry_for.0)
            .on_retry(move |reason, delay: Duration| {
                terminal.trouble(format_args!("{reason}; trying again {}", seconds(delay)));
            })
            .await?;
        tell(published.ids());
        Ok(())
    }

    async fn read_all(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        if stdin().is_terminal() {
            if self.close {
                return Ok(Vec::new());
            }
            Terminal::find().note("reading the data from the terminal; Ctrl-D ends it");
        }
        let mut data = Vec::new();
        let read = tokio::io::stdin().read_to_end(&mut data).await;
        read.map_err(|error| format!("failed to read standard input: {error}"))?;
        Ok(data)
    }
}

/// Whether what was sent may have been published all the same.
fn is_unknown(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(PublishError::GaveUp { .. }))
}

/// Prints the ids. Whether somebody still reads them is no reason to publish or not to.
fn tell(ids: &[String]) {
    let mut out = stdout().lock();
    let mut print = || ids.iter().try_for_each(|id| writeln!(out, "{id}")).and_then(|()| out.flush());
    drop(print());
}
