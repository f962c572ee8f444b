//! The log of Tidings, kept by Redis Streams: one stream, which any number of hubs share.
//!
//! `docs/engines.md` says what it promises. Everything that changes the log is a script, which Redis runs in one step:
//! `append.lua` counts the sequence, adds the entries, and looks up idempotency keys and ended topics; `tidy.lua` does
//! what retention says; `renew.lua` gives the log a new epoch where a failover or a restart has lost some of it.
//!
//! | key | holds |
//! |---|---|
//! | `{NAME}:log` | the stream; the id of an entry is `<sequence>-0` |
//! | `{NAME}:meta` | epoch, latest and earliest sequence, time and size of the log |
//! | `{NAME}:topics` | of each topic its latest entry, its time, and whether the topic has ended |
//! | `{NAME}:notes` | what hubs leave for each other: which streams are under way at each |
//! | `{NAME}:key:…` | what was answered to an idempotent batch, until its window has passed |
#![forbid(unsafe_code)]

mod connection;
mod entry;
mod feed;
mod limits;
mod options;
mod write;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script, Value, cmd, pipe};
use tidings_engine::{
    Address, Attached, BatchResult, Block, Engine, EngineConfig, EngineError, InvalidAddress, Seen,
    after_loss, read_lineage, write_lineage,
};
use tidings_log::{Batch, Bounds, BoxFuture, Note, ReadLimits, TopicInfo};
use tidings_protocol::{Epoch, Event, Lineage, Sequence, Timestamp, Topic};

use crate::connection::{Connection, Keys, because, is_master};
use crate::entry::{Entry, entries};
use crate::feed::RedisFeed;
use crate::options::Options;

/// A stream of Redis as the engine of a log.
pub struct Redis {
    options: Options,
    config: EngineConfig,
    keys: Keys,
    scripts: Scripts,
    connection: Mutex<Option<Arc<Connection>>>,
}

struct Scripts {
    open: Script,
    append: Script,
    tidy: Script,
    renew: Script,
}

/// What there is of a log.
struct Found {
    lineage: Lineage,
    secret: [u8; 16],
    latest: Sequence,
    earliest: Sequence,
    largest: u64,
}

// === impl Redis ===

impl Redis {
    /// The log at an address, `redis://HOST:PORT/NAME`, or `rediss://…`. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`InvalidAddress`] says what is wrong with it.
    pub fn new(address: Address, config: EngineConfig) -> Result<Self, InvalidAddress> {
        let options = Options::new(address)?;
        let scripts = Scripts {
            open: Script::new(include_str!("scripts/open.lua")),
            append: Script::new(include_str!("scripts/append.lua")),
            tidy: Script::new(include_str!("scripts/tidy.lua")),
            renew: Script::new(include_str!("scripts/renew.lua")),
        };
        let keys = Keys::new(&options.name);
        Ok(Self { options, config, keys, scripts, connection: Mutex::default() })
    }

