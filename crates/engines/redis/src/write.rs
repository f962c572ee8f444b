use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script, Value, cmd};
use tidings_engine::{BatchResult, EngineError, cut_off, encode};
use tidings_log::{AppendError, Appended, Batch, Fingerprint, LogUnavailable};
use tidings_protocol::{Closing, Timestamp, Topic};

use crate::connection::{Connection, Keys, because};
use crate::limits::{REPLICAS, REPLICAS_THERE};

/// Appends batches by a script, and waits for replicas where that is asked for.
pub(crate) async fn write(
    connection: &Connection,
    script: &Script,
    keys: &Keys,
    window: u64,
    replicas: usize,
    batches: Vec<Batch>,
    is_chain: bool,
) -> Result<Vec<BatchResult>, EngineError> {
    let count = batches.len();
    let mut call = script.key(&keys.log);
    call.key(&keys.meta).key(&keys.topics).key(&keys.deleted);
    call.arg(connection.epoch.as_str()).arg(connection.seen()).arg(window).arg(count);
    call.arg(u8::from(replicas > 0)).arg(u8::from(is_chain));
    let mut named = Vec::with_capacity(count);
    let mut place = 4;
    for batch in batches {
        let is_of_topic = batch.scope_topic().is_some();
        named.push(batch.idempotency.as_ref().map(|idempotency| idempotency.key.clone()));
        match Fingerprint::of(&batch, connection.secret) {
            Some(Fingerprint { key, content }) => {
                place += 1;
                call.key(keys.batch(key)).arg(place).arg(format!("{content:032x}"));
            }
            None => {
                call.arg(0).arg("0");
            }
        }
        let entries = batch.into_entries();
        call.arg(u8::from(is_of_topic)).arg(entries.len());
        for (event, closing) in entries {
            let mut bytes = Vec::new();
            encode(&event, closing, &mut bytes);
            connection.note_size(bytes.len() as u64);
            call.arg(event.topic.as_str()).arg(ending(closing)).arg(bytes);
        }
    }
    let mut writes = connection.writes.clone();
    let answers = match call.invoke_async::<Value>(&mut writes).await {
        Ok(Value::Array(answers)) if answers.len() == count => answers,
        Ok(Value::BulkString(text)) if text == b"renewed" => return Err(EngineError::Renewed),
        Ok(Value::BulkString(text)) if text == b"lost" => {
            return Err(EngineError::away("events that were acknowledged are missing"));
        }
        Ok(_) => return Err(EngineError::away("the script answered strangely")),
        Err(error) => match refusal(&error) {
            Some(Refusal::Memory) => {
                return Ok(vec![Err(AppendError::Full { reason: NO_MEMORY.into() }); count]);
            }
            Some(Refusal::Snapshot) => {
                return Ok(vec![Err(LogUnavailable { reason: NO_SNAPSHOT.into() }.into()); count]);
            }
            Some(Refusal::Replicas) => {
                let reason = because("failed to append", &error).to_string();
                return Ok(vec![Err(LogUnavailable { reason }.into()); count]);
            }
            None => return Err(because("failed to append", &error)),
        },
    };
    let had = wait(&mut writes, replicas, REPLICAS).await?;
    if had < replicas {
        let reason = format!("{had} of {replicas} replicas took the batch within {REPLICAS:?}");
        return Ok(vec![Err(LogUnavailable { reason }.into()); count]);
    }
    let results = answers.into_iter().zip(named).map(|(answer, key)| result(connection, &answer, key));
    results.collect()
}

/// What the script is told of an entry: whether its topic goes on, has ended, or is deleted.
fn ending(closing: Closing) -> u8 {
    match closing {
        Closing::No => 0,
        Closing::After | Closing::Only => 1,
        Closing::Deleted => 2,
    }
}

/// Whether Redis takes writes, and its replicas are there. What is written changes nothing.
pub(crate) async fn check(connection: &Connection, keys: &Keys, replicas: usize) -> Result<(), EngineError> {
    let mut writes = connection.writes.clone();
    // A key that is not there stays away; and Redis refuses it where it has no memory, as it does with an event.
    let written = cmd("LPUSHX").arg(&keys.probe).arg("").query_async::<u8>(&mut writes).await;
    written.map_err(|error| match refusal(&error) {
        Some(Refusal::Memory) => EngineError::away(NO_MEMORY),
        Some(Refusal::Snapshot) => EngineError::away(NO_SNAPSHOT),
        Some(Refusal::Replicas) | None => because("failed to write", &error),
    })?;
    let there = wait(&mut writes, replicas, REPLICAS_THERE).await?;
    if there < replicas {
        return Err(EngineError::away(format!("{there} of {replicas} replicas are there")));
    }
    Ok(())
}

