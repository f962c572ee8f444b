//! The log of Tidings, kept by NATS JetStream: one stream, which any number of hubs share.
//!
//! `docs/engines.md` says what it promises. `message` says how events become messages and get their numbers,
//! `subject` how topics become subjects, and `ledger` how hubs that publish at the same time agree on which topics
//! have ended.
#![forbid(unsafe_code)]

mod connection;
mod feed;
mod ledger;
mod limits;
mod load;
mod message;
mod options;
mod read;
mod stream;
mod subject;
mod write;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Info, RawMessageErrorKind, State, Stream};
use tidings_engine::{
    Address, Attached, BatchResult, Block, Engine, EngineConfig, EngineError, InvalidAddress, Seen,
};
use tidings_log::{Batch, Bounds, BoxFuture, ReadLimits};
use tidings_protocol::{Epoch, Sequence};

use crate::connection::{Connection, lost};
use crate::feed::{NatsFeed, entries, timestamp};
use crate::ledger::Ledger;
use crate::options::{Options, chain};
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
        let (mut stream, mut info, mut epoch) = stream::open(&context, &self.options, &self.config).await?;
        let subjects = Subjects::new(&self.options.stream);
        let mut same = seen.filter(|seen| seen.cursor.epoch == epoch);
        if let Some(seen) = same
            && !holds(&stream, &info.state, seen).await?
        {
            // A leader that was just elected may still have to come to it. It does before it takes another message.
            let mark = tell(&context, &subjects, epoch).await?;
            info = renewed(&mut stream).await?;
            if mark <= number_of(seen) || !holds(&stream, &info.state, seen).await? {
                epoch = stream::renew(&context, &info).await?;
                tell(&context, &subjects, epoch).await?;
                info = renewed(&mut stream).await?;
                same = None;
            }
        }
        let first = first_kept(&info.state);
        let (number, topics) = match same {
            Some(seen) => (number_of(seen), Vec::new()),
            None => {
                let mut ledger = Ledger::new(first);
                let topics = if info.state.messages == 0 {
                    Vec::new()
                } else {
                    load::topics(&stream, connection::pull_bytes(&client), &subjects, &mut ledger).await?
                };
                *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
                (info.state.last_sequence, topics)
            }
        };
        let ledger = Arc::clone(&self.ledger);
        let connection =
            Arc::new(Connection::new((client, context, lost), stream, subjects, epoch, ledger, number));
        let feed = NatsFeed::begin(Arc::clone(&connection), number).await?;
        self.set(Some(connection));
        let earliest = message::last(first - 1) + 1;
        let bounds = Bounds { epoch, earliest, latest: message::last(number) };
        Ok(Attached { bounds, topics, feed: Box::new(feed) })
    }

    async fn tidy_now(&self) -> Result<(Epoch, Sequence), EngineError> {
        let connection = self.connection()?;
        let info: Info =
            connection.stream.get_info().await.map_err(|error| EngineError::away(chain(&error)))?;
        let first = first_kept(&info.state);
        connection.ledger().trim(first);
        Ok((stream::epoch_of(&info.config).unwrap_or(connection.epoch), message::last(first - 1) + 1))
    }
}

/// The first message that is kept, or that comes next where there is none.
fn first_kept(state: &State) -> u64 {
    if state.messages == 0 { state.last_sequence + 1 } else { state.first_sequence.max(1) }
}

/// The message that was followed last.
fn number_of(seen: &Seen) -> u64 {
    message::after(seen.cursor.sequence) - 1
}

/// Puts a message into the stream that tells its epoch, and says which number it has.
async fn tell(context: &Context, subjects: &Subjects, epoch: Epoch) -> Result<u64, EngineError> {
    let told = context.publish(subjects.epoch(), epoch.to_string().into()).await;
    let told = async { told?.await }.await;
    told.map(|ack| ack.sequence)
        .map_err(|error| EngineError::away(format!("failed to tell of the epoch: {}", chain(&error))))
}

async fn renewed(stream: &mut Stream) -> Result<Info, EngineError> {
    stream.info().await.cloned().map_err(|error| EngineError::away(chain(&error)))
}

/// Whether a stream still has what was followed.
async fn holds(stream: &Stream, state: &State, seen: &Seen) -> Result<bool, EngineError> {
    if state.last_sequence < number_of(seen) {
        return Ok(false);
    }
    let Some(entry) = &seen.entry else { return Ok(true) };
    let number = message::after(entry.sequence - 1);
    if number < first_kept(state) {
        // Retention has discarded it.
        return Ok(true);
    }
    match stream.get_raw_message(number).await {
        Ok(found) => {
            let Ok(contents) = message::read(&found.payload) else { return Ok(false) };
            Ok(entries(number, timestamp(found.time), contents).any(|own| own == *entry))
        }
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
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

    fn writes(&self) -> usize {
        limits::WRITES
    }

    fn read(&self, after: Sequence, limits: ReadLimits) -> BoxFuture<'_, Result<Block, EngineError>> {
        Box::pin(async move { read::block(&*self.connection()?, after, limits).await })
    }

    fn back(&self, from: Sequence, entries: usize) -> Sequence {
        from.saturating_sub(message::last(entries as u64))
    }

    fn tidy(&self) -> BoxFuture<'_, Result<(Epoch, Sequence), EngineError>> {
        Box::pin(self.tidy_now())
    }
}
