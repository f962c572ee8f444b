//! Writing groups of batches, and what applications have published, as one transaction under the log's lock.
//!
//! Whoever holds the lock reads where the log ends and which topics and keys it knows, and writes what follows. The lock
//! is given up when the transaction is committed, so the order of commits is that of the sequence numbers: a reader who
//! sees an entry sees all before it. A transaction is sent in two parts, or three where applications have published
//! something, so that the lock is held for one or two ways there and back, and the commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_engine::{BatchResult, EngineError, cut_off};
use tidings_log::{AppendError, Appended, Batch, Fingerprint};
use tidings_protocol::{Closing, Epoch, EventType, Format, NewEvent, Sequence, Timestamp, Topic};
use tokio::try_join;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use crate::error::{failed, is_full};
use crate::outbox::{Horizon, Looks, Taken, Takes};
use crate::partitions;
use crate::read::{self, Table, bigint, number};
use crate::schema::Schema;
use crate::session::{Session, in_time};

/// A connection to write with.
pub(crate) struct Writer {
    pub(crate) session: Session,
    begin: String,
    state: Statement,
    ended: Statement,
    deleted: Statement,
    known: Statement,
    insert: Statement,
    remember: Statement,
    delete: Statement,
    reopen: Statement,
    end: Statement,
    refuse: Statement,
    notify: Statement,
    looks: Looks,
    takes: Takes,
    table: Table,
    /// What this hub has followed, or was told of.
    seen: Arc<AtomicU64>,
}

/// What does not change while a hub is attached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) secret: [u8; 16],
    /// How long an idempotency key is known, in milliseconds.
    pub(crate) window: u64,
}

/// What an earlier batch with the same key was answered.
#[derive(Debug)]
struct Known {
    content: [u8; 16],
    appended: Appended,
}

/// Why a transaction came to nothing, or nobody knows to what.
enum Failure {
    Postgres(tokio_postgres::Error),
    Engine(EngineError),
}

/// What a transaction is going to write.
struct Draft {
    epoch: Epoch,
    time: Timestamp,
    first: Sequence,
    latest: Sequence,
    entries: Vec<(NewEvent, Closing)>,
    ended: HashSet<Topic>,
    known: HashMap<[u8; 16], Known>,
    /// The keys that are new.
    keys: Vec<[u8; 16]>,
    /// The ends that are new.
    ends: Vec<(Topic, Sequence)>,
    /// When topics were deleted last, and which of these deletions are new.
    deleted: HashMap<Topic, Sequence>,
    deletions: HashMap<Topic, Sequence>,
}

const ENDED: &str = "
    SELECT e.topic FROM {schema}.ends e, {schema}.log l
    WHERE e.topic = ANY ($1::text[]) AND e.sequence >= l.earliest";
const DELETED: &str = "
    SELECT topic, sequence FROM {schema}.deletions WHERE topic = ANY ($1::text[])";
const KNOWN: &str = "
    SELECT key, content, first, count, time FROM {schema}.keys WHERE key = ANY ($1::bytea[])";
const INSERT: &str = "
    INSERT INTO {schema}.entries (sequence, time, format, closing, topic, event, data, ttl)
    SELECT $1::bigint + number - 1, $2::bigint, format, closing, topic, event, data, ttl
    FROM unnest($3::smallint[], $4::smallint[], $5::text[], $6::text[], $7::bytea[], $8::bigint[])
        WITH ORDINALITY AS new (format, closing, topic, event, data, ttl, number)";
const REMEMBER: &str = "
    INSERT INTO {schema}.keys (key, content, first, count, time)
    SELECT key, content, first, count, $5::bigint
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::integer[]) AS new (key, content, first, count)
    ON CONFLICT (key) DO UPDATE SET content = excluded.content, first = excluded.first, count = excluded.count,
        time = excluded.time";
const END: &str = "
    INSERT INTO {schema}.ends (topic, sequence) SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT (topic) DO UPDATE SET sequence = excluded.sequence";
const DELETE: &str = "
    INSERT INTO {schema}.deletions (topic, sequence) SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT (topic) DO UPDATE SET sequence = excluded.sequence";
const REOPEN: &str = "DELETE FROM {schema}.ends WHERE topic = ANY ($1::text[])";
const REFUSE: &str = "
    INSERT INTO {schema}.refused (id, time, format, topic, event, data)
    SELECT id, $2::bigint, format, topic, event, data
    FROM unnest($1::bigint[], $3::smallint[], $4::text[], $5::text[], $6::bytea[])
        AS late (id, format, topic, event, data)";

