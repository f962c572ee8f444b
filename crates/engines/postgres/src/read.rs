//! Reading entries, and what the log holds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_engine::{Block, EngineError, read_lineage};
use tidings_log::ReadLimits;
use tidings_protocol::{Closing, Epoch, Event, EventType, Format, Lineage, Sequence, Timestamp, Topic};
use tokio_postgres::{Row, Statement};

use crate::error::failed;
use crate::schema::Schema;
use crate::session::{Session, in_time};

/// Epoch, earliest and latest entry, the number that is next, the time that it would have, what is noted, which table
/// says so, and the epochs before.
pub(crate) const STATE: &str = "
    SELECT l.epoch, l.earliest, greatest(l.latest, e.sequence), greatest(l.next, e.sequence + 1),
        greatest(l.time, e.time, (extract(epoch FROM clock_timestamp()) * 1000)::bigint), l.noted,
        l.tableoid, (SELECT p.epochs FROM {schema}.epochs p WHERE p.present = l.epoch)
    FROM {schema}.log l
    LEFT JOIN LATERAL (
        SELECT sequence, time FROM {schema}.entries ORDER BY sequence DESC LIMIT 1
    ) e ON true";

/// Entries after $1, at most $2, and as many as begin within $3 bytes. One statement sees one state of the log: where
/// its earliest entry is not after $1, nothing is missing.
const READ: &str = "
    SELECT l.epoch, l.earliest, e.sequence, e.time, e.topic, e.event, e.format, e.closing, e.data,
        e.ttl, l.tableoid
    FROM {schema}.log l
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT *, sum(octet_length(topic) + octet_length(data)) OVER (
                ORDER BY sequence ROWS UNBOUNDED PRECEDING
            ) - octet_length(topic) - octet_length(data) AS before
            FROM (
                SELECT * FROM {schema}.entries WHERE sequence > $1 ORDER BY sequence LIMIT $2
            ) counted
        ) bounded WHERE before < $3
    ) e ON true";

/// A connection to read with.
pub(crate) struct Reader {
    pub(crate) session: Session,
    read: Statement,
    table: Table,
}

/// The table `log` that a hub has attached to. Statements find a table by its name, also where somebody has dropped it
/// meanwhile and made another one, of what a copy had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table(pub(crate) u32);

/// A row is none that a hub wrote.
#[derive(Debug)]
pub(crate) struct Damaged;

// === impl Table ===

impl Table {
    /// Which table a row is of.
    pub(crate) fn of(row: &Row, column: usize) -> Result<Self, EngineError> {
        row.try_get(column)
            .map(Self)
            .map_err(|_| EngineError::away("Postgres does not say which table this is"))
    }

    pub(crate) fn check(self, row: &Row, column: usize) -> Result<(), EngineError> {
        if Self::of(row, column)? == self {
            return Ok(());
        }
        Err(EngineError::away("the table `log` is another one than before: somebody has restored it"))
    }
}

// === impl Reader ===

impl Reader {
    pub(crate) async fn new(session: Session, schema: &Schema, table: Table) -> Result<Self, EngineError> {
        let read = in_time("read the log", session.prepare(&schema.fill(READ))).await?;
        Ok(Self { session, read, table })
    }

    /// Reads entries after a place.
    pub(crate) async fn block(&self, after: Sequence, limits: ReadLimits) -> Result<Block, EngineError> {
        let (count, bytes) = (bigint(limits.entries.max(1) as u64), bigint(limits.bytes.max(1) as u64));
        let rows = self.session.query(&self.read, &[&bigint(after), &count, &bytes]).await;
        let rows = rows.map_err(|error| failed("read the log", &error))?;
        let first = rows.first().ok_or_else(|| EngineError::away("the table `log` is empty"))?;
        self.table.check(first, 10)?;
        let epoch = epoch(first, 0)?;
        let earliest = number(first.get(1));
        let mut block = Block { epoch, entries: Vec::with_capacity(rows.len()), next: after, earliest };
        for row in &rows {
            let Some(sequence) = row.get::<_, Option<i64>>(2).map(number) else { break };
            match event(row, 2) {
                Ok(event) => block.entries.push(Arc::new(event)),
                Err(Damaged) => tracing::warn!(sequence, "passed over a row that is no entry"),
            }
            block.next = block.next.max(sequence);
        }
        if !block.entries.is_sorted_by_key(|entry| entry.sequence) {
            block.entries.sort_by_key(|entry| entry.sequence);
        }
        Ok(block)
    }
}

/// A number of the log's, as Postgres has it.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of Postgres', as the log has it.
pub(crate) fn number(bigint: i64) -> u64 {
    u64::try_from(bigint).unwrap_or(0)
}

pub(crate) fn epoch(row: &Row, column: usize) -> Result<Epoch, EngineError> {
    let text = row.try_get::<_, &str>(column).unwrap_or_default();
    text.parse().map_err(|_| EngineError::away("the table `log` holds no epoch"))
}

/// The epochs that a row of [`STATE`] has.
pub(crate) fn lineage(row: &Row) -> Result<Lineage, EngineError> {
    let epochs = row.try_get::<_, Option<&str>>(7).ok().flatten();
    Ok(read_lineage(epochs.unwrap_or_default(), epoch(row, 0)?))
}

/// The entry in a row whose columns, from `first`, are sequence, time, topic, event, format, closing, data and ttl.
pub(crate) fn event(row: &Row, first: usize) -> Result<Event, Damaged> {
    let damaged = |_| Damaged;
    let topic = Topic::new(row.try_get(first + 2).map_err(damaged)?).map_err(|_| Damaged)?;
    let event_type = row.try_get::<_, Option<&str>>(first + 3).map_err(damaged)?;
    let event_type = event_type.map(EventType::new).transpose().map_err(|_| Damaged)?;
    let format = format(row.try_get(first + 4).map_err(damaged)?).ok_or(Damaged)?;
    let closing = match row.try_get::<_, i16>(first + 5).map_err(damaged)? {
        0 => Closing::No,
        1 => Closing::After,
        2 => Closing::Only,
        3 => Closing::Deleted,
        _ => return Err(Damaged),
    };
    let data = Bytes::copy_from_slice(row.try_get::<_, &[u8]>(first + 6).map_err(damaged)?);
    let time = Timestamp::from_millis(number(row.try_get(first + 1).map_err(damaged)?));
    let ttl = row.try_get::<_, Option<i64>>(first + 7).map_err(damaged)?;
    Ok(Event {
        sequence: number(row.try_get(first).map_err(damaged)?),
        time,
        topic,
        event_type,
        format,
        data,
        closing,
        expires: ttl.map(|ttl| time.after(Duration::from_millis(number(ttl)))),
    })
}

pub(crate) fn format(code: i16) -> Option<Format> {
    match code {
        0 => Some(Format::Text),
        1 => Some(Format::Json),
        2 => Some(Format::Binary),
        _ => None,
    }
}
