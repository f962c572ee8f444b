//! The epoch of a log, and what decides it.
//!
//! Its changes are messages in the stream, so that hubs meet them in order. **The last of them decides**, whoever wrote
//! it: hubs that find the same loss at the same time each write one. The description of the stream has the epoch too,
//! for the time when retention has discarded that message. It cannot be compared and set in one step, so it may say
//! what is older for a moment; each hub that finds it so sets it right.

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use tidings_engine::{EngineError, after_loss, read_lineage, write_lineage};
use tidings_protocol::{Epoch, Lineage, Sequence};

use crate::options::chain;
use crate::subject::Subjects;

/// What the description of a stream begins with.
const DESCRIPTION: &str = "the log of Tidings, epoch ";
const SINCE: &str = " since message ";
/// The header of a message that tells of an epoch, with those before it. When retention has discarded the message, it has
/// discarded all that was written in them.
const EPOCHS: &str = "Tidings-Epochs";

/// An epoch, and the message that it began with: 0 where it began with the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) epoch: Epoch,
    pub(crate) number: u64,
}

// === impl Begun ===

impl Begun {
    /// An epoch that begins with the stream.
    pub(crate) fn new() -> Self {
        Self { epoch: new_epoch(), number: 0 }
    }

    /// What a stream's description says.
    pub(crate) fn described(description: &str) -> Option<Self> {
        let text = description.strip_prefix(DESCRIPTION)?;
        let (epoch, number) = text.split_once(SINCE).unwrap_or((text, "0"));
        Some(Self { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
    }

    pub(crate) fn describe(&self) -> String {
        let Self { epoch, number } = self;
        match number {
            0 => format!("{DESCRIPTION}{epoch}"),
            _ => format!("{DESCRIPTION}{epoch}{SINCE}{number}"),
        }
    }

    /// What the last message says that tells of an epoch, as far as the leader of the stream has it, and which epochs were
    /// before.
    pub(crate) async fn told(
        stream: &Stream,
        subjects: &Subjects,
    ) -> Result<Option<(Self, Lineage)>, EngineError> {
        match stream.get_last_raw_message_by_subject(&subjects.epoch()).await {
            Ok(found) => Ok(read(&found.payload).map(|epoch| {
                let epochs = found.headers.get(EPOCHS).map_or("", |value| value.as_str());
                (Self { epoch, number: found.sequence }, read_lineage(epochs, epoch))
            })),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(EngineError::away(format!("failed to read the epoch: {}", chain(&error)))),
        }
    }

    /// Begins a new epoch of a log that is the same up to a place, where that is known.
    pub(crate) async fn tell(
        context: &Context,
        subjects: &Subjects,
        before: &Lineage,
        common: Option<Sequence>,
    ) -> Result<Self, EngineError> {
        let lineage = after_loss(before, new_epoch(), common);
        let epoch = lineage.present();
        let mut headers = HeaderMap::new();
        headers.insert(EPOCHS, write_lineage(&lineage));
        let number = put(context, subjects.epoch(), headers, epoch.to_string()).await?;
        Ok(Self { epoch, number })
    }
}

/// The epoch that a message tells of. Where there is none, no hub wrote it.
pub(crate) fn read(body: &[u8]) -> Option<Epoch> {
    std::str::from_utf8(body).ok()?.parse().ok()
}

/// Puts a message without events into the stream, and says which number it has. Whoever leads the stream has by then
/// come to everything before it.
pub(crate) async fn mark(context: &Context, subjects: &Subjects) -> Result<u64, EngineError> {
    put(context, subjects.mark(), HeaderMap::new(), String::new()).await
}

async fn put(
    context: &Context,
    subject: String,
    headers: HeaderMap,
    body: String,
) -> Result<u64, EngineError> {
    let put = async { context.publish_with_headers(subject, headers, body.into()).await?.await }.await;
    put.map(|ack| ack.sequence).map_err(|error| {
        EngineError::away(format!("failed to put a message into the stream: {}", chain(&error)))
    })
}

fn new_epoch() -> Epoch {
    let mut random = [0; 8];
    if getrandom::fill(&mut random).is_err() {
        // Still not to be met by chance: the time in nanoseconds.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        random = u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap_or_default().to_le_bytes();
    }
    Epoch::from_random(u64::from_le_bytes(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_says_which_epoch_it_is_and_since_when() {
        let first = Begun::new();
        for begun in [first, Begun { number: 17, ..first }] {
            assert_eq!(Begun::described(&begun.describe()), Some(begun));
        }
        let others =
            ["", "orders", "the log of Tidings, epoch ?", "the log of Tidings, epoch x since message y"];
        for other in others {
            assert_eq!(Begun::described(other), None, "{other}");
        }
    }
}
