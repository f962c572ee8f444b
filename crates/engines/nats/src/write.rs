//! Publishing batches: one message for each, or for several of one topic.

use std::collections::HashMap;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::RawMessageErrorKind;
use futures_util::future::join_all;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidings_engine::{BatchResult, EngineError};
use tidings_log::{AppendError, Appended, Batch, Idempotency, LogUnavailable, Scope};
use tidings_protocol::{Closing, NewEvent, Topic};
use tokio::time::sleep;

use crate::connection::Connection;
use crate::feed::timestamp;
use crate::limits::{ASK_AGAIN, MESSAGE_EVENTS, SHARED_BYTES};
use crate::message;
use crate::options::chain;

/// A message that is to be published.
#[derive(Debug)]
struct Outgoing {
    subject: String,
    body: Vec<u8>,
    count: usize,
    parts: Vec<Part>,
    /// What makes its repetition known, and what it then has to be the same as.
    keyed: Option<Keyed>,
}

/// A batch in a message.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Which batch it is.
    batch: usize,
    /// Where its events begin among the message's.
    from: usize,
    count: usize,
}

#[derive(Debug)]
struct Keyed {
    idempotency: Idempotency,
    entries: Vec<(NewEvent, Closing)>,
    /// The topic that has ended, so that only a repetition is answered and nothing new is taken.
    ended: Option<Topic>,
    /// The message that deleted the key's topic last; 0 where there is none.
    deleted: u64,
}

/// Where a message is in the stream: 0 where the first one with its id is just being stored. NATS answers so, or with an
/// error in newer versions.
#[derive(Debug, Clone, Copy)]
struct Ack {
    number: u64,
    duplicate: bool,
}

/// A number that no stream comes to.
const NEVER: u64 = u64::MAX / MESSAGE_EVENTS as u64;

pub(crate) async fn write(
    connection: &Connection,
    batches: Vec<Batch>,
) -> Result<Vec<BatchResult>, EngineError> {
    let mut results: Vec<Option<BatchResult>> = batches.iter().map(|_| None).collect();
    let seen = *connection.progress.borrow();
    let outgoing = plan(connection, seen, batches, &mut results);
    let mut acks = Vec::with_capacity(outgoing.len());
    for message in &outgoing {
        acks.push(
            connection.context.send_publish(message.subject.clone(), message.publish(connection)).await,
        );
    }
    let acks = join_all(acks.into_iter().map(acknowledged)).await;
    if acks.iter().flatten().any(|ack| !ack.duplicate && ack.number <= seen) {
        return Err(EngineError::away("the stream has gone back, and lost what it had"));
    }
    if let Some(last) = acks.iter().flatten().map(|ack| ack.number).max() {
        connection.reaches(last).await?;
    }
    for (message, ack) in outgoing.iter().zip(acks) {
        let result = message.result(connection, ack).await;
        for part in &message.parts {
            let result = result.clone().map(|(number, count, appended)| Appended {
                first: message::first(number, count) + part.from as u64,
                count: u32::try_from(part.count).unwrap_or(u32::MAX),
                ..appended
            });
            if let Some(slot) = results.get_mut(part.batch) {
                *slot = Some(result);
            }
        }
    }
    let missing = || Err(unavailable("the batch was not written").into());
    Ok(results.into_iter().map(|result| result.unwrap_or_else(missing)).collect())
}

/// Writes batches of which each is only appended where those before it were. NATS looks at each message alone: so they are
/// sent one by one while it knows them already, and together from the first that is new. What another publisher with the
/// same keys may then have sent meanwhile is all that is not told from its repetition in time.
pub(crate) async fn write_chain(
    connection: &Connection,
    batches: Vec<Batch>,
) -> Result<Vec<BatchResult>, EngineError> {
    let mut answers = Vec::with_capacity(batches.len());
    let mut batches = batches.into_iter();
    while let Some(batch) = batches.next() {
        answers.extend(write(connection, vec![batch]).await?);
        match answers.last() {
            Some(Ok(appended)) if appended.duplicate => {}
            Some(Ok(_)) => {
                answers.extend(write(connection, batches.by_ref().collect()).await?);
                let upto = answers.iter().position(Result::is_err).map_or(answers.len(), |place| place + 1);
                answers.truncate(upto);
                break;
            }
            _ => break,
        }
    }
    Ok(answers)
}

async fn acknowledged(sent: Result<PublishAckFuture, PublishError>) -> Result<Ack, PublishError> {
    match async { sent?.await }.await {
        Ok(ack) => Ok(Ack { number: ack.sequence, duplicate: ack.duplicate }),
        Err(error) if code(&error) == Some(ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT) => {
            Ok(Ack { number: 0, duplicate: true })
        }
        Err(error) => Err(error),
    }
}

