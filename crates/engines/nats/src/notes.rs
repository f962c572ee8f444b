//! What hubs leave for each other: a small stream beside that of the log, of which only the last message of each subject is
//! kept. A note that is removed is a message without a body, which is purged.

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, RawMessageErrorKind, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use tidings_engine::EngineError;
use tidings_log::Note;

use crate::options::{Options, chain};

/// What is behind the name of the log's stream in that of its notes.
const SUFFIX: &str = "-notes";

/// Keeps notes, each in the place of the one before.
pub(crate) async fn put(context: &Context, options: &Options, notes: Vec<Note>) -> Result<(), EngineError> {
    let stream = match open(context, options).await? {
        Some(stream) => stream,
        None => make(context, options).await?,
    };
    let mut acks = Vec::new();
    for Note { name, text } in notes {
        let subject = format!("{}.{name}", stream_name(options));
        if text.is_empty() {
            stream.purge().filter(subject).await.map_err(|error| failed("remove", &error))?;
        } else {
            let sent = context.publish(subject, text.into()).await;
            acks.push(sent.map_err(|error| failed("keep", &error))?);
        }
    }
    for ack in acks {
        ack.await.map_err(|error| failed("keep", &error))?;
    }
    Ok(())
}

/// All notes.
pub(crate) async fn all(context: &Context, options: &Options) -> Result<Vec<Note>, EngineError> {
    let Some(stream) = open(context, options).await? else { return Ok(Vec::new()) };
    let prefix = format!("{}.", stream_name(options));
    let (mut notes, mut next) = (Vec::new(), 1);
    loop {
        match stream.get_first_raw_message_by_subject(format!("{prefix}>"), next).await {
            Ok(found) => {
                next = found.sequence + 1;
                let name = found.subject.strip_prefix(&*prefix).unwrap_or_default().to_owned();
                notes.push(Note { name, text: String::from_utf8_lossy(&found.payload).into_owned() });
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(notes),
            Err(error) => return Err(failed("read", &error)),
        }
    }
}

async fn open(context: &Context, options: &Options) -> Result<Option<Stream>, EngineError> {
    match context.get_stream(stream_name(options)).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(reason) if reason.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Ok(None)
            }
            _ => Err(failed("read", &error)),
        },
    }
}

async fn make(context: &Context, options: &Options) -> Result<Stream, EngineError> {
    let name = stream_name(options);
    let config = Config {
        subjects: vec![format!("{name}.>")],
        name,
        description: Some("what hubs of Tidings leave for each other".into()),
        max_messages_per_subject: 1,
        storage: options.storage,
        num_replicas: options.replicas,
        ..Config::default()
    };
    context.get_or_create_stream(config).await.map_err(|error| failed("keep", &error))
}

fn stream_name(options: &Options) -> String {
    format!("{}{SUFFIX}", options.stream)
}

fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> EngineError {
    EngineError::away(format!("failed to {what} notes of hubs: {}", chain(error)))
}