/// Begins a transaction that holds the log's lock. Each statement after that sees what was committed before it.
pub(crate) fn begin<'a>(
    session: &'a Session,
    schema: &Schema,
) -> impl Future<Output = Result<(), tokio_postgres::Error>> + 'a {
    let sql = begin_sql(schema);
    async move { session.batch_execute(&sql).await }
}

fn begin_sql(schema: &Schema) -> String {
    schema
        .fill("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({class}, {key})")
}

/// The log has gone back behind what this hub has followed. Whoever attaches to it then gives it a new epoch.
pub(crate) fn gone() -> EngineError {
    EngineError::away("events that this hub has seen are not there any more")
}

// === impl Writer ===

impl Writer {
    pub(crate) async fn new(
        session: Session,
        schema: &Schema,
        table: Table,
        seen: Arc<AtomicU64>,
    ) -> Result<Self, EngineError> {
        let prepare = async |sql: &str| session.prepare(&schema.fill(sql)).await;
        let prepared = async {
            try_join!(
                prepare(read::STATE),
                prepare(ENDED),
                prepare(DELETED),
                prepare(KNOWN),
                prepare(INSERT),
                prepare(REMEMBER),
                prepare(DELETE),
                prepare(REOPEN),
                prepare(END),
                prepare(REFUSE),
                prepare("SELECT pg_notify('{channel}', 'log')"),
            )
        };
        let prepared = in_time("prepare to write", Box::pin(prepared)).await?;
        let (state, ended, deleted, known, insert, remember, delete, reopen, end, refuse, notify) = prepared;
        let (looks, takes) =
            (Looks::prepare(&session, schema).await?, Takes::prepare(&session, schema).await?);
        let begin = begin_sql(schema);
        Ok(Self {
            session,
            begin,
            state,
            ended,
            deleted,
            known,
            insert,
            remember,
            delete,
            reopen,
            end,
            refuse,
            notify,
            looks,
            takes,
            table,
            seen,
        })
    }

    /// Writes batches, after what applications have published. Where this fails, nothing may be written or all.
    pub(crate) async fn write(
        &self,
        schema: &Schema,
        terms: Terms,
        horizon: &Horizon,
        batches: Vec<Batch>,
        is_chain: bool,
    ) -> Result<Vec<BatchResult>, EngineError> {
        let count = batches.len();
        match self.write_now(schema, terms, horizon, batches, is_chain).await {
            Ok(results) => Ok(results),
            Err(Failure::Postgres(error)) if is_full(&error) => {
                // Postgres has undone everything.
                let undone = self.session.batch_execute("ROLLBACK").await;
                undone.map_err(|error| failed("write to the log", &error))?;
                let full = AppendError::Full { reason: "Postgres has no room for it".into() };
                Ok(vec![Err(full); count])
            }
            Err(Failure::Postgres(error)) => Err(failed("write to the log", &error)),
            Err(Failure::Engine(error)) => Err(error),
        }
    }

    async fn write_now(
        &self,
        schema: &Schema,
        terms: Terms,
        horizon: &Horizon,
        batches: Vec<Batch>,
        is_chain: bool,
    ) -> Result<Vec<BatchResult>, Failure> {
        let prints: Vec<_> = batches.iter().map(|batch| Fingerprint::of(batch, terms.secret)).collect();
        let topics: HashSet<_> = batches.iter().flat_map(Batch::topics).map(Topic::as_str).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let keys: Vec<_> = prints.iter().flatten().map(|print| print.key.to_le_bytes()).collect();
        let keys: Vec<_> = keys.iter().map(|key| &key[..]).collect();
        // All of it is sent at once.
        let ((), state, waiting, ended, deleted, known) = try_join!(
            self.session.batch_execute(&self.begin),
            self.session.query_one(&self.state, &[]),
            self.looks.look(&self.session, horizon),
            self.ask(&self.ended, &topics),
            self.ask(&self.deleted, &topics),
            self.ask(&self.known, &keys),
        )?;
        self.table.check(&state, 6)?;
        let mut draft = Draft::new(&state)?;
        if draft.latest < self.seen.load(Ordering::Acquire) {
            return Err(gone().into());
        }
        draft.ended.extend(ended.iter().filter_map(|row| Topic::new(row.try_get(0).ok()?).ok()));
        let deletion =
            |row: &Row| Some((Topic::new(row.try_get(0).ok()?).ok()?, number(row.try_get(1).ok()?)));
        draft.deleted.extend(deleted.iter().filter_map(deletion));
        draft.learn(&known, terms.window);
        let (taken, is_all) = if waiting.is_any() {
            self.takes.take(&self.session, &waiting).await?
        } else {
            (Vec::new(), true)
        };
        let refused: Vec<_> = taken.iter().filter(|taken| taken.ended).collect();
        let most = taken.len() + batches.iter().map(|batch| batch.events.len() + 1).sum::<usize>();
        if let Some(number) = partitions::next_for(draft.first, most) {
            self.session.batch_execute(&partitions::turn(schema, number, draft.latest, draft.time)).await?;
            draft.first = partitions::first_of(number);
        }
        let moved = taken.iter().filter(|taken| !taken.ended);
        draft.entries.extend(moved.map(|taken| (taken.event.clone(), Closing::No)));
        let mut results: Vec<BatchResult> = Vec::with_capacity(batches.len());
        for (batch, print) in batches.into_iter().zip(prints) {
            let is_cut_off = is_chain && results.last().is_some_and(Result::is_err);
            results.push(if is_cut_off { cut_off() } else { draft.add(batch, print) });
        }
        self.finish(&draft, &refused).await?;
        if !draft.entries.is_empty() {
            self.seen.fetch_max(draft.first + draft.entries.len() as u64 - 1, Ordering::AcqRel);
        }
        if !refused.is_empty() {
            tracing::warn!(
                events = refused.len(),
                "applications published to topics that had ended meanwhile: the events are in the table `refused`"
            );
        }
        if is_all {
            horizon.moved(waiting);
        }
        Ok(results)
    }

