//! The log of Tidings, kept by Postgres: a few tables in a schema of their own, which any number of hubs share.
//!
//! `docs/engines.md` says what it promises. `write` says how hubs that publish at the same time get one order,
//! `outbox` how applications publish in transactions of their own, `partitions` how retention works, and `place`
//! how a server that lost events is noticed.
#![forbid(unsafe_code)]

mod error;
mod feed;
mod limits;
mod load;
mod location;
mod migrate;
mod options;
mod outbox;
mod partitions;
mod password;
mod read;
mod schema;
mod session;
mod tls;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidings_engine::{
    Address, Attached, BatchResult, Block, Engine, EngineConfig, EngineError, InvalidAddress, PATIENCE, Seen,
};
use tidings_log::{Batch, BoxFuture, Note, ReadLimits};
use tidings_protocol::{Epoch, Sequence};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::feed::PostgresFeed;
use crate::limits::{ANSWER, POLL};
use crate::location::Location;
use crate::options::Options;
use crate::outbox::{Horizon, Looks};
use crate::partitions::Ends;
use crate::read::{Reader, Table};
use crate::session::{Hints, Session, in_time};
use crate::write::{Terms, Writer};

/// A schema in a Postgres database as the engine of a log.
pub struct Postgres {
    options: Options,
    config: EngineConfig,
    connection: Mutex<Option<Arc<Connection>>>,
}

/// What an attachment has.
struct Connection {
    options: Options,
    terms: Terms,
    reader: Reader,
    /// For retention, which may take longer than others can wait.
    keeper: tokio::sync::Mutex<Option<Session>>,
    hints: Arc<Hints>,
    /// Whoever writes takes it out, and puts it back when it is known what became of that.
    writer: tokio::sync::Mutex<Option<Writer>>,
    horizon: Horizon,
    ends: Mutex<Ends>,
    table: Table,
    /// What this hub has followed, or was told of.
    last: Arc<AtomicU64>,
}

/// Puts notes in the place of others; those without a text go.
const PUT_NOTES: &str = "
    WITH new AS (SELECT name, text FROM unnest($1::text[], $2::text[]) AS new (name, text)),
        gone AS (DELETE FROM {schema}.notes USING new WHERE notes.name = new.name AND new.text = '')
    INSERT INTO {schema}.notes (name, text) SELECT name, text FROM new WHERE text <> ''
    ON CONFLICT (name) DO UPDATE SET text = EXCLUDED.text";
const NOTES: &str = "SELECT name, text FROM {schema}.notes";

// === impl Postgres ===

impl Postgres {
    /// The log at an address, `postgres://HOST:PORT/DATABASE`. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`InvalidAddress`] says what is wrong with it.
    pub fn new(address: Address, config: EngineConfig) -> Result<Self, InvalidAddress> {
        Ok(Self { options: Options::new(address)?, config, connection: Mutex::default() })
    }

    fn connection(&self) -> Result<Arc<Connection>, EngineError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connection.ok_or_else(lost)
    }

    fn set(&self, connection: Option<Arc<Connection>>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    async fn attach_now(&self, seen: Option<&Seen>) -> Result<Attached, EngineError> {
        self.set(None);
        let (options, schema) = (&self.options, &self.options.schema);
        let hints = Arc::new(Hints::default());
        let session = Session::connect(options, &hints).await?;
        let place = Location::of(&session).await?;
        migrate::run(&session, options, &place).await?;
        let identity = location::identify(&session, options, &place, seen).await?;
        let (table, last) = (identity.table, Arc::new(AtomicU64::new(0)));
        let writer = Writer::new(session, schema, table, Arc::clone(&last)).await?;
        let reader = Reader::new(Session::connect(options, &hints).await?, schema, table).await?;

        // Before anything is read: what comes later is notified of.
        let session = Session::connect(options, &hints).await?;
        let listen = schema.fill("LISTEN \"{channel}\"");
        in_time("listen for notifications", session.batch_execute(&listen)).await?;
        let same = seen.filter(|seen| seen.cursor.epoch == identity.epoch);
        let (bounds, (topics, deletions)) =
            load::load(&session, schema, same.map(|seen| seen.cursor.epoch)).await?;
        let same = same.filter(|seen| seen.cursor.epoch == bounds.epoch());
        let after = same.map_or(bounds.latest, |seen| seen.cursor.sequence.max(bounds.earliest - 1));
        last.store(after, Ordering::Release);
        let feed_reader = Reader::new(session, schema, table).await?;

        let window = u64::try_from(self.config.idempotency_window.as_millis()).unwrap_or(u64::MAX);
        let connection = Arc::new(Connection {
            options: options.clone(),
            terms: Terms { secret: identity.secret, window },
            reader,
            keeper: tokio::sync::Mutex::default(),
            hints: Arc::clone(&hints),
            writer: tokio::sync::Mutex::new(Some(writer)),
            horizon: Horizon::default(),
            ends: Mutex::default(),
            table,
            last: Arc::clone(&last),
        });
        let moving = tokio::spawn(move_all(Arc::clone(&connection)));
        let feed = PostgresFeed::new(
            feed_reader,
            hints,
            bounds.epoch(),
            after,
            last,
            AbortOnDropHandle::new(moving),
        );
        self.set(Some(connection));
        Ok(Attached { bounds, topics, deletions, feed: Box::new(feed) })
    }

    /// By the connection that is for chores, as whoever writes must not wait.
    async fn put_notes_now(&self, notes: Vec<Note>) -> Result<(), EngineError> {
        let (sql, what) = (self.options.schema.fill(PUT_NOTES), "keep notes of hubs");
        let (names, texts): (Vec<String>, Vec<String>) =
            notes.into_iter().map(|note| (note.name, note.text)).unzip();
        let connection = self.connection()?;
        let mut slot = connection.keeper.lock().await;
        let keeper = self.keeper(&connection, slot.take()).await?;
        in_time(what, keeper.execute(&sql, &[&names, &texts])).await?;
        *slot = Some(keeper);
        Ok(())
    }

    async fn notes_now(&self) -> Result<Vec<Note>, EngineError> {
        let (sql, what) = (self.options.schema.fill(NOTES), "read the notes of hubs");
        let connection = self.connection()?;
        let mut slot = connection.keeper.lock().await;
        let keeper = self.keeper(&connection, slot.take()).await?;
        let rows = in_time(what, keeper.query(&sql, &[])).await?;
        *slot = Some(keeper);
        Ok(rows.iter().map(|row| Note { name: row.get(0), text: row.get(1) }).collect())
    }

    /// A connection for chores. Where it is not given back, another one is made the next time.
    async fn keeper(&self, connection: &Connection, kept: Option<Session>) -> Result<Session, EngineError> {
        match kept.filter(|keeper| !keeper.is_closed()) {
            Some(keeper) => Ok(keeper),
            None => Session::connect(&self.options, &connection.hints).await,
        }
    }

    async fn tidy_now(&self) -> Result<(Epoch, Sequence), EngineError> {
        let connection = self.connection()?;
        let mut slot = connection.keeper.lock().await;
        let keeper = self.keeper(&connection, slot.take()).await?;
        connection.check(&keeper).await?;
        let (epoch, earliest, ends) = partitions::tidy(&keeper, &self.options.schema, &self.config).await?;
        *slot = Some(keeper);
        *connection.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
        Ok((epoch, earliest))
    }
}

