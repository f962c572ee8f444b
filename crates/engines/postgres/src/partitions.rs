//! The partitions of the table `entries`, of which retention drops whole ones.
//!
//! Each has a range of sequence numbers of its own, far wider than it needs. When the current one is large or old enough,
//! the log goes on in the next: at its first number, and those between are left out. There is no default partition that
//! could swallow what belongs elsewhere.

use tidings_engine::{EngineConfig, EngineError};
use tidings_protocol::{Epoch, Sequence, Timestamp};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use crate::limits::{DROP_WAIT, FORGETTING, FORGOTTEN, NOTED, PARTITION, PARTS};
use crate::read::{self, bigint, number};
use crate::schema::Schema;
use crate::session::{Session, in_time};
use crate::write::begin;

/// A partition that the log has left: its last entry, and the time of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Partition {
    number: u64,
    since: Timestamp,
    /// None while it is the one that is written to.
    last: Option<(Sequence, Timestamp)>,
    bytes: u64,
}

/// What is known of the log's partitions: the last entry of each that it has left, in order.
pub(crate) type Ends = Vec<Sequence>;

/// The first sequence number of a partition.
pub(crate) fn first_of(number: u64) -> Sequence {
    number * PARTITION + 1
}

/// The partition to go on in, where the one that a number belongs to has not room for so many entries.
pub(crate) fn next_for(first: Sequence, entries: usize) -> Option<u64> {
    let number = (first - 1) / PARTITION;
    let fits = first.saturating_add(entries as u64) <= first_of(number + 1);
    (!fits).then_some(number + 1)
}

/// A place with at least so many entries between it and `from`, as far as the numbers that were left out are known.
pub(crate) fn back(ends: &[Sequence], from: Sequence, entries: usize) -> Sequence {
    let (mut place, mut left) = (from, entries as u64);
    loop {
        let base = place.saturating_sub(1) / PARTITION * PARTITION;
        let here = place - base;
        if here >= left {
            return place - left;
        }
        left -= here;
        match ends.iter().rev().find(|end| **end <= base) {
            Some(&end) if end > 0 => place = end,
            _ => return 0,
        }
    }
}

/// Makes a partition.
pub(crate) fn create(schema: &Schema, number: u64) -> String {
    let (from, to) = (first_of(number), first_of(number + 1));
    // Attached, it does not keep out those who read, as one that was made in its place would.
    schema.fill(&format!(
        "CREATE TABLE {{schema}}.entries_{number} (LIKE {{schema}}.entries INCLUDING ALL);
         ALTER TABLE {{schema}}.entries ATTACH PARTITION {{schema}}.entries_{number} FOR VALUES FROM ({from}) TO ({to});
         INSERT INTO {{schema}}.partitions (number, since)
             VALUES ({number}, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
    ))
}

/// Leaves the current partition, whose last entry is `latest`, for the one with this number.
pub(crate) fn turn(schema: &Schema, number: u64, latest: Sequence, time: Timestamp) -> String {
    let (time, next, left) = (time.as_millis(), first_of(number), number - 1);
    let create = create(schema, number);
    let leave = schema.fill(&format!(
        "UPDATE {{schema}}.partitions SET latest = {latest}, time = {time} WHERE number = {left};
         UPDATE {{schema}}.log SET next = {next}, latest = {latest}, time = {time}"
    ));
    // Whoever drops partitions takes the locks in this order as well.
    format!("{create}; {leave}")
}

/// Does what retention says, and says what the log holds.
pub(crate) async fn tidy(
    session: &Session,
    schema: &Schema,
    config: &EngineConfig,
) -> Result<(Epoch, Sequence, Ends), EngineError> {
    let what = "do what retention says";
    note_topics(session, schema).await?;
    let partitions = list(session, schema).await?;
    let state = in_time(what, session.query_one(&schema.fill(read::STATE), &[])).await?;
    let now = Timestamp::from_millis(number(state.get(4)));
    if is_due(&partitions, config, number(state.get(3)), now) {
        turn_over(session, schema, config).await?;
    }
    drop_old(session, schema, &partitions, config, now).await?;
    let sql = "DELETE FROM {schema}.keys WHERE key IN (
        SELECT key FROM {schema}.keys WHERE time <= $1 ORDER BY time LIMIT $2)";
    let horizon = bigint(now.before(config.idempotency_window).as_millis());
    let (sql, begun) = (schema.fill(sql), Instant::now());
    // In steps, as others wait for rows that a long transaction holds. What is left has the next time.
    while begun.elapsed() < FORGETTING {
        let what = "forget idempotency keys";
        let forgotten = in_time(what, session.execute(&sql, &[&horizon, &FORGOTTEN])).await?;
        if forgotten < FORGOTTEN.unsigned_abs() {
            break;
        }
    }

    let state = in_time(what, session.query_one(&schema.fill(read::STATE), &[])).await?;
    let ends = list(session, schema).await?;
    let ends = ends.iter().filter_map(|partition| Some(partition.last?.0)).collect();
    Ok((read::epoch(&state, 0)?, number(state.get(1)), ends))
}