    async fn ask<T: ToSql + Sync>(
        &self,
        statement: &Statement,
        asked: &[T],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        if asked.is_empty() { Ok(Vec::new()) } else { self.session.query(statement, &[&asked]).await }
    }

    /// Writes a draft and commits. Where one of the statements fails, Postgres makes of the commit a rollback.
    async fn finish(&self, draft: &Draft, refused: &[&Taken]) -> Result<(), tokio_postgres::Error> {
        let Draft { time, first, entries, ends, deletions, keys, .. } = draft;
        let (time, first) = (bigint(time.as_millis()), bigint(*first));
        let rows = Rows::of(entries.iter().map(|(event, _)| event));
        let closings: Vec<i16> = entries
            .iter()
            .map(|(_, closing)| match closing {
                Closing::No => 0,
                Closing::After => 1,
                Closing::Only => 2,
                Closing::Deleted => 3,
            })
            .collect();
        let insert: [&(dyn ToSql + Sync); 8] =
            [&first, &time, &rows.formats, &closings, &rows.topics, &rows.types, &rows.data, &rows.ttls];

        let new: Vec<_> = keys.iter().filter_map(|key| Some((key, draft.known.get(key)?))).collect();
        let key_bytes: Vec<_> = new.iter().map(|(key, _)| &key[..]).collect();
        let contents: Vec<_> = new.iter().map(|(_, known)| &known.content[..]).collect();
        let firsts: Vec<_> = new.iter().map(|(_, known)| bigint(known.appended.first)).collect();
        let counts: Vec<_> =
            new.iter().map(|(_, known)| i32::try_from(known.appended.count).unwrap_or(i32::MAX)).collect();
        let remember: [&(dyn ToSql + Sync); 5] = [&key_bytes, &contents, &firsts, &counts, &time];

        let end_topics: Vec<_> = ends.iter().map(|(topic, _)| topic.as_str()).collect();
        let end_places: Vec<_> = ends.iter().map(|(_, sequence)| bigint(*sequence)).collect();
        let end: [&(dyn ToSql + Sync); 2] = [&end_topics, &end_places];

        let deleted_topics: Vec<_> = deletions.keys().map(Topic::as_str).collect();
        let deleted_places: Vec<_> = deletions.values().map(|sequence| bigint(*sequence)).collect();
        let delete: [&(dyn ToSql + Sync); 2] = [&deleted_topics, &deleted_places];
        let reopen: [&(dyn ToSql + Sync); 1] = [&deleted_topics];

        let late = Rows::of(refused.iter().map(|taken| &taken.event));
        let ids: Vec<_> = refused.iter().map(|taken| taken.id).collect();
        let refuse: [&(dyn ToSql + Sync); 6] =
            [&ids, &time, &late.formats, &late.topics, &late.types, &late.data];

        try_join!(
            self.execute(&self.insert, &insert, entries.len()),
            self.execute(&self.remember, &remember, new.len()),
            // A topic that is deleted has not ended, but for an end that came later.
            self.execute(&self.delete, &delete, deletions.len()),
            self.execute(&self.reopen, &reopen, deletions.len()),
            self.execute(&self.end, &end, ends.len()),
            self.execute(&self.refuse, &refuse, refused.len()),
            self.execute(&self.notify, &[], entries.len()),
            // Where a time-out ends a commit that waits for a standby, Postgres calls it done though it is not.
            self.session.batch_execute("SET LOCAL statement_timeout = 0"),
            self.session.batch_execute("COMMIT"),
        )?;
        Ok(())
    }

