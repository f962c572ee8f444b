//! What the program tells the one who runs it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::error::Error;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::failure::WrongArguments;
use crate::stderr::{self, Stderr};

/// What has to be kept for as long as something is told.
#[cfg(feature = "otlp")]
pub(crate) type Kept = Option<crate::traces::Traces>;
/// Nothing.
#[cfg(not(feature = "otlp"))]
#[derive(Debug)]
pub(crate) struct Kept;

/// Writes the log to standard error: for people, with colours only on a terminal, or as lines of JSON. Traces go to the
/// collector at `otlp`, where there is one.
pub(crate) fn start(level: &str, json: bool, otlp: Option<&str>) -> Result<Kept, Box<dyn Error>> {
    // Alone, a word that is no level would be taken for a part of the program, of which nothing is told.
    if !level.contains(['=', ',', '[']) && level.parse::<LevelFilter>().is_err() {
        return Err(WrongArguments::new(format!(
            "failed to read `log-level`: `{level}` is none of off, error, warn, info, debug and trace; \
             one part has a level of its own as in `warn,tidings_http=debug`"
        ))
        .into());
    }
    let filter = EnvFilter::builder().parse(with_quiet_parts(level)).map_err(|error| {
        WrongArguments::new(format!(
            "failed to read `log-level`: {error}; right would be `info` or `warn,tidings_http=debug`"
        ))
    })?;
    let kept = begin(filter, json, otlp)?;
    log_panics();
    Ok(kept)
}

/// A level, with less of those parts that do not speak for themselves.
fn with_quiet_parts(level: &str) -> Cow<'_, str> {
    // What these warn of, clients can cause at will, each of them once for each connection.
    const NOISY: &str = "h2=error,hyper=error,rustls=off";
    match level {
        // What the client of NATS tells of connections, the hub tells in its own words.
        "info" => format!("info,async_nats=warn,{NOISY}").into(),
        "warn" => format!("warn,{NOISY}").into(),
        "error" => "error,rustls=off".into(),
        _ => level.into(),
    }
}

/// Lets panics be lines of the log: what the standard library does waits for standard error.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("no reason given");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!(thread, place, %backtrace, "panicked: {message}");
        } else {
            tracing::error!(thread, place, "panicked: {message}");
        }
        if thread == "main" {
            stderr::flush();
        }
    }));
}

#[cfg(not(feature = "otlp"))]
fn begin(filter: EnvFilter, json: bool, otlp: Option<&str>) -> Result<Kept, Box<dyn Error>> {
    if otlp.is_some() {
        let what = "failed to set `otlp-endpoint`: this program was built without the feature `otlp`";
        return Err(WrongArguments::new(what).into());
    }
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Stderr).log_internal_errors(false);
    if json {
        subscriber.json().init();
    } else {
        subscriber.with_ansi(std::io::stderr().is_terminal()).with_target(false).init();
    }
    Ok(Kept)
}

#[cfg(feature = "otlp")]
fn begin(filter: EnvFilter, json: bool, otlp: Option<&str>) -> Result<Kept, Box<dyn Error>> {
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    const SPANS: &str = "tidings::trace";
    let traces = otlp.map(crate::traces::Traces::to).transpose()?;
    let spans = traces
        .as_ref()
        .map(|traces| traces.layer().with_filter(Targets::new().with_target(SPANS, LevelFilter::INFO)));
    // The spans are for the collector: in the log they would stand before every line.
    let filter = filter.add_directive(format!("{SPANS}=off").parse()?);
    let log = tracing_subscriber::fmt::layer().with_writer(|| Stderr).log_internal_errors(false);
    let log = if json {
        log.json().boxed()
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed()
    };
    tracing_subscriber::registry().with(log.with_filter(filter)).with(spans).init();
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_cause_in_libraries_is_not_told_unless_asked_for() {
        for level in ["info", "warn", "error"] {
            let filter = EnvFilter::builder().parse(with_quiet_parts(level)).unwrap().to_string();
            assert!(filter.contains("rustls=off"), "{filter}");
            assert!(level == "error" || filter.contains("h2=error"), "{filter}");
        }
        for level in ["debug", "warn,h2=warn", "off"] {
            assert_eq!(with_quiet_parts(level), level);
        }
    }
}