async fn list(session: &Session, schema: &Schema) -> Result<Vec<Partition>, EngineError> {
    let sql = "
        SELECT number, since, latest, time, coalesce(pg_total_relation_size(to_regclass('{schema}.entries_' || number)), 0)
        FROM {schema}.partitions ORDER BY number";
    let rows = in_time("look at the log's partitions", session.query(&schema.fill(sql), &[])).await?;
    let partition = rows.iter().map(|row| Partition {
        number: number(row.get(0)),
        since: Timestamp::from_millis(number(row.get(1))),
        last: row
            .get::<_, Option<i64>>(2)
            .zip(row.get::<_, Option<i64>>(3))
            .map(|(latest, time)| (number(latest), Timestamp::from_millis(number(time)))),
        bytes: number(row.get(4)),
    });
    Ok(partition.collect())
}

/// Whether the current partition is to be left.
fn is_due(partitions: &[Partition], config: &EngineConfig, next: Sequence, now: Timestamp) -> bool {
    let Some(current) = partitions.last().filter(|partition| partition.last.is_none()) else { return false };
    let is_empty = next <= first_of(current.number);
    let retention = config.retention;
    let is_old = current.since.until(now) >= retention.age / PARTS;
    !is_empty && (is_old || current.bytes >= retention.bytes / u64::from(PARTS))
}

async fn turn_over(session: &Session, schema: &Schema, config: &EngineConfig) -> Result<(), EngineError> {
    let what = "begin another partition";
    in_time("wait for the log's lock", begin(session, schema)).await?;
    let turned = async {
        // Another hub may have done so.
        let partitions = list(session, schema).await?;
        let state = in_time(what, session.query_one(&schema.fill(read::STATE), &[])).await?;
        let (latest, next) = (number(state.get(2)), number(state.get(3)));
        let now = Timestamp::from_millis(number(state.get(4)));
        if let Some(current) = partitions.last().filter(|_| is_due(&partitions, config, next, now)) {
            let sql = turn(schema, current.number + 1, latest, now);
            in_time(what, session.batch_execute(&sql)).await?;
        }
        Ok(())
    };
    let turned = turned.await;
    let end = if turned.is_ok() { "COMMIT" } else { "ROLLBACK" };
    in_time(what, session.batch_execute(end)).await?;
    turned
}

/// Whether a table could not be had in time, as somebody reads it.
fn is_locked(error: &EngineError) -> bool {
    error.to_string().ends_with(&format!("({})", SqlState::LOCK_NOT_AVAILABLE.code()))
}

