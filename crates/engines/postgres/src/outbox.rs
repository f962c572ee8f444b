//! Moving what applications publish into the log.
//!
//! An application's transaction may take as long as it likes, so it must not hold the lock that orders the log. It only
//! puts its events into the table `outbox`. Whichever hub finds them there, committed, moves them into the log under
//! the lock, in a transaction of its own, and they get their sequence numbers there.
//!
//! - Nothing is skipped: rows are found by being visible, never by a number that is higher than the last one. A
//!   transaction that commits late is found late.
//! - Nothing is taken twice: to move is to delete and to insert, in one transaction.
//! - The order is that of the commits, as far as anybody can tell: where one transaction had committed before another
//!   one published its last event, that event has a higher id, and whoever sees the later ones sees the earlier ones. So
//!   transactions are ordered by their last ids: one that published early, and then waited for another, comes after it.
//!   The rows of one transaction stay together.
//!
//! Deleted rows stay in the table's index for as long as any transaction is open that might see them. So that a long
//! one does not make every look slow, a hub remembers the snapshot of its last look ([`Horizon`]): whatever is new is
//! of a transaction that was open then, or began later.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tidings_engine::EngineError;
use tidings_log::ReadLimits;
use tidings_protocol::{EventType, NewEvent, Topic};
use tokio::time::Instant;
use tokio_postgres::{Row, Statement};

use crate::limits::{MOVED, WHOLE_LOOK};
use crate::read;
use crate::schema::Schema;
use crate::session::{Session, in_time};

const NEW: &str = "(
        SELECT tx, id, octet_length(topic) + octet_length(data) AS bytes FROM {schema}.outbox
        WHERE tx = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))
        UNION ALL
        SELECT tx, id, octet_length(topic) + octet_length(data) FROM {schema}.outbox
        WHERE tx >= pg_snapshot_xmax($1::text::pg_snapshot)
    )";
const ALL: &str = "(
        SELECT tx, id, octet_length(topic) + octet_length(data) AS bytes FROM {schema}.outbox
        WHERE $1::text IS NOT NULL ORDER BY id LIMIT $2
    )";

/// How much there is, up to $2 rows, and when that was looked at.
const LOOK: &str = "
    SELECT count(*), coalesce(sum(bytes), 0)::bigint, pg_current_snapshot()::text
    FROM (SELECT bytes FROM {rows} found LIMIT $2) looked";

/// Takes rows out, at most $2 and as many as begin within $3 bytes.
const TAKE: &str = "
    WITH found AS (
        SELECT tx, id, bytes, max(id) OVER (PARTITION BY tx) AS last FROM {rows} found
    ), counted AS (
        SELECT tx, id, last, row_number() OVER mine AS number, sum(bytes) OVER mine - bytes AS before
        FROM found WINDOW mine AS (ORDER BY last, id ROWS UNBOUNDED PRECEDING)
    )
    DELETE FROM {schema}.outbox o USING counted c
    WHERE c.number <= $2 AND c.before < $3 AND o.tx = c.tx AND o.id = c.id
    RETURNING c.number, o.id, o.topic, o.event, o.format, o.data, EXISTS (
        SELECT FROM {schema}.ends e, {schema}.log l WHERE e.topic = o.topic AND e.sequence >= l.earliest
    )";

/// The snapshot after which nothing was left that it could see, and when everything was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Horizon(Mutex<Option<(String, Instant)>>);

/// Statements for looking into the outbox.
pub(crate) struct Looks {
    new: Statement,
    all: Statement,
}

/// Statements for taking out of it.
pub(crate) struct Takes {
    new: Statement,
    all: Statement,
}

/// What there is in the outbox.
#[derive(Debug)]
pub(crate) struct Backlog {
    rows: u64,
    bytes: u64,
    /// What only newer rows are looked for after; none for all.
    after: Option<String>,
    snapshot: String,
}

/// A row that was taken out.
#[derive(Debug)]
pub(crate) struct Taken {
    number: i64,
    pub(crate) id: i64,
    pub(crate) event: NewEvent,
    pub(crate) ended: bool,
}

