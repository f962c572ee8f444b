//! `tidings publish --lines`: each line is an event.

use std::error::Error;
use std::fmt::Display;

use tidings_client::{Message, PublishError};
use tokio::io::AsyncRead;

use super::{Arguments, Sender};
use crate::failure::Failure;
use crate::lines::{Line, Lines};

/// Publishes lines as they come.
pub(super) struct LinePublisher<'a> {
    arguments: &'a Arguments,
    sender: &'a Sender<'a>,
    pub(super) published: u64,
    skipped: u64,
    replaced: u64,
}

/// A line that can be published, and its number, from 1.
struct Numbered {
    number: u64,
    message: Message,
}

/// How many lines that cannot be published as they are have a warning of their own.
const TOLD: u64 = 10;

// === impl LinePublisher ===

impl<'a> LinePublisher<'a> {
    pub(super) fn new(arguments: &'a Arguments, sender: &'a Sender<'a>) -> Self {
        Self { arguments, sender, published: 0, skipped: 0, replaced: 0 }
    }

    pub(super) async fn publish(mut self, input: impl AsyncRead + Unpin) -> Result<(), Box<dyn Error>> {
        let mut lines = Lines::of(input);
        let mut number = 0;
        loop {
            // With a key of the caller's, each line is known by its number, however the lines come in.
            let together = if self.arguments.idempotency_key.is_some() { 1 } else { usize::MAX };
            let ready = lines.next(together, |line| self.goes_alone(line)).await?;
            if ready.is_empty() {
                break;
            }
            let mut group = Vec::new();
            for line in ready {
                number += 1;
                if let Some(message) = self.message(number, line)? {
                    group.push(Numbered { number, message });
                }
            }
            self.publish_group(group).await?;
        }
        self.tell_of_lines();
        if self.arguments.close {
            let key = self.arguments.idempotency_key.as_ref().map(|key| format!("{key}-end"));
            let mut close = self.sender.client.close(&*self.arguments.topic);
            if let Some(reason) = &self.arguments.reason {
                close = close.close_because(reason);
            }
            self.sender.send(close, key).await.map_err(Failure::to("end the topic"))?;
        }
        Ok(())
    }

    /// What to publish for a line; nothing where it is passed over.
    pub(super) fn message(&mut self, number: u64, line: Line) -> Result<Option<Message>, Box<dyn Error>> {
        let arguments = self.arguments;
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong => return self.skip(number, &"it is longer than 32 MiB"),
        };
        if arguments.binary {
            return Ok(Some(arguments.typed(Message::bytes(line))));
        }
        if arguments.json {
            if line.trim_ascii().is_empty() {
                return self.skip(number, &"it is blank, which is no JSON");
            }
            let message = arguments.typed(Message::json_text(line));
            return match message.check() {
                Ok(()) => Ok(Some(message)),
                Err(error) => self.skip(number, &error),
            };
        }
        let text = match String::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let problem = format!("it is not UTF-8: byte {at} begins no character");
                if arguments.strict {
                    return Err(
                        failed(number)(format!("{problem}; `--binary` sends any bytes").into()).into()
                    );
                }
                self.replaced += 1;
                self.warn(number, "replaced a part of", &problem);
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
        };
        Ok(Some(arguments.typed(Message::text(text))))
    }

    /// Publishes lines at once, or where they are refused, one by one.
    async fn publish_group(&mut self, group: Vec<Numbered>) -> Result<(), Box<dyn Error>> {
        if let [first, .., last] = group.as_slice() {
            let messages = group.iter().map(|line| line.message.clone());
            let batch = self.sender.client.publish_batch(&*self.arguments.topic, messages);
            match self.sender.send(batch, None).await {
                Ok(()) => {
                    self.published += group.len() as u64;
                    return Ok(());
                }
                // One of them may be to blame, and those before it are to be published.
                Err(error) if is_refused(&*error) => {}
                Err(error) => {
                    let what = format!("publish lines {} to {}", first.number, last.number);
                    return Err(Failure::to(what)(error).into());
                }
            }
        }
        for Numbered { number, message } in group {
            let key = self.arguments.idempotency_key.as_ref().map(|key| format!("{key}-{number}"));
            let publish = self.sender.client.publish(&*self.arguments.topic, message);
            match self.sender.send(publish, key).await {
                Ok(()) => self.published += 1,
                Err(error) if is_the_lines_fault(&*error) => {
                    self.skip(number, &error)?;
                }
                Err(error) => return Err(failed(number)(error).into()),
            }
        }
        Ok(())
    }

    fn skip(&mut self, number: u64, problem: &dyn Display) -> Result<Option<Message>, Box<dyn Error>> {
        if self.arguments.strict {
            return Err(failed(number)(problem.to_string().into()).into());
        }
        self.skipped += 1;
        self.warn(number, "passed over", problem);
        Ok(None)
    }

    fn warn(&self, number: u64, done: &str, problem: &dyn Display) {
        let count = self.skipped + self.replaced;
        if count <= TOLD {
            let last = if count == TOLD { "; further lines are only counted" } else { "" };
            self.sender.terminal.warn(format_args!("{done} line {number}: {problem}{last}"));
        }
    }

    pub(super) fn tell_of_lines(&self) {
        let Self { published, skipped, replaced, .. } = self;
        if skipped + replaced > 0 {
            self.sender.terminal.warn(format_args!(
                "published {published} lines, of which {replaced} had a part replaced; passed over {skipped}"
            ));
        }
    }

    /// Whether a line cannot be one of several: in a batch, a JSON string would be a text.
    fn goes_alone(&self, line: &Line) -> bool {
        let Line::Whole(line) = line else { return false };
        self.arguments.json && line.trim_ascii_start().starts_with(b"\"")
    }
}

fn failed(number: u64) -> impl FnOnce(Box<dyn Error>) -> Failure {
    Failure::to(format!("publish line {number}"))
}

fn is_refused(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(PublishError::Refused(_)))
}

/// Whether the hub would take another line.
fn is_the_lines_fault(error: &(dyn Error + 'static)) -> bool {
    let Some(PublishError::Refused(problem)) = error.downcast_ref() else { return false };
    ["urn:tidings:event-too-large", "urn:tidings:invalid-data"].contains(&problem.kind.as_str())
}
