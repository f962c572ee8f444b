//! The stream that a log is kept in: made where it is missing, and checked where it is there.

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, State, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use tidings_engine::{EngineConfig, EngineError};
use tidings_protocol::{Lineage, Sequence};

use crate::epoch::Begun;
use crate::limits::PROBE;
use crate::options::{Options, chain};
use crate::subject::Subjects;

/// The stream as it is now.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    /// What it held before its epoch was read: a later change of the epoch comes after that.
    pub(crate) state: State,
    pub(crate) begun: Begun,
    /// The epochs, as far as the stream still tells.
    pub(crate) lineage: Lineage,
    /// Whether the message that the epoch began with is there, or may have been discarded.
    pub(crate) whole: bool,
}

// === impl Opened ===

impl Opened {
    /// Gives the log a new epoch, for events were lost.
    pub(crate) async fn renew(
        &self,
        context: &Context,
        subjects: &Subjects,
        common: Option<Sequence>,
    ) -> Result<(), EngineError> {
        let begun = Begun::tell(context, subjects, &self.lineage, common).await?;
        // At once, as what it says may have begun with a message that is lost, whose number is higher.
        describe(context, self.stream.cached_info().config.clone(), begun).await.map(drop)
    }

    /// The first message that is kept, or that comes next where there is none.
    pub(crate) fn first(&self) -> u64 {
        first_kept(&self.state)
    }
}

pub(crate) fn first_kept(state: &State) -> u64 {
    if state.messages == 0 { state.last_sequence + 1 } else { state.first_sequence.max(1) }
}

/// Makes sure that the stream is there and set as it should be, and finds its epoch.
pub(crate) async fn open(
    context: &Context,
    options: &Options,
    config: &EngineConfig,
) -> Result<Opened, EngineError> {
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
    if let Some(other) = other_copies(&info.config, options) {
        tracing::warn!(stream = options.stream, "the stream {other}; only NATS's own tools change that");
    }
    let described = info.config.description.as_deref().and_then(Begun::described);
    if described.is_none() && info.state.last_sequence > 0 {
        return Err(EngineError::refused(format!(
            "the stream {} has messages of others; the log needs a stream of its own",
            options.stream
        )));
    }
    let (told, epochs) = Begun::told(&stream, &Subjects::new(&options.stream)).await?.unzip();
    let begun = match (described, told) {
        (Some(described), Some(told)) if told.number < described.number => described,
        (_, Some(told)) => told,
        (Some(described), None) => described,
        (None, None) => Begun::new(),
    };
    let mut current = info.config.clone();
    if described != Some(begun) {
        current = describe(context, current, begun).await?;
    }
    keep(context, &current, &wanted(options, config)).await;
    let state = info.state;
    let lineage = epochs.filter(|epochs: &Lineage| epochs.present() == begun.epoch);
    let lineage = lineage.unwrap_or_else(|| Lineage::of(begun.epoch));
    let whole = told == Some(begun) || begun.number < first_kept(&state);
    Ok(Opened { stream, state, begun, lineage, whole })
}

/// Writes the epoch into the stream's description.
pub(crate) async fn describe(context: &Context, config: Config, begun: Begun) -> Result<Config, EngineError> {
    let config = Config { description: Some(begun.describe()), ..config };
    set(context, config.clone()).await?;
    Ok(config)
}

/// Has the stream keep what is to be kept, where that may be changed.
async fn keep(context: &Context, current: &Config, wanted: &Config) {
    let kept = |config: &Config| (config.max_age, config.max_bytes, config.duplicate_window);
    if kept(wanted) == kept(current) {
        return;
    }
    let (max_age, max_bytes, duplicate_window) = kept(wanted);
    let changed = Config { max_age, max_bytes, duplicate_window, ..current.clone() };
    match set(context, changed).await {
        Ok(()) => tracing::info!(stream = current.name, "set the stream's retention as it is set here"),
        Err(error) => {
            tracing::warn!(stream = current.name, %error, "failed to set the stream's retention");
        }
    }
}

async fn create(context: &Context, options: &Options, config: &EngineConfig) -> Result<Stream, EngineError> {
    let new = Config { description: Some(Begun::new().describe()), ..wanted(options, config) };
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

/// How a stream is kept, where that is not as it was asked for.
fn other_copies(config: &Config, options: &Options) -> Option<String> {
    let kept = |replicas: usize, storage| {
        format!(
            "`replicas={replicas}` and `storage={}`",
            match storage {
                StorageType::File => "file",
                StorageType::Memory => "memory",
            }
        )
    };
    let has = kept(config.num_replicas, config.storage);
    let asked = kept(options.replicas, options.storage);
    (has != asked).then(|| format!("was made with {has}, and {asked} was asked for"))
}

async fn set(context: &Context, config: Config) -> Result<(), EngineError> {
    let update = context.update_stream(config).await;
    update
        .map(drop)
        .map_err(|error| EngineError::away(format!("failed to change the stream: {}", chain(&error))))
}

fn refused_by_jetstream(error: &async_nats::jetstream::Error) -> EngineError {
    let reason = format!("JetStream refuses: {error}");
    match error.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => EngineError::refused(reason),
        _ => EngineError::away(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_with_other_copies_than_asked_for_is_told_of() {
        let options = Options::new("nats://a/LOG?replicas=3".parse().unwrap()).unwrap();
        let config = Config { num_replicas: 1, ..Config::default() };
        let told = "was made with `replicas=1` and `storage=file`, and `replicas=3` and `storage=file` was asked for";
        assert_eq!(other_copies(&config, &options).as_deref(), Some(told));
        let config = Config { num_replicas: 3, ..Config::default() };
        assert_eq!(other_copies(&config, &options), None);
    }
}