/// Waits until so many replicas have what was written, and gives how many have.
async fn wait(
    writes: &mut MultiplexedConnection,
    replicas: usize,
    patience: Duration,
) -> Result<usize, EngineError> {
    if replicas == 0 {
        return Ok(0);
    }
    let mut wait = cmd("WAIT");
    wait.arg(replicas).arg(patience.as_millis() as u64);
    wait.query_async(writes).await.map_err(|error| because("failed to wait for replicas", &error))
}

/// Reads the answer to one batch.
fn result(connection: &Connection, answer: &Value, key: Option<String>) -> Result<BatchResult, EngineError> {
    let strange = || EngineError::away("the script answered strangely");
    let Value::Array(parts) = answer else { return Err(strange()) };
    match parts.as_slice() {
        [Value::Int(kind @ 0..=1), Value::Int(first), Value::Int(count), Value::Int(time)] => {
            let appended = Appended {
                epoch: connection.epoch,
                first: u64::try_from(*first).map_err(|_| strange())?,
                count: u32::try_from(*count).map_err(|_| strange())?,
                time: Timestamp::from_millis(u64::try_from(*time).map_err(|_| strange())?),
                duplicate: *kind == 1,
            };
            if appended.count > 0 {
                connection.note_seen(appended.last());
            }
            Ok(Ok(appended))
        }
        [Value::Int(2)] => Ok(Err(AppendError::KeyConflict { key: key.unwrap_or_default() })),
        [Value::Int(3), Value::BulkString(topic)] => {
            let topic = std::str::from_utf8(topic).ok().and_then(|text| Topic::new(text).ok());
            Ok(Err(AppendError::TopicClosed { topic: topic.ok_or_else(strange)? }))
        }
        [Value::Int(4)] => Ok(cut_off()),
        _ => Err(strange()),
    }
}

/// Why Redis refuses a write, before it has changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// Its memory is full (`maxmemory`).
    Memory,
    /// It failed to save its data to its disk, and takes no writes until it can (`stop-writes-on-bgsave-error`).
    Snapshot,
    /// It has too few replicas (`min-replicas-to-write`).
    Replicas,
}

const NO_MEMORY: &str = "Redis has no memory left for it (OOM): raise maxmemory, or keep less";
const NO_SNAPSHOT: &str =
    "Redis takes no writes because it failed to save its data to its disk (MISCONF): its own log says why";

/// The codes of these refusals, and how their texts begin: an error of a script that Redis ran may have them in its text
/// alone, beside the names of keys.
const REFUSALS: [(&str, &str, Refusal); 3] = [
    ("OOM", "OOM command not allowed", Refusal::Memory),
    ("MISCONF", "MISCONF ", Refusal::Snapshot),
    ("NOREPLICAS", "NOREPLICAS ", Refusal::Replicas),
];

fn refusal(error: &RedisError) -> Option<Refusal> {
    let text = error.to_string();
    let is = |code, begin| error.code() == Some(code) || text.contains(begin);
    REFUSALS.into_iter().find_map(|(code, begin, refusal)| is(code, begin).then_some(refusal))
}

#[cfg(test)]
mod tests {
    use redis::ErrorKind;

    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_key_of_its_name() {
        let error = |text: &str| RedisError::from((ErrorKind::Client, "a script failed", text.to_owned()));
        for (text, expected) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", Some(Refusal::Memory)),
            ("MISCONF Redis is configured to save RDB snapshots", Some(Refusal::Snapshot)),
            ("NOREPLICAS Not enough good replicas to write.", Some(Refusal::Replicas)),
            ("WRONGTYPE in {ROOM}:log", None),
            ("failed on {MISCONF}:log", None),
            ("{NOREPLICAS}:meta is no hash", None),
        ] {
            assert_eq!(refusal(&error(text)), expected, "{text}");
        }
    }
}
