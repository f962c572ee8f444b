use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_log::{
    AppendError, Appended, Batch, Bounds, BoxFuture, LogUnavailable, Note, ReadLimits, Retention, TopicInfo,
};
use tidings_protocol::{Event, Sequence, Topic};

use crate::Seen;

/// What keeps a log: a server, or several, that any number of hubs use at once.
///
/// Dropping any of the futures is safe. None of them may wait for ever: what takes longer than
/// [`PATIENCE`](crate::PATIENCE) is given up, and taken for [`EngineError::Away`]. Only `attach` may take longer, where
/// there is much to read at the start; no single step of it may.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// What it is called: `NATS`, `Redis`, `Postgres`.
    fn name(&self) -> &'static str;

    /// Connects, makes sure that the log is there and takes writes, and begins to follow it. Called at the start,
    /// and again whenever the engine was away.
    ///
    /// `seen` is what the hub followed last. Where the engine no longer holds that, and retention is not the
    /// reason, events that were acknowledged are lost: the log gets a new epoch here, in the engine, before
    /// anything is written to it. What of the log is as before goes into its lineage ([`Seen::common`]).
    ///
    /// # Errors
    /// [`EngineError`]; what was begun is undone.
    fn attach<'a>(&'a self, seen: Option<&'a Seen>) -> BoxFuture<'a, Result<Attached, EngineError>>;

    /// Appends batches in this order, each whole or not at all, as if each had come alone: ended topics and
    /// idempotency keys are looked up in the engine, where other hubs see them too.
    ///
    /// There is one answer for each batch. It is given when the batch is as durable as the engine promises. Each answer
    /// concerns its batch alone; an error makes the engine be attached to anew.
    ///
    /// # Errors
    /// [`EngineError`] where it is not known what became of any of them.
    fn write(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>>;

    /// Appends batches in this order, each only where those before it were: the first that is refused ends it. There is an
    /// answer for each batch up to there. Where this is not the engine's own, each is written alone.
    ///
    /// # Errors
    /// [`EngineError`] where it is not known what became of any of them.
    fn write_chain(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(batches.len());
            for batch in batches {
                answers.extend(self.write(vec![batch]).await?);
                if answers.last().is_none_or(Result::is_err) {
                    break;
                }
            }
            Ok(answers)
        })
    }

    /// Whether writes are taken now, found out without leaving an entry. Asked after each attachment, and from time to
    /// time after a batch was answered with [`AppendError::Unavailable`](tidings_log::AppendError::Unavailable).
    ///
    /// # Errors
    /// [`EngineError`] says why not.
    fn check(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether a connection that writes or reads go over is known to be closed, as servers and proxies do with one that was
    /// idle for long. Asked a few times a second, and before each write: nothing is sent then, and the engine is attached
    /// to anew first.
    fn is_severed(&self) -> bool {
        false
    }

    /// Uses the connections, so that none of them is idle for long. Called a few times a second; what fails shows by
    /// [`is_severed`](Self::is_severed).
    fn touch(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// How many groups of batches are written at once.
    fn writes(&self) -> usize {
        1
    }

    /// Reads entries of every topic after a place, in order. Where some were discarded, it says so
    /// ([`Block::earliest`]): nobody else may have heard of it yet.
    ///
    /// # Errors
    /// [`EngineError`] where the engine cannot be read.
    fn read(&self, after: Sequence, limits: ReadLimits) -> BoxFuture<'_, Result<Block, EngineError>>;

    /// How many entries to go back at first, where the last `count` of some topics are looked for. Each step back is
    /// longer than the one before.
    fn first_step(&self, count: usize) -> usize {
        count
    }

    /// A place before `from` with about so many entries between the two, as far as numbers alone tell, and better too
    /// few than far too many. It may be before the earliest entry.
    fn back(&self, from: Sequence, entries: usize) -> Sequence {
        from.saturating_sub(entries as u64)
    }

    /// Keeps notes of hubs beside the log ([`Log::put_notes`](tidings_log::Log::put_notes)). One without text is removed.
    ///
    /// # Errors
    /// [`EngineError`]; some of them may be kept then.
    fn put_notes(&self, _notes: Vec<Note>) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// All notes that hubs have left.
    ///
    /// # Errors
    /// [`EngineError`]
    fn notes(&self) -> BoxFuture<'_, Result<Vec<Note>, EngineError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Does what retention says, where the engine does not do so by itself, and says what the log holds: its epoch,
    /// and the first entry that is kept.
    ///
    /// # Errors
    /// [`EngineError`] where nothing can be said.
    fn tidy(&self) -> BoxFuture<'_, Result<(tidings_protocol::Epoch, Sequence), EngineError>>;
}

/// What became of one batch.
pub type BatchResult = Result<Appended, AppendError>;

/// What a batch of a chain is answered with, where one before it was refused.
pub fn cut_off() -> BatchResult {
    Err(LogUnavailable { reason: "a batch before it was refused".into() }.into())
}

/// New entries as they come.
pub trait Feed: Send {
    /// Waits for what follows in the log. Returns every few seconds also where there is nothing, as a sign that the
    /// engine is there.
    ///
    /// # Errors
    /// [`EngineError`]; the feed is then dropped, and the engine attached to anew.
    fn next(&mut self) -> BoxFuture<'_, Result<Fed, EngineError>>;
}

/// What a feed gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fed {
    /// The entries, in order.
    pub entries: Vec<Arc<Event>>,
    /// Everything up to and including this has been given.
    pub next: Sequence,
}

