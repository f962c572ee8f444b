use std::fmt;

use http::StatusCode;
use tidings_protocol::Cursor;

/// Who wants to know how it goes on with a request whose reader is in a shard.
pub(crate) trait Observer: fmt::Debug + Send {
    /// The request is over: answered, or given up by the client before there was an answer.
    fn end(&self, status: Option<StatusCode>, bytes: Option<u64>);

    /// The request came with this cursor, and may be repeated with another.
    fn came_with(&mut self, cursor: Option<Cursor>);

    /// The same request again, but for its cursor.
    fn again(&mut self, cursor: Cursor);
}

/// The observer of a reader, until a shard has it. Where no shard comes to have it, because its client has left just then, the
/// request ends here.
#[derive(Debug, Default)]
pub(crate) struct Observed(Option<Box<dyn Observer>>);

// === impl Observed ===

impl Observed {
    pub(crate) fn by(&mut self, observer: Box<dyn Observer>) {
        self.0 = Some(observer);
    }

    pub(crate) fn take(&mut self) -> Option<Box<dyn Observer>> {
        self.0.take()
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let Some(observer) = &self.0 {
            observer.end(None, None);
        }
    }
}
