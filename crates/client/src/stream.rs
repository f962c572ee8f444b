use std::time::Duration;

use bytes::Bytes;
use reqwest::header::ACCEPT;
use reqwest::{Method, Response, Url};
use tidings_event_stream::{Limits, Parser};
use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::Failure;
use crate::client::send;
use crate::received::Received;
use crate::{Client, Interruption, defaults};

const EVENT_STREAM: &str = "text/event-stream";

/// An open stream of events.
pub(crate) struct EventStream {
    response: Response,
    parser: Parser,
    opened: Instant,
    first: Option<Bytes>,
    /// Whether it has told where it is in the log.
    showed_place: bool,
    told_retry: bool,
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
        let request = client.request(Method::GET, url).await?.header(ACCEPT, EVENT_STREAM);
        let late = || Failure::from(Interruption::Stalled { after: patience.first_byte });
        let deadline = Instant::now() + patience.first_byte;
        let answer = match send(client, request, EVENT_STREAM, patience.first_byte).await {
            Err(Failure::Passing { reason: Interruption::TimedOut { .. }, .. }) => return Err(late()),
            answer => answer?,
        };
        let Some(mut response) = answer else { return Ok(None) };
        let chunk = timeout_at(deadline, response.chunk()).await.map_err(|_| late())?;
        let first = chunk.map_err(Interruption::of_body)?.ok_or(Interruption::Ended)?;
        Ok(Some(Self::new(response, first, event_bytes)))
    }

    fn new(response: Response, first: Bytes, event_bytes: usize) -> Self {
        let parser = Parser::with_limits(Limits { line: event_bytes, event: event_bytes });
        let (opened, first) = (Instant::now(), Some(first));
        Self { response, parser, opened, first, showed_place: false, told_retry: false }
    }

    /// Whether it has lasted long enough to count as a success.
    pub(crate) fn is_settled(&self) -> bool {
        self.opened.elapsed() >= defaults::SETTLED
    }

    /// Takes what comes next. What was complete before a failure is told as well.
    pub(crate) async fn read(&mut self, patience: Patience) -> (Vec<Received>, Result<(), Interruption>) {
        let chunk = match self.first.take() {
            Some(first) => first,
            None => match timeout(patience.silence, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return (Vec::new(), Err(self.ended())),
                Ok(Err(error)) => return (Vec::new(), Err(Interruption::of_body(error))),
                Err(_) => return (Vec::new(), Err(Interruption::Silent { after: patience.silence })),
            },
        };
        self.feed(&chunk)
    }

    /// What it means that the stream has come to its end here.
    fn ended(&self) -> Interruption {
        // So a hub says that it cannot serve the stream now: an error would end an `EventSource` for good.
        if self.told_retry && !self.showed_place { Interruption::Postponed } else { Interruption::Ended }
    }

    fn feed(&mut self, chunk: &[u8]) -> (Vec<Received>, Result<(), Interruption>) {
        let mut told = Vec::new();
        let mut failed = None;
        let fed = self.parser.feed(chunk, |item| {
            // Nothing after what cannot be read counts: the cursor must not move past it.
            if failed.is_none() {
                match Received::from_stream(item) {
                    Ok(item) => {
                        if let Some(item) = &item {
                            self.showed_place |= item.shows_place();
                            self.told_retry |= matches!(item, Received::Retry(_));
                        }
                        told.extend(item);
                    }
                    Err(reason) => failed = Some(reason),
                }
            }
        });
        let malformed = fed.map_err(|error| Interruption::Malformed(error.to_string()));
        (told, failed.map_or(malformed, Err))
    }
}

#[cfg(test)]
pub(crate) mod vectors {
    use super::*;

    /// A stream whose pieces a test gives it.
    pub(crate) fn stream(first: &str) -> EventStream {
        let response = Response::from(http::Response::new(""));
        EventStream::new(response, Bytes::copy_from_slice(first.as_bytes()), defaults::EVENT_BYTES)
    }

    impl EventStream {
        pub(crate) fn piece(&mut self, text: &str) -> (Vec<Received>, Result<(), Interruption>) {
            self.first = None;
            self.feed(text.as_bytes())
        }

        pub(crate) fn end(&self) -> Interruption {
            self.ended()
        }
    }
}