/// An engine that is connected to.
pub struct Attached {
    /// What the log holds.
    pub bounds: Bounds,
    /// The topics of the log. Empty where it goes on in the epoch that was seen.
    pub topics: Vec<TopicInfo>,
    /// The entry that deleted each topic last, of those that the log keeps. Empty as the topics are. What is known of topics
    /// from before that does not matter.
    pub deletions: Vec<(Topic, Sequence)>,
    /// What comes after the place that was seen, or after all that was discarded since, or else after `bounds.latest`.
    pub feed: Box<dyn Feed>,
}

/// Entries that follow each other in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which log they are of.
    pub epoch: tidings_protocol::Epoch,
    /// The entries, in order.
    pub entries: Vec<Arc<Event>>,
    /// Everything up to and including this has been looked at; as far as the read began where there was nothing.
    pub next: Sequence,
    /// The first entry that was kept when it was read, where something between the place and that was discarded; else
    /// anything that is not after the first one.
    pub earliest: Sequence,
}

/// What every log over an engine goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// How much of the past is kept.
    pub retention: Retention,
    /// How long the repetition of an idempotent batch is known as one.
    pub idempotency_window: Duration,
}

/// Why an engine does not do what it is asked. The texts are for the one who runs the hub, and never hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached, or does not work for now: another attempt may do better.
    #[error("{reason}")]
    Away {
        /// What happened.
        reason: String,
    },
    /// It refuses, and will until somebody changes something: credentials, or what is there under the log's name.
    #[error("{reason}")]
    Refused {
        /// What happened, and what would be right.
        reason: String,
    },
    /// The log is another one than was followed.
    #[error("the log has a new epoch")]
    Renewed,
}

// === impl EngineError ===

impl EngineError {
    /// The engine cannot be reached, or does not work for now.
    pub fn away(reason: impl fmt::Display) -> Self {
        Self::Away { reason: reason.to_string() }
    }

    /// The engine refuses.
    pub fn refused(reason: impl fmt::Display) -> Self {
        Self::Refused { reason: reason.to_string() }
    }
}

// === impl Attached ===

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.topics.len();
        f.debug_struct("Attached")
            .field("bounds", &self.bounds)
            .field("topics", &topics)
            .finish_non_exhaustive()
    }
}