/// Moves what applications publish into the log, until that fails.
async fn move_all(connection: Arc<Connection>) -> EngineError {
    let hints = Arc::clone(&connection.hints);
    let session = &connection.reader.session;
    let looks = match timeout(ANSWER, Looks::prepare(session, &connection.options.schema)).await {
        Ok(Ok(looks)) => looks,
        Ok(Err(error)) => return error,
        Err(_) => return silent("a look into the outbox"),
    };
    loop {
        // The server's own limit ends neither where the network has swallowed the answer.
        match in_time("look into the outbox", looks.look(session, &connection.horizon)).await {
            Err(error) => return error,
            Ok(waiting) if waiting.is_any() => {
                match timeout(PATIENCE, connection.write(Vec::new(), false)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error,
                    Err(_) => return silent("moving what applications have published"),
                }
            }
            Ok(_) => drop(timeout(POLL, hints.outbox.notified()).await),
        }
    }
}

fn silent(what: &str) -> EngineError {
    EngineError::away(format!("{what} was not answered in time"))
}

fn lost() -> EngineError {
    EngineError::away("the connection was lost")
}

// === impl Connection ===

impl Connection {
    /// Whether the log is still there, with what was followed.
    async fn check(&self, session: &Session) -> Result<(), EngineError> {
        let seen = self.last.load(Ordering::Acquire);
        let state = self.options.schema.fill(read::STATE);
        let state = in_time("look for what was followed", session.query_one(&state, &[])).await?;
        let is_same = self.table.check(&state, 6).is_ok() && read::number(state.get(2)) >= seen;
        // Whoever attaches then gives it a new epoch.
        if is_same { Ok(()) } else { Err(EngineError::Renewed) }
    }

    /// Whether a connection is closed, as `idle_session_timeout` does. Where somebody writes just now, that will show.
    fn is_closed(&self) -> bool {
        let is_lost =
            |writer: &Option<Writer>| writer.as_ref().is_none_or(|writer| writer.session.is_closed());
        self.reader.session.is_closed() || self.writer.try_lock().is_ok_and(|writer| is_lost(&writer))
    }

    async fn write(&self, batches: Vec<Batch>, is_chain: bool) -> Result<Vec<BatchResult>, EngineError> {
        let mut slot = self.writer.lock().await;
        // Where this is dropped, or fails, the connection is not used again: who knows what it is in the middle of.
        let writer = slot.take().ok_or_else(lost)?;
        let results =
            writer.write(&self.options.schema, self.terms, &self.horizon, batches, is_chain).await?;
        *slot = Some(writer);
        Ok(results)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Engine for Postgres {
    fn name(&self) -> &'static str {
        "Postgres"
    }

    fn attach<'a>(&'a self, seen: Option<&'a Seen>) -> BoxFuture<'a, Result<Attached, EngineError>> {
        Box::pin(self.attach_now(seen))
    }

    fn write(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(async move { self.connection()?.write(batches, false).await })
    }

    fn write_chain(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(async move { self.connection()?.write(batches, true).await })
    }

    fn read(&self, after: Sequence, limits: ReadLimits) -> BoxFuture<'_, Result<Block, EngineError>> {
        Box::pin(async move { self.connection()?.reader.block(after, limits).await })
    }

    fn is_severed(&self) -> bool {
        // There is none while it is made anew.
        self.connection().map_or(true, |connection| connection.is_closed())
    }

    fn back(&self, from: Sequence, entries: usize) -> Sequence {
        let Ok(connection) = self.connection() else { return from.saturating_sub(entries as u64) };
        let ends = connection.ends.lock().unwrap_or_else(PoisonError::into_inner);
        partitions::back(&ends, from, entries)
    }

    fn put_notes(&self, notes: Vec<Note>) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(self.put_notes_now(notes))
    }

    fn notes(&self) -> BoxFuture<'_, Result<Vec<Note>, EngineError>> {
        Box::pin(self.notes_now())
    }

    fn tidy(&self) -> BoxFuture<'_, Result<(Epoch, Sequence), EngineError>> {
        Box::pin(self.tidy_now())
    }
}
