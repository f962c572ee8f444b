use std::time::Duration;

use bytes::Bytes;
use reqwest::header::ACCEPT;
use reqwest::{Method, Response, StatusCode, Url};
use tidings_event_stream::{Limits, Parser};
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{self, Failure};
use crate::client::send;
use crate::told::Told;
use crate::{Client, Interruption, defaults};

/// An open stream of events.
pub(crate) struct EventStream {
    response: Response,
    parser: Parser,
    opened: Instant,
    first: Option<Bytes>,
}

/// How long to wait for a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the first byte of its body.
    pub(crate) first_byte: Duration,
    /// For any byte after that.
    pub(crate) silence: Duration,
}

// === impl EventStream ===

impl EventStream {
    /// Opens a stream, and waits for the first byte of its body. `None` where the topic has ended.
    pub(crate) async fn open(
        client: &Client,
        url: Url,
        patience: Patience,
        event_bytes: usize,
    ) -> Result<Option<Self>, Failure> {
        let request = client.request(Method::GET, url).await?.header(ACCEPT, "text/event-stream");
        let late = || Failure::from(Interruption::Stalled { after: patience.first_byte });
        let deadline = Instant::now() + patience.first_byte;
        let mut response = match send(request, patience.first_byte).await {
            Err(Failure::Passing { reason: Interruption::TimedOut { .. }, .. }) => return Err(late()),
            answer => answer?,
        };
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        if !answer::is_of_type(&response, "text/event-stream") {
            return Err(Interruption::unexpected(response.status(), response.headers()).into());
        }
        let chunk = timeout_at(deadline, response.chunk()).await.map_err(|_| late())?;
        let first = chunk.map_err(Interruption::of_body)?.ok_or(Interruption::Ended)?;
        let limits = Limits { line: event_bytes, event: event_bytes };
        let parser = Parser::with_limits(limits);
        Ok(Some(Self { response, parser, opened: Instant::now(), first: Some(first) }))
    }

    /// Whether it has lasted long enough to count as a success.
    pub(crate) fn is_settled(&self) -> bool {
        self.opened.elapsed() >= defaults::SETTLED
    }

    /// Takes what comes next. What was complete before a failure is told as well.
    pub(crate) async fn read(&mut self, patience: Patience) -> (Vec<Told>, Result<(), Interruption>) {
        let chunk = match self.first.take() {
            Some(first) => first,
            None => match timeout(patience.silence, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return (Vec::new(), Err(Interruption::Ended)),
                Ok(Err(error)) => return (Vec::new(), Err(Interruption::of_body(error))),
                Err(_) => return (Vec::new(), Err(Interruption::Silent { after: patience.silence })),
            },
        };
        self.feed(&chunk)
    }

    fn feed(&mut self, chunk: &[u8]) -> (Vec<Told>, Result<(), Interruption>) {
        let mut told = Vec::new();
        let mut failed = None;
        let fed = self.parser.feed(chunk, |item| {
            // Nothing after what cannot be read counts: the cursor must not move past it.
            if failed.is_none() {
                match Told::from_stream(item) {
                    Ok(item) => told.extend(item),
                    Err(reason) => failed = Some(reason),
                }
            }
        });
        let malformed = fed.map_err(|error| Interruption::Malformed(error.to_string()));
        (told, failed.map_or(malformed, Err))
    }
}