    fn connection(&self) -> Result<Arc<Connection>, EngineError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connection.ok_or_else(|| EngineError::away("there is no connection"))
    }

    fn set(&self, connection: Option<Arc<Connection>>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    async fn attach_now(&self, seen: Option<&Seen>) -> Result<Attached, EngineError> {
        self.set(None);
        let (client, place) = connection::master(&self.options).await?;
        let failed = |error: RedisError| because(&format!("failed to connect to {place}"), &error);
        let mut writes = connection::connect(&client).await.map_err(failed)?;
        let mut reads = connection::connect(&client).await.map_err(failed)?;
        let held = connection::connect_to_follow(&client).await.map_err(failed)?;
        check_policy(&mut writes, seen.is_none()).await?;
        if seen.is_none() {
            check_durability(&mut writes).await;
        }
        let mut found = self.find(&mut writes).await?;
        let mut same = seen.filter(|seen| seen.cursor.epoch == found.lineage.present());
        if let Some(seen) = same
            && !self.holds(&mut writes, &found, seen).await?
        {
            let common = self.common(&writes, &found, seen).await?;
            self.renew(&mut writes, &found.lineage, common).await?;
            found = self.find(&mut writes).await?;
            same = None;
        }
        let (mut topics, mut deletions) = (Vec::new(), Vec::new());
        if same.is_none() {
            // Deletions last, so that what was known of a topic before it was deleted is not all that is.
            topics = self.fields(&mut reads, &self.keys.topics, topic_info).await?;
            deletions = self.fields(&mut reads, &self.keys.deleted, deletion).await?;
        }
        if same.is_none() {
            // A topic is forgotten with its last event: whoever still has to read that is told of a gap.
            let earliest =
                cmd("HGET").arg(&self.keys.meta).arg("earliest").query_async::<Option<u64>>(&mut reads).await;
            let earliest = earliest.map_err(|error| because("failed to read what is kept", &error))?;
            found.earliest = found.earliest.max(earliest.unwrap_or(0));
        }
        // What was discarded meanwhile is not followed any more.
        let after =
            same.map_or(found.latest, |seen| seen.cursor.sequence).max(found.earliest.saturating_sub(1));
        let connection =
            Connection::new((writes, reads), found.lineage.present(), found.secret, found.largest);
        connection.note_seen(after);
        if let Some(last) = same.and_then(|seen| seen.entry.as_ref()) {
            connection.note_last(last);
        }
        let connection = Arc::new(connection);
        self.set(Some(Arc::clone(&connection)));
        let bounds = Bounds { lineage: found.lineage, earliest: found.earliest, latest: after };
        let keys = self.keys.clone();
        Ok(Attached {
            bounds,
            topics,
            deletions,
            feed: Box::new(RedisFeed { held, connection, keys, after }),
        })
    }

    /// What there is of the log, which begins where there is none.
    async fn find(&self, writes: &mut MultiplexedConnection) -> Result<Found, EngineError> {
        let mut random = [0; 24];
        getrandom::fill(&mut random)
            .map_err(|error| EngineError::away(format!("no random numbers: {error}")))?;
        let (secret, epoch) = random.split_at(16);
        let mut call = self.scripts.open.key(&self.keys.log);
        call.key(&self.keys.meta).key(&self.keys.topics).arg(new_epoch(epoch).as_str());
        call.arg(secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let found = call.invoke_async::<Value>(writes).await;
        let found = found.map_err(|error| because("failed to open the log", &error))?;
        let foreign = || {
            EngineError::refused(format!(
                "there are keys of somebody else under `{{{}}}`; name the log otherwise",
                self.options.name
            ))
        };
        let Value::Array(fields) = found else { return Err(foreign()) };
        let text = |place: usize| match fields.get(place) {
            Some(Value::BulkString(text)) => std::str::from_utf8(text).map_err(|_| foreign()),
            _ => Err(foreign()),
        };
        if text(0)? != "1" {
            return Err(EngineError::refused("the log is of a newer version of Tidings"));
        }
        let number = |place: usize| text(place)?.parse::<u64>().map_err(|_| foreign());
        let secret = u128::from_str_radix(text(2)?, 16).map_err(|_| foreign())?;
        let epoch = text(1)?.parse().map_err(|_| foreign())?;
        Ok(Found {
            // Hubs of older versions keep no epochs before.
            lineage: read_lineage(text(6).unwrap_or_default(), epoch),
            secret: secret.to_be_bytes(),
            latest: number(3)?,
            earliest: number(4)?,
            largest: number(5)?,
        })
    }

    /// Whether the log still has what was followed.
    async fn holds(
        &self,
        writes: &mut MultiplexedConnection,
        found: &Found,
        seen: &Seen,
    ) -> Result<bool, EngineError> {
        if found.latest < seen.cursor.sequence {
            return Ok(false);
        }
        let Some(entry) = seen.entry.as_ref().filter(|entry| entry.sequence >= found.earliest) else {
            return Ok(true);
        };
        let id = format!("{}-0", entry.sequence);
        let range = cmd("XRANGE").arg(&self.keys.log).arg(&id).arg(&id).query_async::<Value>(writes).await;
        let range = range.map_err(|error| because("failed to look for the last event", &error))?;
        self.is_there(entry, range)
    }

    /// Whether an event is what Redis has at its place.
    fn is_there(&self, event: &Arc<Event>, range: Value) -> Result<bool, EngineError> {
        let own = entries(&self.keys.log, range)?.into_iter().next().map(|(_, own, _)| own);
        Ok(own == Some(Entry::Event(Arc::clone(event))))
    }

    /// The last place up to which the log has what was followed.
    async fn common(
        &self,
        writes: &MultiplexedConnection,
        found: &Found,
        seen: &Seen,
    ) -> Result<Option<Sequence>, EngineError> {
        let entry = |sequence: Sequence| -> BoxFuture<'_, _> {
            let mut writes = writes.clone();
            Box::pin(async move {
                let id = format!("{sequence}-0");
                let range = cmd("XRANGE")
                    .arg(&self.keys.log)
                    .arg(&id)
                    .arg(&id)
                    .query_async::<Value>(&mut writes)
                    .await;
                let range = range.map_err(|error| because("failed to look for what was followed", &error))?;
                let own = entries(&self.keys.log, range)?.into_iter().next();
                Ok(own.and_then(|(_, own, _)| match own {
                    Entry::Event(event) => Some(event),
                    Entry::Epoch(_) => None,
                }))
            })
        };
        seen.common(found.earliest, entry).await
    }

    async fn renew(
        &self,
        writes: &mut MultiplexedConnection,
        lost: &Lineage,
        common: Option<Sequence>,
    ) -> Result<(), EngineError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| EngineError::away(format!("no random numbers: {error}")))?;
        let mut call = self.scripts.renew.key(&self.keys.log);
        call.key(&self.keys.meta).key(&self.keys.topics).key(&self.keys.deleted);
        let now = after_loss(lost, new_epoch(&random), common);
        call.arg(lost.present().as_str()).arg(now.present().as_str()).arg(write_lineage(&now));
        let renewed = call.invoke_async::<Value>(writes).await;
        renewed.map(drop).map_err(|error| because("failed to give the log a new epoch", &error))
    }

    /// Whether the server is still what was connected to: a master, with the last event that was followed. One that was a
    /// replica for a while has what its master had.
    async fn check(
        &self,
        connection: &Connection,
        writes: &mut MultiplexedConnection,
    ) -> Result<(), EngineError> {
        let last = connection.last();
        let id = format!("{}-0", last.as_ref().map_or(0, |last| last.sequence));
        let mut asked = pipe();
        asked.atomic().cmd("ROLE").cmd("HGET").arg(&self.keys.meta).arg("earliest");
        asked.cmd("XRANGE").arg(&self.keys.log).arg(&id).arg(&id);
        let answer = asked.query_async::<(Value, Option<u64>, Value)>(writes).await;
        let (role, earliest, range) =
            answer.map_err(|error| because("failed to look for the last event", &error))?;
        let last = last.filter(|last| last.sequence >= earliest.unwrap_or(0));
        let is_same = match last {
            Some(last) => self.is_there(&last, range)?,
            None => true,
        };
        // Whoever attaches then finds out what was lost.
        if is_master(&role) && is_same { Ok(()) } else { Err(EngineError::Renewed) }
    }

    /// What is known of topics, by a hash that has a field for each.
    async fn fields<T>(
        &self,
        reads: &mut MultiplexedConnection,
        key: &str,
        read: fn(&str, &str) -> Option<T>,
    ) -> Result<Vec<T>, EngineError> {
        let mut infos = Vec::new();
        let mut place = 0_u64;
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(key).arg(place).arg("COUNT").arg(limits::TOPICS);
            let scanned = scan.query_async::<(u64, Vec<(String, String)>)>(reads).await;
            let (next, found) = scanned.map_err(|error| because("failed to read the topics", &error))?;
            infos.extend(found.iter().filter_map(|(topic, info)| read(topic, info)));
            place = next;
            if place == 0 {
                return Ok(infos);
            }
        }
    }

    async fn read_now(&self, after: Sequence, limits: ReadLimits) -> Result<Block, EngineError> {
        let connection = self.connection()?;
        let mut reads = connection.reads.clone();
        let mut block = Block { epoch: connection.epoch, entries: Vec::new(), next: after, earliest: 0 };
        let mut bytes = 0;
        while block.entries.len() < limits.entries && bytes < limits.bytes {
            let count = connection.count().min((limits.entries - block.entries.len()) as u64);
            let mut both = pipe();
            both.atomic().cmd("HMGET").arg(&self.keys.meta).arg("epoch").arg("earliest");
            both.cmd("XRANGE")
                .arg(&self.keys.log)
                .arg(format!("{}-0", block.next.saturating_add(1)))
                .arg("+");
            both.arg("COUNT").arg(count);
            both.cmd("ROLE");
            let read = both.query_async::<((Option<String>, Option<u64>), Value, Value)>(&mut reads).await;
            let ((epoch, earliest), range, role) = read.map_err(|error| because("failed to read", &error))?;
            if !is_master(&role) {
                return Err(EngineError::away("the server has become a replica"));
            }
            if epoch.as_deref() != Some(connection.epoch.as_str()) {
                return Err(EngineError::Renewed);
            }
            let earliest = earliest.unwrap_or(0);
            if block.next.saturating_add(1) < earliest {
                if block.next > after {
                    // What follows was discarded meanwhile, which is for the next read to say.
                    break;
                }
                block.earliest = earliest;
            }
            let found = entries(&self.keys.log, range)?;
            let is_end = (found.len() as u64) < count;
            for (sequence, entry, size) in found {
                connection.note_size(size as u64);
                bytes += size;
                block.next = sequence;
                if let Entry::Event(event) = entry {
                    block.entries.push(event);
                }
            }
            if is_end {
                break;
            }
        }
        Ok(block)
    }

    async fn tidy_now(&self) -> Result<(Epoch, Sequence), EngineError> {
        let connection = self.connection()?;
        let mut writes = connection.writes.clone();
        self.check(&connection, &mut writes).await?;
        let retention = self.config.retention;
        loop {
            let mut call = self.scripts.tidy.key(&self.keys.log);
            call.key(&self.keys.meta).key(&self.keys.topics).key(&self.keys.deleted);
            call.arg(millis(retention.age)).arg(retention.bytes).arg(limits::DISCARD);
            let tidied = call.invoke_async::<Value>(&mut writes).await;
            let tidied = tidied.map_err(|error| because("failed to discard old events", &error))?;
            if tidied == Value::BulkString(b"lost".to_vec()) {
                // It lacks entries at its beginning, so nothing is known of what readers have seen.
                self.renew(&mut writes, &Lineage::of(connection.epoch), None).await?;
                return Err(EngineError::Renewed);
            }
            let Ok((epoch, earliest, more)) = redis::from_redis_value::<(String, u64, u8)>(tidied) else {
                return Err(EngineError::away("the script answered strangely"));
            };
            let epoch = epoch.parse().map_err(|_| EngineError::away("the epoch is none"))?;
            if more == 0 {
                return Ok((epoch, earliest));
            }
        }
    }
}