/// Puts batches into messages. What is refused at once gets its result here.
fn plan(
    connection: &Connection,
    seen: u64,
    batches: Vec<Batch>,
    results: &mut [Option<BatchResult>],
) -> Vec<Outgoing> {
    let limit = connection.body_limit();
    let mut outgoing: Vec<Outgoing> = Vec::new();
    // The message of each topic that takes another batch.
    let mut open: HashMap<Topic, usize> = HashMap::new();
    for (place, (batch, result)) in batches.into_iter().zip(results).enumerate() {
        let deletes = batch.deletes().is_some();
        let ended = connection.ledger().ended(batch.topics()).filter(|_| !deletes);
        // A topic that begins anew has keys of its own.
        let deleted = batch.scope_topic().map_or(0, |topic| connection.ledger().deleted(topic));
        let idempotency = batch.idempotency.clone();
        if let (Some(topic), None) = (&ended, &idempotency) {
            *result = Some(Err(AppendError::TopicClosed { topic: topic.clone() }));
            continue;
        }
        let mut topics = batch.topics();
        let single = topics.next().filter(|first| topics.all(|topic| topic == *first)).cloned();
        drop(topics);
        let entries = batch.into_entries();
        let count = entries.len();
        if count > MESSAGE_EVENTS {
            *result = Some(Err(AppendError::TooMany { events: count, limit: MESSAGE_EVENTS }));
            continue;
        }
        if count == 0 {
            let appended = Appended {
                epoch: connection.begun.epoch,
                first: message::last(seen) + 1,
                count: 0,
                time: tidings_protocol::Timestamp::now(),
                duplicate: false,
            };
            *result = Some(Ok(appended));
            continue;
        }
        let closes = entries.iter().any(|(_, closing)| *closing != Closing::No);
        let mut body = message::begin(seen);
        let head = body.len();
        entries.iter().for_each(|(event, closing)| message::add(event, *closing, &mut body));
        if body.len() > limit {
            *result = Some(Err(AppendError::TooLarge { bytes: body.len(), limit }));
            continue;
        }
        let shares = idempotency.is_none() && !closes;
        if let Some(topic) = single.as_ref().filter(|_| shares)
            && let Some(message) = open.get(topic).and_then(|number| outgoing.get_mut(*number))
            && message.body.len() + body.len() <= SHARED_BYTES.min(limit)
            && message.count + count <= MESSAGE_EVENTS
        {
            message.parts.push(Part { batch: place, from: message.count, count });
            message.body.extend_from_slice(&body[head..]);
            message.count += count;
            continue;
        }
        let subjects = &connection.subjects;
        let subject = match &single {
            Some(topic) if closes => subjects.end(topic),
            Some(topic) => subjects.topic(topic),
            None => subjects.batch(),
        };
        if let Some(topic) = single.filter(|_| shares) {
            open.insert(topic, outgoing.len());
        }
        let keyed = idempotency.map(|idempotency| Keyed { idempotency, entries, ended, deleted });
        let parts = vec![Part { batch: place, from: 0, count }];
        outgoing.push(Outgoing { subject, body, count, parts, keyed });
    }
    outgoing
}

// === impl Outgoing ===

impl Outgoing {
    fn publish(&self, connection: &Connection) -> PublishMessage {
        let mut publish = PublishMessage::build().payload(self.body.clone().into());
        if let Some(keyed) = &self.keyed {
            publish = publish.message_id(keyed.id());
            if keyed.ended.is_some() {
                // What NATS looks at only after it has looked for a repetition. Newer servers do so in another order
                // where there is one replica.
                publish = if connection.stream.cached_info().config.num_replicas > 1 {
                    publish.expected_last_sequence(NEVER)
                } else {
                    publish.expected_last_message_id("never")
                };
            }
        }
        publish
    }

    /// What became of it: the message that holds it, of how many events, and the rest of what publishers are told.
    async fn result(
        &self,
        connection: &Connection,
        ack: Result<Ack, PublishError>,
    ) -> Result<(u64, usize, Appended), AppendError> {
        let ack = match (ack, &self.keyed) {
            (Ok(ack), _) => ack,
            (Err(error), Some(Keyed { ended: Some(topic), .. })) if is_unexpected(&error) => {
                return Err(AppendError::TopicClosed { topic: topic.clone() });
            }
            (Err(error), _) => return Err(refusal(connection, &error)),
        };
        if let (true, Some(keyed)) = (ack.duplicate, &self.keyed) {
            return self.repeated(connection, keyed, ack.number).await;
        }
        let outcome = connection.ledger().outcome(ack.number);
        let outcome = outcome.ok_or_else(|| unavailable("it is not known what became of the batch"))?;
        match outcome.void {
            Some(topic) => Err(void(connection, ack.number, topic).await),
            None => {
                let appended = Appended {
                    epoch: connection.begun.epoch,
                    first: 0,
                    count: 0,
                    time: outcome.time,
                    duplicate: ack.duplicate,
                };
                Ok((ack.number, self.count, appended))
            }
        }
    }

