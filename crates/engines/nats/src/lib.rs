//! The log of Tidings, kept by NATS JetStream: one stream, which any number of hubs share.
//!
//! `docs/engines.md` says what it promises. `message` says how events become messages and get their numbers,
//! `subject` how topics become subjects, and `ledger` how hubs that publish at the same time agree on which topics
//! have ended.
#![forbid(unsafe_code)]

mod connection;
mod epoch;
mod feed;
mod ledger;
mod limits;
mod load;
mod message;
mod notes;
mod options;
mod read;
mod stream;
mod subject;
mod write;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Info, RawMessageErrorKind};
use tidings_engine::{
    Address, Attached, BatchResult, Block, Engine, EngineConfig, EngineError, InvalidAddress, Seen,
};
use tidings_log::{Batch, Bounds, BoxFuture, Note, ReadLimits};
use tidings_protocol::{Epoch, Event, Sequence};

use crate::connection::{Connection, lost};
use crate::epoch::Begun;
use crate::feed::{NatsFeed, entries, timestamp};
use crate::ledger::Ledger;
use crate::limits::PULL_MESSAGES;
use crate::options::{Options, chain};
use crate::stream::Opened;
use crate::subject::Subjects;

/// A stream of NATS JetStream as the engine of a log.
pub struct Nats {
    options: Options,
    config: EngineConfig,
    ledger: Arc<Mutex<Ledger>>,
    connection: Mutex<Option<Arc<Connection>>>,
}

// === impl Nats ===

impl Nats {
    /// The stream at an address, `nats://HOST:PORT/STREAM`, or `tls://…`. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`InvalidAddress`] says what is wrong with it.
    pub fn new(address: Address, config: EngineConfig) -> Result<Self, InvalidAddress> {
        let options = Options::new(address)?;
        Ok(Self { options, config, ledger: Arc::default(), connection: Mutex::default() })
    }

    fn connection(&self) -> Result<Arc<Connection>, EngineError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connection.filter(|connection| !connection.lost.is_cancelled()).ok_or_else(lost)
    }

    fn set(&self, connection: Option<Arc<Connection>>) {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = std::mem::replace(&mut *slot, connection) {
            old.lost.cancel();
        }
    }

    async fn attach_now(&self, seen: Option<&Seen>) -> Result<Attached, EngineError> {
        self.set(None);
        let (client, context, lost) = Connection::open(&self.options).await?;
        let subjects = Subjects::new(&self.options.stream);
        let (opened, same) = self.settle(&context, &subjects, seen).await?;
        let mut first = opened.first();
        let Opened { stream, state, begun, lineage, .. } = opened;
        let (number, (topics, deletions)) = match same {
            Some(seen) => (number_of(seen), (Vec::new(), Vec::new())),
            None => {
                let mut ledger = Ledger::new(first);
                let mut topics = (Vec::new(), Vec::new());
                if state.messages > 0 {
                    let bytes = connection::pull_bytes(&client);
                    let mark = || -> BoxFuture<'_, _> { Box::pin(epoch::mark(&context, &subjects)) };
                    topics = load::topics(&stream, bytes, &subjects, &mut ledger, &mark).await?;
                    // A topic is not found whose last event was discarded since: whoever still has to read that is told.
                    // (But not where the clock of the node that was read is before the leader's, for that long.)
                    let info = stream.get_info().await.map_err(|error| EngineError::away(chain(&error)))?;
                    first = first.max(stream::first_kept(&info.state));
                    ledger.trim(first);
                }
                *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
                (state.last_sequence, topics)
            }
        };
        // What was discarded is not followed any more.
        let number = number.max(first - 1);
        let ledger = Arc::clone(&self.ledger);
        let connection =
            Arc::new(Connection::new((client, context, lost), stream, subjects, begun, ledger, number));
        let feed = NatsFeed::begin(Arc::clone(&connection), number).await?;
        self.set(Some(connection));
        let earliest = message::last(first - 1) + 1;
        let bounds = Bounds { lineage, earliest, latest: message::last(number) };
        Ok(Attached { bounds, topics, deletions, feed: Box::new(feed) })
    }

    /// Opens the stream, and gives the log a new epoch where events are lost. What was seen comes back where the log
    /// goes on from there.
    async fn settle<'a>(
        &self,
        context: &Context,
        subjects: &Subjects,
        seen: Option<&'a Seen>,
    ) -> Result<(Opened, Option<&'a Seen>), EngineError> {
        let open = || stream::open(context, &self.options, &self.config);
        let same = |opened: &Opened| seen.filter(|seen| seen.cursor.epoch == opened.begun.epoch);
        let mut opened = open().await?;
        if !is_sound(&opened, same(&opened)).await? {
            // A leader that was just elected may still have to come to it. It does before it takes another message. And
            // another hub may have given a new epoch meanwhile.
            let mark = epoch::mark(context, subjects).await?;
            opened = open().await?;
            let is_behind = same(&opened).is_some_and(|seen| mark <= number_of(seen));
            if is_behind || !is_sound(&opened, same(&opened)).await? {
                let common = match same(&opened) {
                    Some(seen) => common(&opened, seen).await?,
                    None => None,
                };
                opened.renew(context, subjects, common).await?;
                opened = open().await?;
            }
        }
        let same = same(&opened);
        Ok((opened, same))
    }

    async fn tidy_now(&self) -> Result<(Epoch, Sequence), EngineError> {
        let connection = self.connection()?;
        let info: Info =
            connection.stream.get_info().await.map_err(|error| EngineError::away(chain(&error)))?;
        let first = stream::first_kept(&info.state);
        connection.ledger().trim(first);
        let described = info.config.description.as_deref().and_then(Begun::described);
        let epoch = described.unwrap_or(connection.begun).epoch;
        Ok((epoch, message::last(first - 1) + 1))
    }
}

