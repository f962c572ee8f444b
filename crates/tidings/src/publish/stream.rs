//! `tidings publish --stream`: standard input is one stream of events, in one request that goes on.

use std::error::Error;

use tidings_client::{Message, PublishError, PublishStream};
use tidings_event_stream::{Item, Limits, Parser};
use tidings_protocol::EndReason;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use super::lines::LinePublisher;
use super::{Arguments, Sender, print};
use crate::failure::Failure;
use crate::lines::Lines;
use crate::terminal::seconds;

/// Publishes standard input as it comes.
pub(super) struct StreamPublisher<'a> {
    arguments: &'a Arguments,
    sender: &'a Sender<'a>,
}

/// What is read at once of standard input, and so the largest chunk of text.
const CHUNK_BYTES: usize = 16 << 10;
/// The largest event of an event stream.
const EVENT_BYTES: usize = 32 << 20;
/// How many events are read ahead.
const AHEAD: usize = 64;

type Outcome = Result<(), Box<dyn Error>>;

// === impl StreamPublisher ===

impl<'a> StreamPublisher<'a> {
    pub(super) fn new(arguments: &'a Arguments, sender: &'a Sender<'a>) -> Self {
        Self { arguments, sender }
    }

    pub(super) async fn publish(self, input: impl AsyncRead + Unpin) -> Outcome {
        let mut stream = self.open()?;
        let (give, mut events) = mpsc::channel(AHEAD);
        let reading = self.read(input, give);
        tokio::pin!(reading);
        let mut read = None;
        let told = |error: PublishError| Failure::to("publish the stream")(error.into());
        loop {
            tokio::select! {
                biased;
                // Somebody may have ended the topic.
                progress = stream.acknowledged() => drop(progress.map_err(told)?),
                event = events.recv() => match event {
                    Some(message) => stream.send(message).await.map_err(told)?,
                    None => break,
                },
                ended = &mut reading, if read.is_none() => read = Some(ended),
            }
        }
        if let Some(Err(error)) = read {
            // What came is published, and readers are told that it is not all.
            stream.flush().await.map_err(told)?;
            if self.arguments.close {
                let close =
                    self.sender.client.close(&*self.arguments.topic).close_because(EndReason::ABORTED);
                close.send().await.map_err(told)?;
            }
            return Err(error);
        }
        let published = stream.finish().await.map_err(told)?;
        print(published.last.as_slice()).await;
        Ok(())
    }

    fn open(&self) -> Result<PublishStream, Box<dyn Error>> {
        let arguments = self.arguments;
        let mut stream = self.sender.client.stream(&*arguments.topic);
        if let Some(ttl) = arguments.ttl {
            stream = stream.ttl(ttl.0);
        }
        stream = stream.grace(arguments.grace.0).retry_for(arguments.retry_for.0);
        stream = match &arguments.reason {
            Some(reason) => stream.close_because(reason),
            None if arguments.close => stream.close(),
            None => stream,
        };
        if let Some(key) = &arguments.idempotency_key {
            stream = stream.idempotency_key(key);
        }
        let (terminal, troubles) = (self.sender.terminal, self.sender.troubles.clone());
        let stream = stream.open().map_err(Box::<dyn Error>::from)?;
        Ok(stream.on_retry(move |reason, delay| {
            troubles.tell(terminal, reason, format_args!("going on {}", seconds(delay)));
        }))
    }

    /// Gives each event of standard input as it comes. It ends well only where the input is whole.
    async fn read(&self, input: impl AsyncRead + Unpin, give: mpsc::Sender<Message>) -> Outcome {
        if self.arguments.sse {
            self.read_events(input, give).await
        } else if self.arguments.chunks {
            self.read_chunks(input, give).await
        } else {
            self.read_lines(input, give).await
        }
    }

    async fn read_lines(&self, input: impl AsyncRead + Unpin, give: mpsc::Sender<Message>) -> Outcome {
        let mut publisher = LinePublisher::new(self.arguments, self.sender);
        let mut lines = Lines::of(input);
        let mut number = 0;
        loop {
            let ready = lines.next(usize::MAX, |_| false).await?;
            if ready.is_empty() {
                publisher.tell_of_lines();
                return Ok(());
            }
            for line in ready {
                number += 1;
                if let Some(message) = publisher.message(number, line)? {
                    publisher.published += 1;
                    // Whoever takes them has ended with an error of its own.
                    drop(give.send(message).await);
                }
            }
        }
    }

    async fn read_chunks(&self, mut input: impl AsyncRead + Unpin, give: mpsc::Sender<Message>) -> Outcome {
        let mut buffer = Vec::with_capacity(CHUNK_BYTES);
        loop {
            let count = read(&mut input, &mut buffer).await?;
            if count == 0 {
                return if buffer.is_empty() { Ok(()) } else { Err(NOT_TEXT.into()) };
            }
            let whole = match std::str::from_utf8(&buffer) {
                Ok(text) => text.len(),
                // A character may have come in part.
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                Err(_) => return Err(NOT_TEXT.into()),
            };
            let rest = buffer.split_off(whole);
            let text = String::from_utf8(std::mem::replace(&mut buffer, rest)).map_err(|_| NOT_TEXT)?;
            if !text.is_empty() {
                drop(give.send(self.arguments.typed(Message::text(text))).await);
            }
        }
    }

    async fn read_events(&self, mut input: impl AsyncRead + Unpin, give: mpsc::Sender<Message>) -> Outcome {
        let mut parser = Parser::with_limits(Limits { line: EVENT_BYTES, event: EVENT_BYTES });
        let mut buffer = Vec::with_capacity(CHUNK_BYTES);
        // Whether something has come since the last blank line.
        let mut is_whole = true;
        loop {
            buffer.clear();
            if read(&mut input, &mut buffer).await? == 0 {
                let cut_off = "the event stream was cut off within an event";
                return if is_whole { Ok(()) } else { Err(cut_off.into()) };
            }
            is_whole = ends_block(&buffer, is_whole);
            let mut messages = Vec::new();
            parser
                .feed(&buffer, |item| {
                    if let Item::Event(event) = item {
                        messages.push(event);
                    }
                })
                .map_err(|error| format!("standard input is no event stream: {error}"))?;
            for event in messages {
                let json = self.arguments.json.then(|| Message::json_text(event.data.clone()));
                let json = json.filter(|message| message.check().is_ok());
                let message = json.unwrap_or_else(|| Message::text(event.data));
                let message = match event.event.as_str() {
                    "" | "message" => self.arguments.typed(message),
                    name => message.event_type(name),
                };
                message.check()?;
                drop(give.send(message).await);
            }
        }
    }
}

const NOT_TEXT: &str = "standard input is not UTF-8 text";

/// Whether an event stream may end after this: it ends with a blank line, or with nothing but comments behind one.
fn ends_block(piece: &[u8], mut is_whole: bool) -> bool {
    for line in piece.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
            Some(b"") => is_whole = true,
            Some(line) if line.starts_with(b":") => {}
            _ => is_whole = false,
        }
    }
    is_whole
}

async fn read(input: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<usize, String> {
    let mut limited = input.take(CHUNK_BYTES as u64);
    limited.read_buf(buffer).await.map_err(|error| format!("failed to read standard input: {error}"))
}