    /// The first answer, for what was published before.
    async fn repeated(
        &self,
        connection: &Connection,
        keyed: &Keyed,
        number: u64,
    ) -> Result<(u64, usize, Appended), AppendError> {
        let mut number = number;
        let mut tries = 0;
        while number == 0 {
            // The first one is just being stored. That concerns nobody else.
            tries += 1;
            if tries > ASK_AGAIN.0 {
                return Err(unavailable("the first publication with this key is not stored yet").into());
            }
            sleep(ASK_AGAIN.1).await;
            let sent = connection.context.send_publish(self.subject.clone(), self.publish(connection)).await;
            number = match (acknowledged(sent).await, &keyed.ended) {
                (Ok(ack), _) => ack.number,
                (Err(error), Some(topic)) if is_unexpected(&error) => {
                    return Err(AppendError::TopicClosed { topic: topic.clone() });
                }
                (Err(error), _) => return Err(refusal(connection, &error)),
            };
            connection.reaches(number).await.map_err(|error| unavailable(error.to_string()))?;
        }
        let conflict = || AppendError::KeyConflict { key: keyed.idempotency.key.clone() };
        match connection.stream.get_raw_message(number).await {
            Ok(found) => {
                let contents = message::read(&found.payload).map_err(|_| conflict())?;
                if contents.entries != keyed.entries {
                    return Err(conflict());
                }
                let late = connection.ledger().void(number, &contents);
                if let Some(topic) = late {
                    return Err(void(connection, number, topic).await);
                }
                let appended = Appended {
                    epoch: connection.begun.epoch,
                    first: 0,
                    count: 0,
                    time: timestamp(found.time),
                    duplicate: true,
                };
                Ok((number, contents.entries.len(), appended))
            }
            // Retention has discarded it, but its key is still known.
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                let time = tidings_protocol::Timestamp::now();
                let appended =
                    Appended { epoch: connection.begun.epoch, first: 0, count: 0, time, duplicate: true };
                Ok((number, self.count, appended))
            }
            Err(error) => Err(doubt(connection, &error)),
        }
    }
}

impl Keyed {
    /// The id of the message: the key, and the scope that it belongs to.
    fn id(&self) -> String {
        let scope = match &self.idempotency.scope {
            Scope::Topic(topic) => format!("topic/{}", utf8_percent_encode(topic.as_str(), NON_ALPHANUMERIC)),
            Scope::Batches => "events".to_owned(),
            Scope::BatchesOf(owner) => format!("of/{}", utf8_percent_encode(owner, NON_ALPHANUMERIC)),
        };
        let id = format!("{scope}/{}", utf8_percent_encode(&self.idempotency.key, NON_ALPHANUMERIC));
        if self.deleted == 0 { id } else { format!("{id}/{}", self.deleted) }
    }
}

fn unavailable(reason: impl Into<String>) -> LogUnavailable {
    LogUnavailable { reason: reason.into() }
}

/// What a publisher is told whose topic had ended. The stream says it as well, before anybody is told: retention discards
/// the end of the topic before the message that came too late, which nobody could tell from another one then.
async fn void(connection: &Connection, number: u64, topic: Topic) -> AppendError {
    let note = PublishMessage::build().payload(number.to_string().into());
    let noted = connection.context.send_publish(connection.subjects.void(), note).await;
    match acknowledged(noted).await {
        Ok(_) => AppendError::TopicClosed { topic },
        Err(error) => refusal(connection, &error),
    }
}

/// What JetStream says of a message that it did not take.
fn code(error: &PublishError) -> Option<ErrorCode> {
    use std::error::Error as _;
    let source = error.source()?.downcast_ref::<async_nats::jetstream::Error>()?;
    Some(source.error_code())
}

fn is_unexpected(error: &PublishError) -> bool {
    let codes = [
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE,
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT,
        ErrorCode::STREAM_WRONG_LAST_MESSAGE_ID,
    ];
    code(error).is_some_and(|code| codes.contains(&code))
}

/// What a publisher is told where NATS did not take a message.
fn refusal(connection: &Connection, error: &PublishError) -> AppendError {
    let full = [
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::MEMORY_RESOURCES_EXCEEDED,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::STREAM_STORE_FAILED,
    ];
    match code(error) {
        Some(code) if full.contains(&code) => AppendError::Full { reason: "NATS has no room for it".into() },
        _ => doubt(connection, error),
    }
}

/// What a publisher is told where it is not known what became of a batch. The connection may be of no use any more.
fn doubt(connection: &Connection, error: &(dyn std::error::Error + 'static)) -> AppendError {
    connection.lost.cancel();
    unavailable(format!("NATS did not acknowledge the batch: {}", chain(error))).into()
}
