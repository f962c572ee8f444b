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

/// Reads the reply to `XRANGE`: each entry with its number and size.
pub(crate) fn entries(reply: Value) -> Result<Vec<(Sequence, Entry, usize)>, EngineError> {
    let Value::Array(entries) = reply else { return Err(strange("there is no list of entries")) };
    entries.into_iter().map(entry).collect()
}

/// Reads the reply to `XREAD` of one stream, which is nothing where nothing came.
pub(crate) fn streams(reply: Value) -> Result<Vec<(Sequence, Entry, usize)>, EngineError> {
    let stream = match reply {
        Value::Nil => return Ok(Vec::new()),
        Value::Array(streams) => streams.into_iter().next(),
        _ => None,
    };
    match stream {
        Some(Value::Array(mut stream)) if stream.len() == 2 => entries(stream.swap_remove(1)),
        _ => Err(strange("there is no list of streams")),
    }
}

fn entry(value: Value) -> Result<(Sequence, Entry, usize), EngineError> {
    let Value::Array(parts) = value else { return Err(strange("an entry is no list")) };
    let Ok([Value::BulkString(id), Value::Array(fields)]) = <[Value; 2]>::try_from(parts) else {
        return Err(strange("an entry has no id or fields"));
    };
    let Ok([_, Value::BulkString(time), Value::BulkString(name), Value::BulkString(value)]) =
        <[Value; 4]>::try_from(fields)
    else {
        return Err(strange("an entry has other fields than a hub writes"));
    };
    let sequence =
        id.split(|&byte| byte == b'-').next().and_then(number).ok_or_else(|| strange("an id is odd"))?;
    if name == b"epoch" {
        return Ok((sequence, Entry::Epoch(String::from_utf8_lossy(&value).into_owned()), value.len()));
    }
    let time = Timestamp::from_millis(number(&time).ok_or_else(|| strange("a time is odd"))?);
    let (event, closing) = decode(&mut &value[..]).map_err(|error| strange(&error.to_string()))?;
    Ok((sequence, Entry::Event(Arc::new(event.at(sequence, time, closing))), value.len()))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn strange(what: &str) -> EngineError {
    EngineError::away(format!("Redis holds what no hub wrote: {what}"))
}