/// Refuses a Redis that may discard the log itself. Each server has settings of its own, so whichever takes over is
/// asked as well.
async fn check_policy(writes: &mut MultiplexedConnection, is_first: bool) -> Result<(), EngineError> {
    match setting(writes, "maxmemory-policy").await {
        Some(policy) if policy.starts_with("allkeys") => Err(EngineError::refused(format!(
            "Redis discards any key when its memory is full (maxmemory-policy {policy}), the log too; set it to noeviction"
        ))),
        Some(policy) if policy != "noeviction" && is_first => {
            tracing::warn!(
                policy,
                "Redis may discard idempotency keys when its memory is full; set maxmemory-policy to noeviction"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Tells the one who runs the hub when acknowledged events are durable.
async fn check_durability(writes: &mut MultiplexedConnection) {
    let (append, sync) = (setting(writes, "appendonly").await, setting(writes, "appendfsync").await);
    match (append.as_deref(), sync.as_deref()) {
        (Some("yes"), Some("always")) => {}
        (Some("yes"), Some(sync)) => tracing::warn!(
            appendfsync = sync,
            "Redis may lose acknowledged events when its machine fails; set appendfsync to always"
        ),
        (Some(_), _) => tracing::warn!(
            "Redis may lose acknowledged events when it ends; set appendonly to yes and appendfsync to always"
        ),
        (None, _) => {
            tracing::warn!(
                "Redis does not show its settings: it is not known when acknowledged events are durable"
            );
        }
    }
}

async fn setting(writes: &mut MultiplexedConnection, name: &str) -> Option<String> {
    let answer = cmd("CONFIG").arg("GET").arg(name).query_async::<Vec<String>>(writes).await;
    answer.ok()?.into_iter().nth(1)
}

fn topic_info(topic: &str, info: &str) -> Option<TopicInfo> {
    let mut parts = info.split(' ');
    Some(TopicInfo {
        topic: Topic::new(topic).ok()?,
        latest: parts.next()?.parse().ok()?,
        time: Timestamp::from_millis(parts.next()?.parse().ok()?),
        closed: parts.next()? == "1",
    })
}

fn deletion(topic: &str, sequence: &str) -> Option<(Topic, Sequence)> {
    Some((Topic::new(topic).ok()?, sequence.parse().ok()?))
}

fn new_epoch(random: &[u8]) -> Epoch {
    Epoch::from_random(random.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("at", &self.options.shown).finish_non_exhaustive()
    }
}

impl Redis {
    async fn write_now(&self, batches: Vec<Batch>, is_chain: bool) -> Result<Vec<BatchResult>, EngineError> {
        let connection = self.connection()?;
        let (script, window) = (&self.scripts.append, millis(self.config.idempotency_window).max(1));
        let replicas = self.options.replicas;
        write::write(&connection, script, &self.keys, window, replicas, batches, is_chain).await
    }
}

impl Redis {
    async fn put_notes_now(&self, notes: Vec<Note>) -> Result<(), EngineError> {
        let connection = self.connection()?;
        let mut all = pipe();
        for Note { name, text } in notes {
            if text.is_empty() {
                all.cmd("HDEL").arg(&self.keys.notes).arg(name);
            } else {
                all.cmd("HSET").arg(&self.keys.notes).arg(name).arg(text);
            }
        }
        let put = all.query_async::<()>(&mut connection.writes.clone()).await;
        put.map_err(|error| because("failed to keep notes of hubs", &error))
    }

    async fn notes_now(&self) -> Result<Vec<Note>, EngineError> {
        let connection = self.connection()?;
        let mut reads = connection.reads.clone();
        let all = cmd("HGETALL").arg(&self.keys.notes).query_async::<Vec<(String, String)>>(&mut reads).await;
        let all = all.map_err(|error| because("failed to read the notes of hubs", &error))?;
        Ok(all.into_iter().map(|(name, text)| Note { name, text }).collect())
    }
}

impl Engine for Redis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    fn attach<'a>(&'a self, seen: Option<&'a Seen>) -> BoxFuture<'a, Result<Attached, EngineError>> {
        Box::pin(self.attach_now(seen))
    }

    fn write(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(self.write_now(batches, false))
    }

    fn write_chain(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(self.write_now(batches, true))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move { write::check(&*self.connection()?, &self.keys, self.options.replicas).await })
    }

    fn touch(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Ok(connection) = self.connection() {
                connection.touch().await;
            }
        })
    }

    fn is_severed(&self) -> bool {
        // There is none while it is made anew.
        self.connection().map_or(true, |connection| connection.is_closed())
    }

    /// Whoever waits for replicas holds up all others on that connection, each for its own time.
    fn writes(&self) -> usize {
        if self.options.replicas > 0 { 1 } else { limits::WRITES }
    }

    fn read(&self, after: Sequence, limits: ReadLimits) -> BoxFuture<'_, Result<Block, EngineError>> {
        Box::pin(self.read_now(after, limits))
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