/// The message that was followed last.
fn number_of(seen: &Seen) -> u64 {
    message::after(seen.cursor.sequence) - 1
}

/// Whether a stream still has what its epoch began with, and what was followed in it.
async fn is_sound(opened: &Opened, seen: Option<&Seen>) -> Result<bool, EngineError> {
    let Some(seen) = seen.filter(|_| opened.whole) else { return Ok(opened.whole) };
    if opened.state.last_sequence < number_of(seen) {
        return Ok(false);
    }
    let Some(entry) = &seen.entry else { return Ok(true) };
    let number = message::after(entry.sequence - 1);
    if number < opened.first() {
        // Retention has discarded it.
        return Ok(true);
    }
    Ok(find(opened, entry.sequence).await?.as_ref() == Some(entry))
}

/// The last place up to which a stream has what was followed.
async fn common(opened: &Opened, seen: &Seen) -> Result<Option<Sequence>, EngineError> {
    let earliest = message::last(opened.first() - 1) + 1;
    seen.common(earliest, |sequence| Box::pin(find(opened, sequence))).await
}

/// The entry with a number, where a stream has it.
async fn find(opened: &Opened, sequence: Sequence) -> Result<Option<Arc<Event>>, EngineError> {
    let number = message::after(sequence - 1);
    match opened.stream.get_raw_message(number).await {
        Ok(found) => {
            let Ok(contents) = message::read(&found.payload) else { return Ok(None) };
            Ok(entries(number, timestamp(found.time), contents).find(|own| own.sequence == sequence))
        }
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(EngineError::away(chain(&error))),
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("at", &self.options.shown).finish_non_exhaustive()
    }
}

impl Engine for Nats {
    fn name(&self) -> &'static str {
        "NATS"
    }

    fn attach<'a>(&'a self, seen: Option<&'a Seen>) -> BoxFuture<'a, Result<Attached, EngineError>> {
        Box::pin(self.attach_now(seen))
    }

    fn write(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(async move { write::write(&*self.connection()?, batches).await })
    }

    fn write_chain(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(async move { write::write_chain(&*self.connection()?, batches).await })
    }

    fn writes(&self) -> usize {
        limits::WRITES
    }

    fn read(&self, after: Sequence, limits: ReadLimits) -> BoxFuture<'_, Result<Block, EngineError>> {
        Box::pin(async move { read::block(&*self.connection()?, after, limits).await })
    }

    fn first_step(&self, _: usize) -> usize {
        1
    }

    fn back(&self, from: Sequence, entries: usize) -> Sequence {
        // A message holds one event or thousands, which its number does not tell. So only a few messages are looked at
        // first, and four times as many whenever the step is twice as long.
        let messages = (entries / 256).saturating_pow(2).clamp(1, PULL_MESSAGES);
        from.saturating_sub(message::last(messages as u64))
    }

    fn put_notes(&self, notes: Vec<Note>) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move { notes::put(&self.connection()?.context, &self.options, notes).await })
    }

    fn notes(&self) -> BoxFuture<'_, Result<Vec<Note>, EngineError>> {
        Box::pin(async move { notes::all(&self.connection()?.context, &self.options).await })
    }

    fn tidy(&self) -> BoxFuture<'_, Result<(Epoch, Sequence), EngineError>> {
        Box::pin(self.tidy_now())
    }
}
