//! What the program tells the one who runs it.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
        return Err(format!(
            "failed to read `log-level`: `{level}` is none of off, error, warn, info, debug and trace; \
             one part has a level of its own as in `warn,tidings_http=debug`"
        )
        .into());
    }
    // What the client of NATS tells of connections, the hub tells in its own words.
    let quiet = if level == "info" { "info,async_nats=warn" } else { level };
    let filter = EnvFilter::builder().parse(quiet).map_err(|error| {
        format!("failed to read `log-level`: {error}; right would be `info` or `warn,tidings_http=debug`")
    })?;
    begin(filter, json, otlp)
}

#[cfg(not(feature = "otlp"))]
fn begin(filter: EnvFilter, json: bool, otlp: Option<&str>) -> Result<Kept, Box<dyn Error>> {
    if otlp.is_some() {
        let what = "failed to set `otlp-endpoint`: this program was built without the feature `otlp`";
        return Err(what.into());
    }
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if json {
        subscriber.json().init();
    } else {
        subscriber.with_ansi(stderr().is_terminal()).with_target(false).init();
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
    let log = tracing_subscriber::fmt::layer().with_writer(stderr);
    let log = if json {
        log.json().boxed()
    } else {
        log.with_ansi(stderr().is_terminal()).with_target(false).boxed()
    };
    tracing_subscriber::registry().with(log.with_filter(filter)).with(spans).init();
    Ok(traces)
}

/// Says why the program ends, in one line, with every cause.
pub(crate) fn complain(error: &dyn Error) {
    let mut text = format!("tidings: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        // Many errors have their cause in their own text already.
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    // There is nobody left to tell where this fails.
    drop(writeln!(stderr(), "{text}"));
}
