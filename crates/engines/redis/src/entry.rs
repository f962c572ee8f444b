//! Entries of the stream: an id that is the sequence number, the time, and the bytes of the entry.

use std::sync::Arc;

use redis::Value;
use tidings_engine::{EngineError, decode};
use tidings_protocol::{Event, Sequence, Timestamp};

/// What an entry of the stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Event(Arc<Event>),
    /// From here on the log has this epoch.
    Epoch(String),
}

/// Reads the reply to `XRANGE` of a log: each entry with its number and size.
pub(crate) fn entries(log: &str, reply: Value) -> Result<Vec<(Sequence, Entry, usize)>, EngineError> {
    let Value::Array(entries) = reply else { return Err(strange("there is no list of entries")) };
    entries.into_iter().map(|value| entry(log, value)).collect()
}

/// Reads the reply to `XREAD` of a log alone, which is nothing where nothing came.
pub(crate) fn streams(log: &str, reply: Value) -> Result<Vec<(Sequence, Entry, usize)>, EngineError> {
    let stream = match reply {
        Value::Nil => return Ok(Vec::new()),
        Value::Array(streams) => streams.into_iter().next(),
        _ => None,
    };
    match stream {
        Some(Value::Array(mut stream)) if stream.len() == 2 => entries(log, stream.swap_remove(1)),
        _ => Err(strange("there is no list of streams")),
    }
}

fn entry(log: &str, value: Value) -> Result<(Sequence, Entry, usize), EngineError> {
    let Value::Array(parts) = value else { return Err(strange("an entry is no list")) };
    let Ok([Value::BulkString(id), Value::Array(fields)]) = <[Value; 2]>::try_from(parts) else {
        return Err(strange("an entry has no id or fields"));
    };
    own(&id, fields).map_err(|what| foreign(log, &id, &what))
}

/// Reads what a hub wrote, or says why it is nothing that a hub wrote.
fn own(id: &[u8], fields: Vec<Value>) -> Result<(Sequence, Entry, usize), String> {
    let Ok([_, Value::BulkString(time), Value::BulkString(name), Value::BulkString(value)]) =
        <[Value; 4]>::try_from(fields)
    else {
        return Err("it has other fields".into());
    };
    let sequence = id.strip_suffix(b"-0").and_then(number).ok_or("its id is odd")?;
    if name == b"epoch" {
        return Ok((sequence, Entry::Epoch(String::from_utf8_lossy(&value).into_owned()), value.len()));
    }
    let time = Timestamp::from_millis(number(&time).ok_or("its time is odd")?);
    let (event, closing) = decode(&mut &value[..]).map_err(|error| error.to_string())?;
    Ok((sequence, Entry::Event(Arc::new(event.at(sequence, time, closing))), value.len()))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn strange(what: &str) -> EngineError {
    EngineError::away(format!("Redis answers strangely: {what}"))
}

/// Redis gives no number again that is lower than one it has seen, so it is not enough to take such an entry out.
fn foreign(log: &str, id: &[u8], what: &str) -> EngineError {
    let id = String::from_utf8_lossy(id);
    let meta = log.strip_suffix("log").unwrap_or(log);
    EngineError::away(format!(
        "no hub wrote the entry {id} of the stream {log} ({what}), and hubs cannot go on beyond it: keep others from \
         writing there, take it out with `XDEL {log} {id}`, and then, with N as `HGET {meta}meta latest` says, \
         `XSETID {log} N-0`, to which Redis 7 or newer wants `ENTRIESADDED N MAXDELETEDID 0-0` added"
    ))
}