/// Drops the partitions that are too old or too much.
async fn drop_old(
    session: &Session,
    schema: &Schema,
    partitions: &[Partition],
    config: &EngineConfig,
    now: Timestamp,
) -> Result<(), EngineError> {
    let mut bytes: u64 = partitions.iter().map(|partition| partition.bytes).sum();
    for partition in partitions {
        let Some((latest, time)) = partition.last else { return Ok(()) };
        if time.until(now) < config.retention.age && bytes <= config.retention.bytes {
            return Ok(());
        }
        bytes -= partition.bytes;
        // In one transaction, so that nobody reads what is left with bounds of another time.
        let sql = schema.fill(&format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {};
             DROP TABLE IF EXISTS {{schema}}.entries_{number};
             DELETE FROM {{schema}}.partitions WHERE number = {number};
             UPDATE {{schema}}.log SET earliest = greatest(earliest, {earliest});
             COMMIT",
            DROP_WAIT.as_millis(),
            number = partition.number,
            earliest = latest + 1,
        ));
        match in_time("drop what is too old", session.batch_execute(&sql)).await {
            Ok(()) => {}
            Err(error) => {
                in_time("drop what is too old", session.batch_execute("ROLLBACK")).await?;
                if !is_locked(&error) {
                    return Err(error);
                }
                tracing::debug!(%error, partition = partition.number, "what is too old is dropped later");
                return Ok(());
            }
        }
        let sql = "DELETE FROM {schema}.topics t USING {schema}.log l WHERE t.latest < l.earliest";
        in_time("forget topics", session.batch_execute(&schema.fill(sql))).await?;
        let sql = "DELETE FROM {schema}.ends e USING {schema}.log l WHERE e.sequence < l.earliest";
        in_time("forget the ends of topics", session.batch_execute(&schema.fill(sql))).await?;
        let sql = "DELETE FROM {schema}.deletions d USING {schema}.log l WHERE d.sequence < l.earliest";
        in_time("forget deletions of topics", session.batch_execute(&schema.fill(sql))).await?;
    }
    Ok(())
}

/// Takes the newest entries into account in the table of topics. Not done with each group, as a busy topic's row would
/// be written as often, and be slow to find whenever a transaction of somebody else is open for long.
async fn note_topics(session: &Session, schema: &Schema) -> Result<(), EngineError> {
    let sql = schema.fill(
        "WITH upto AS (
            SELECT l.noted, e.sequence, e.count FROM {schema}.log l, LATERAL (
                SELECT max(sequence) AS sequence, count(*) AS count FROM (
                    SELECT sequence FROM {schema}.entries WHERE sequence > l.noted ORDER BY sequence LIMIT $1
                ) newest
            ) e
            WHERE e.count > 0 FOR UPDATE OF l SKIP LOCKED
        ), noted AS (
            UPDATE {schema}.log SET noted = upto.sequence FROM upto
        ), topics AS (
            INSERT INTO {schema}.topics AS known (topic, latest, time, closed)
            SELECT DISTINCT ON (e.topic) e.topic, e.sequence, e.time, e.closing <> 0
            FROM upto JOIN {schema}.entries e ON e.sequence > upto.noted AND e.sequence <= upto.sequence
            ORDER BY e.topic, e.sequence DESC
            ON CONFLICT (topic) DO UPDATE
                SET latest = excluded.latest, time = excluded.time, closed = excluded.closed
                WHERE known.latest < excluded.latest
        )
        SELECT count FROM upto",
    );
    loop {
        let noted = in_time("take note of topics", session.query_opt(&sql, &[&NOTED])).await?;
        if noted.is_none_or(|row| row.get::<_, i64>(0) < NOTED) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_left_where_a_group_does_not_fit() {
        assert_eq!(next_for(1, 1_000), None);
        assert_eq!(next_for(PARTITION, 1), None);
        assert_eq!(next_for(PARTITION, 2), Some(1));
        assert_eq!(next_for(PARTITION - 4, 5), None);
        assert_eq!(next_for(first_of(3), 7), None);
    }

    #[test]
    fn going_back_passes_over_the_numbers_that_were_left_out() {
        let ends = [50, PARTITION + 7];
        let from = 2 * PARTITION + 3;
        assert_eq!(back(&ends, from, 2), from - 2);
        assert_eq!(back(&ends, from, 3), from - 3);
        assert_eq!(back(&ends, from, 5), PARTITION + 5);
        assert_eq!(back(&ends, from, 10), PARTITION);
        assert_eq!(back(&ends, from, 30), 30);
        assert_eq!(back(&ends, from, 100), 0);
        assert_eq!(back(&[], 7, 3), 4);
        assert_eq!(back(&[], 7, 30), 0);
    }
}