async fn prepare(
    session: &Session,
    schema: &Schema,
    sql: &str,
) -> Result<(Statement, Statement), EngineError> {
    let sql = |rows| schema.fill(&sql.replace("{rows}", rows));
    let prepared = async { Ok((session.prepare(&sql(NEW)).await?, session.prepare(&sql(ALL)).await?)) };
    in_time("look into the outbox", Box::pin(prepared)).await
}

// === impl Horizon ===

impl Horizon {
    fn get(&self) -> Option<String> {
        let horizon = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        horizon
            .as_ref()
            .filter(|(_, whole)| whole.elapsed() < WHOLE_LOOK)
            .map(|(snapshot, _)| snapshot.clone())
    }

    /// Everything that was waiting is moved, and that is committed.
    pub(crate) fn moved(&self, waiting: Backlog) {
        let mut horizon = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = match (&*horizon, &waiting.after) {
            (Some((_, whole)), Some(_)) => *whole,
            _ => Instant::now(),
        };
        *horizon = Some((waiting.snapshot, whole));
    }
}

// === impl Backlog ===

impl Backlog {
    pub(crate) fn is_any(&self) -> bool {
        self.rows > 0
    }

    fn is_more_than_is_moved(&self) -> bool {
        self.rows > MOVED.entries as u64 || self.bytes > MOVED.bytes as u64
    }
}

// === impl Looks ===

impl Looks {
    pub(crate) async fn prepare(session: &Session, schema: &Schema) -> Result<Self, EngineError> {
        let (new, all) = prepare(session, schema, LOOK).await?;
        Ok(Self { new, all })
    }

    pub(crate) async fn look(
        &self,
        session: &Session,
        horizon: &Horizon,
    ) -> Result<Backlog, tokio_postgres::Error> {
        let after = horizon.get();
        let statement = if after.is_some() { &self.new } else { &self.all };
        let ReadLimits { entries, .. } = MOVED;
        let text = after.as_deref().unwrap_or_default();
        let row = session.query_one(statement, &[&text, &(read::bigint(entries as u64) + 1)]).await?;
        let (rows, bytes) = (read::number(row.get(0)), read::number(row.get(1)));
        Ok(Backlog { rows, bytes, after, snapshot: row.get(2) })
    }
}

// === impl Takes ===

impl Takes {
    pub(crate) async fn prepare(session: &Session, schema: &Schema) -> Result<Self, EngineError> {
        let (new, all) = prepare(session, schema, TAKE).await?;
        Ok(Self { new, all })
    }

    /// Takes out what waits, in order, and says whether that is all.
    pub(crate) async fn take(
        &self,
        session: &Session,
        waiting: &Backlog,
    ) -> Result<(Vec<Taken>, bool), tokio_postgres::Error> {
        // Where there is more than is moved at once, those with the lowest ids are next, whoever they are of.
        let after = waiting.after.as_deref().filter(|_| !waiting.is_more_than_is_moved());
        let statement = if after.is_some() { &self.new } else { &self.all };
        let limits = (read::bigint(MOVED.entries as u64), read::bigint(MOVED.bytes as u64));
        let rows = session.query(statement, &[&after.unwrap_or_default(), &limits.0, &limits.1]).await?;
        let bytes = |row: &Row| row.get::<_, &str>(2).len() + row.get::<_, &[u8]>(5).len();
        let is_all = rows.len() < MOVED.entries && rows.iter().map(bytes).sum::<usize>() < MOVED.bytes;
        let mut taken: Vec<_> = rows.iter().filter_map(Taken::of).collect();
        taken.sort_by_key(|taken| taken.number);
        Ok((taken, is_all))
    }
}

// === impl Taken ===

impl Taken {
    fn of(row: &Row) -> Option<Self> {
        let id = row.get(1);
        let event = || {
            let topic = Topic::new(row.try_get(2).ok()?).ok()?;
            let event_type = row.try_get::<_, Option<&str>>(3).ok()?.map(EventType::new).transpose().ok()?;
            let data = Bytes::copy_from_slice(row.try_get::<_, &[u8]>(5).ok()?);
            Some(NewEvent::restored(topic, event_type, read::format(row.try_get(4).ok()?)?, data))
        };
        let Some(event) = event() else {
            // The function lets nothing like this in.
            tracing::error!(id, "dropped a row of the outbox that is no event");
            return None;
        };
        Some(Self { number: row.get(0), id, event, ended: row.get(6) })
    }
}
