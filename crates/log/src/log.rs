use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tidings_protocol::{Cursor, Selection, Sequence, Topic};

use crate::{
    AppendError, Appended, Batch, Bounds, Chunk, Follower, LogStats, LogUnavailable, Note, Position,
    ReadError, ReadLimits, TopicInfo, TopicQuery,
};

/// A boxed future, as the methods of [`Log`] return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What of a stream of events is appended at once, where the log says nothing else.
const STREAM_LIMITS: ReadLimits = ReadLimits { entries: 16_384, bytes: 1 << 20 };

/// All events of a hub in one total order.
///
/// Appends are atomic and resolve once the batch is as durable as the log promises. Reads see an entry only
/// after that. Dropping any of the futures is safe; a batch whose future was dropped may be appended or not.
pub trait Log: fmt::Debug + Send + Sync + 'static {
    /// Appends a batch.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the batch is in the log then, but for `Unavailable`, which leaves it open.
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// Appends batches in this order, as if each came when the one before it was appended: the first that is refused
    /// ends it, and nothing behind it is appended. There is an answer for each batch up to there.
    fn append_each(&self, batches: Vec<Batch>) -> BoxFuture<'_, Vec<Result<Appended, AppendError>>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(batches.len());
            for batch in batches {
                let answer = self.append(batch).await;
                let is_refused = answer.is_err();
                answers.push(answer);
                if is_refused {
                    break;
                }
            }
            answers
        })
    }

    /// How much of a stream of events is appended at once.
    fn stream_limits(&self) -> ReadLimits {
        STREAM_LIMITS
    }

    /// Reads entries after a place that [concern](Selection::concerns) a selection, in order.
    ///
    /// A chunk may be empty though more follows; [`Chunk::next`] says how far it looked, and is only equal to
    /// `after` where there is nothing after it.
    ///
    /// # Errors
    /// [`ReadError::Expired`] where entries between `after` and the earliest one kept have been discarded.
    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>>;

    /// Finds the sequence number to read after, for a place that is not given by a number.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    fn locate<'a>(
        &'a self,
        place: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>>;

    /// What is known of one topic; `None` where the log holds no entry of it.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    fn topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Option<TopicInfo>, ReadError>>;

    /// Topics in the order of their bytes.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    fn topics<'a>(&'a self, query: TopicQuery<'a>) -> BoxFuture<'a, Result<Vec<TopicInfo>, ReadError>>;

    /// The entry that deleted a topic last ([`Batch::deletion`]), while the log keeps it; 0 where there is none. No read gives an
    /// entry of the topic before it.
    fn deleted_upto(&self, topic: &Topic) -> Sequence {
        let _ = topic;
        0
    }

    /// How many topics the log keeps in memory, about; 0, where it keeps none.
    fn topic_count(&self) -> usize {
        0
    }

    /// Which log this is, and what it holds now.
    ///
    /// A log has a new epoch whenever what was acknowledged may be lost or continued elsewhere: a log of one hub, whenever
    /// it is opened. The epoch of a log that others keep may change while it is open ([`Follower::renewed`]). It changes
    /// here before a read finds anything of the new one.
    fn bounds(&self) -> Bounds;

    /// Gives every entry after [`Bounds::latest`] to `follower`, until the log is closed. A log has one follower; a second
    /// one replaces the first.
    fn follow(&self, follower: Arc<dyn Follower>) -> Bounds;

    /// Waits until the log has come to a place that another hub over the same log may have given out. It ends also where
    /// the log does not come so far in time: [`Log::bounds`] says whether it has.
    fn reaches(&self, _cursor: Cursor) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether other hubs may use the log at the same time. They leave each other notes in it.
    fn is_shared(&self) -> bool {
        false
    }

    /// Keeps notes beside the log, each in place of what its name had before. They are no events: nobody reads them but
    /// [`notes`](Self::notes). A log of one hub keeps none.
    ///
    /// # Errors
    /// [`LogUnavailable`]; some of them may be kept then.
    fn put_notes(&self, _notes: Vec<Note>) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// All notes that hubs have left.
    ///
    /// # Errors
    /// [`LogUnavailable`]
    fn notes(&self) -> BoxFuture<'_, Result<Vec<Note>, LogUnavailable>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Whether the log takes writes.
    ///
    /// # Errors
    /// [`LogUnavailable`] says why it does not.
    fn ready(&self) -> Result<(), LogUnavailable>;

    /// What the log can say of itself, without waiting for anything.
    fn stats(&self) -> LogStats {
        LogStats::default()
    }

    /// Finishes the appends that were accepted, and closes the log cleanly. Later appends fail.
    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>>;
}
