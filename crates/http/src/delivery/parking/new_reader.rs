use std::time::Duration;

use http::response::Parts;
use tidings_protocol::Cursor;

use super::group::{Interest, PollResponse, Shape};
use super::template::Template;
use crate::delivery::head;
use crate::delivery::lease::Lease;
use crate::delivery::observer::Observed;

/// A reader that is to be given a sink, and a place in a shard.
#[derive(Debug)]
pub(crate) struct NewReader {
    pub(crate) interest: Interest,
    /// Everything up to and including this is seen.
    pub(crate) cursor: Cursor,
    /// What the reader of a stream gets first, after the head.
    pub(crate) opening: Vec<u8>,
    /// How long a poll is held.
    pub(crate) wait: Duration,
    /// The cursor that a poll came with, where it came with no other.
    pub(crate) asked: Option<Cursor>,
    /// The request of a poll, to know the next one by.
    pub(crate) template: Option<Template>,
    /// The terms of whoever showed a token.
    pub(crate) lease: Option<Lease>,
    /// What is told when it is over, where somebody wants to know.
    pub(crate) observed: Observed,
}

// === impl NewReader ===

impl NewReader {
    /// To be sent what comes after a cursor.
    pub(crate) fn new(interest: Interest, cursor: Cursor) -> Self {
        Self {
            interest,
            cursor,
            opening: Vec::new(),
            wait: Duration::ZERO,
            asked: None,
            template: None,
            lease: None,
            observed: Observed::default(),
        }
    }

    /// Has the head of its response sent before anything else, as HTTP/1.1 has it. The page of a poll says what else there is in
    /// it; `closes` says that the connection ends with that.
    pub(crate) fn headed(mut self, response: &Parts, closes: bool) -> Self {
        let mut bytes = Vec::new();
        head::write(response, &mut bytes);
        match &mut self.interest.shape {
            Shape::Stream { .. } => {
                head::write_stream_end(&mut bytes);
                bytes.append(&mut self.opening);
                self.opening = bytes;
            }
            Shape::Poll { response: Some(PollResponse { head, close, .. }), .. } => {
                *head = bytes.into();
                *close |= closes;
            }
            Shape::Poll { response: None, .. } => {}
        }
        self
    }
}