    async fn execute(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
        rows: usize,
    ) -> Result<(), tokio_postgres::Error> {
        if rows > 0 {
            self.session.execute(statement, parameters).await?;
        }
        Ok(())
    }
}

/// Events as columns.
struct Rows<'a> {
    formats: Vec<i16>,
    topics: Vec<&'a str>,
    types: Vec<Option<&'a str>>,
    data: Vec<&'a [u8]>,
    ttls: Vec<Option<i64>>,
}

impl<'a> Rows<'a> {
    fn of(events: impl Iterator<Item = &'a NewEvent> + Clone) -> Self {
        let formats = events.clone().map(|event| match event.format() {
            Format::Text => 0,
            Format::Json => 1,
            Format::Binary => 2,
        });
        Self {
            formats: formats.collect(),
            topics: events.clone().map(|event| event.topic.as_str()).collect(),
            types: events.clone().map(|event| event.event_type.as_ref().map(EventType::as_str)).collect(),
            data: events.clone().map(|event| &event.data()[..]).collect(),
            ttls: events
                .map(|event| {
                    let millis =
                        |ttl: std::time::Duration| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
                    event.ttl().map(millis)
                })
                .collect(),
        }
    }
}

// === impl Failure ===

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

// === impl Draft ===

impl Draft {
    fn new(state: &Row) -> Result<Self, Failure> {
        Ok(Self {
            epoch: read::epoch(state, 0)?,
            latest: number(state.try_get(2)?),
            first: number(state.try_get(3)?),
            time: Timestamp::from_millis(number(state.try_get(4)?)),
            entries: Vec::new(),
            ended: HashSet::new(),
            known: HashMap::new(),
            keys: Vec::new(),
            ends: Vec::new(),
            deleted: HashMap::new(),
            deletions: HashMap::new(),
        })
    }

    /// Takes note of the keys that are known.
    fn learn(&mut self, rows: &[Row], window: u64) {
        let known = rows.iter().filter_map(|row| {
            let time = Timestamp::from_millis(number(row.try_get(4).ok()?));
            let recent = self.time.as_millis().saturating_sub(time.as_millis()) < window;
            let appended = Appended {
                epoch: self.epoch,
                first: number(row.try_get(2).ok()?),
                count: u32::try_from(row.try_get::<_, i32>(3).ok()?).ok()?,
                time,
                duplicate: true,
            };
            let key = row.try_get::<_, &[u8]>(0).ok()?.try_into().ok()?;
            let content = row.try_get::<_, &[u8]>(1).ok()?.try_into().ok()?;
            recent.then_some((key, Known { content, appended }))
        });
        self.known.extend(known.collect::<Vec<_>>());
    }

    /// Adds a batch, as if those before it were in the log already.
    fn add(&mut self, batch: Batch, print: Option<Fingerprint>) -> BatchResult {
        let print = print.map(|print| (print.key.to_le_bytes(), print.content.to_le_bytes()));
        let deleted = batch.scope_topic().and_then(|topic| self.deleted.get(topic)).copied().unwrap_or(0);
        let known = print.and_then(|print| Some((self.known.get(&print.0)?, print)));
        // A topic that begins anew has keys of its own.
        if let Some((known, (_, content))) = known.filter(|(known, _)| known.appended.first >= deleted) {
            if known.content == content {
                return Ok(known.appended);
            }
            let key = batch.idempotency.map(|idempotency| idempotency.key).unwrap_or_default();
            return Err(AppendError::KeyConflict { key });
        }
        let deletes = batch.deletes().cloned();
        let is_refused = |topic: &&Topic| Some(*topic) != deletes.as_ref() && self.ended.contains(*topic);
        if let Some(topic) = batch.topics().find(is_refused) {
            return Err(AppendError::TopicClosed { topic: topic.clone() });
        }
        let entries = batch.into_entries();
        let first = self.first + self.entries.len() as u64;
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let appended = Appended { epoch: self.epoch, first, count, time: self.time, duplicate: false };
        if count == 0 {
            return Ok(appended);
        }
        for (sequence, (event, closing)) in (first..).zip(entries) {
            if closing == Closing::Deleted {
                self.ended.remove(&event.topic);
                self.ends.retain(|(topic, _)| *topic != event.topic);
                self.deleted.insert(event.topic.clone(), sequence);
                self.deletions.insert(event.topic.clone(), sequence);
            } else if closing != Closing::No {
                self.ended.insert(event.topic.clone());
                self.ends.push((event.topic.clone(), sequence));
            }
            self.entries.push((event, closing));
        }
        if let Some((key, content)) = print {
            self.known.insert(key, Known { content, appended: Appended { duplicate: true, ..appended } });
            self.keys.push(key);
        }
        Ok(appended)
    }
}
