//! The stream that a log is kept in: made where it is missing, and checked where it is there.

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy};
use async_nats::jetstream::{Context, ErrorCode, stream::Stream};
use tidings_engine::{EngineConfig, EngineError};
use tidings_protocol::Epoch;

use crate::limits::PROBE;
use crate::options::{Options, chain};
use crate::subject::Subjects;

/// What the description of a stream says beside the epoch.
const DESCRIPTION: &str = "the log of Tidings, epoch ";

/// The stream, what there is of it, and its epoch.
pub(crate) async fn open(
    context: &Context,
    options: &Options,
    config: &EngineConfig,
) -> Result<(Stream, Info, Epoch), EngineError> {
    use async_nats::jetstream::context::GetStreamErrorKind;
    let probe = ContextBuilder::new().timeout(PROBE).build(context.client());
    let stream = match probe.get_stream(&options.stream).await {
        Ok(_) => {
            context.get_stream(&options.stream).await.map_err(|error| EngineError::away(chain(&error)))?
        }
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(reason) if reason.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                create(context, options, config).await?
            }
            GetStreamErrorKind::JetStream(reason) => return Err(refused_by_jetstream(&reason)),
            _ => return Err(EngineError::away(format!("JetStream does not answer: {}", chain(&error)))),
        },
    };
    let info = stream.cached_info().clone();
    check(&info.config, options)?;
    let wanted = Config { description: info.config.description.clone(), ..wanted(options, config) };
    let epoch = match epoch_of(&info.config) {
        Some(epoch) => epoch,
        None if info.state.last_sequence == 0 => {
            let epoch = new_epoch();
            set(context, Config { description: Some(describe(epoch)), ..info.config.clone() }).await?;
            epoch
        }
        None => {
            return Err(EngineError::refused(format!(
                "the stream {} has messages of others; the log needs a stream of its own",
                options.stream
            )));
        }
    };
    let kept = |config: &Config| (config.max_age, config.max_bytes, config.duplicate_window);
    if kept(&wanted) != kept(&info.config) {
        let (max_age, max_bytes, duplicate_window) = kept(&wanted);
        let changed = Config { max_age, max_bytes, duplicate_window, ..info.config.clone() };
        let changed = Config { description: Some(describe(epoch)), ..changed };
        match set(context, changed).await {
            Ok(()) => tracing::info!(stream = options.stream, "set the stream's retention as it is set here"),
            Err(error) => {
                tracing::warn!(stream = options.stream, %error, "failed to set the stream's retention");
            }
        }
    }
    Ok((stream, info, epoch))
}

async fn create(context: &Context, options: &Options, config: &EngineConfig) -> Result<Stream, EngineError> {
    let new = Config { description: Some(describe(new_epoch())), ..wanted(options, config) };
    match context.create_stream(new).await {
        Ok(stream) => {
            tracing::info!(stream = options.stream, replicas = options.replicas, "made the stream");
            Ok(stream)
        }
        // Another hub may have made it meanwhile.
        Err(error) => context.get_stream(&options.stream).await.map_err(|_| {
            EngineError::away(format!("failed to make the stream {}: {}", options.stream, chain(&error)))
        }),
    }
}

fn wanted(options: &Options, config: &EngineConfig) -> Config {
    let retention = config.retention;
    Config {
        name: options.stream.clone(),
        subjects: vec![Subjects::new(&options.stream).all()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: retention.age,
        max_bytes: i64::try_from(retention.bytes).unwrap_or(i64::MAX),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        storage: options.storage,
        num_replicas: options.replicas,
        // NATS knows an id no longer than the message.
        duplicate_window: config.idempotency_window.min(retention.age),
        ..Config::default()
    }
}

/// Whether a stream can be a log.
fn check(config: &Config, options: &Options) -> Result<(), EngineError> {
    let subject = Subjects::new(&options.stream).all();
    let wrong = if config.subjects != [subject.clone()] {
        format!("takes the subjects {:?}, and should take only `{subject}`", config.subjects)
    } else if config.retention != RetentionPolicy::Limits {
        "discards messages when they are consumed; its retention should be `limits`".into()
    } else if config.max_messages_per_subject > 0 {
        "keeps only some messages of each subject; it should keep all".into()
    } else if config.discard != DiscardPolicy::Old {
        "refuses new messages when it is full; it should discard old ones".into()
    } else if config.sealed || config.no_ack || config.mirror.is_some() {
        "takes no messages, or acknowledges none".into()
    } else {
        return Ok(());
    };
    Err(EngineError::refused(format!("the stream {} {wrong}; name another, or change it", options.stream)))
}

/// Gives the log a new epoch, for events were lost.
pub(crate) async fn renew(context: &Context, info: &Info) -> Result<Epoch, EngineError> {
    let epoch = new_epoch();
    set(context, Config { description: Some(describe(epoch)), ..info.config.clone() }).await?;
    Ok(epoch)
}

async fn set(context: &Context, config: Config) -> Result<(), EngineError> {
    let update = context.update_stream(config).await;
    update
        .map(drop)
        .map_err(|error| EngineError::away(format!("failed to change the stream: {}", chain(&error))))
}

pub(crate) fn epoch_of(config: &Config) -> Option<Epoch> {
    config.description.as_deref()?.strip_prefix(DESCRIPTION)?.parse().ok()
}

fn describe(epoch: Epoch) -> String {
    format!("{DESCRIPTION}{epoch}")
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

fn refused_by_jetstream(error: &async_nats::jetstream::Error) -> EngineError {
    let reason = format!("JetStream refuses: {error}");
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => EngineError::refused(reason),
        _ => EngineError::away(reason),
    }
}
