//! What the program tells the one who runs it.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Writes the log to standard error: for people, with colours only on a terminal, or as lines of JSON.
pub(crate) fn start(level: &str, json: bool) -> Result<(), Box<dyn Error>> {
    // Alone, a word that is no level would be taken for a part of the program, of which nothing is told.
    if !level.contains(['=', ',', '[']) && level.parse::<LevelFilter>().is_err() {
        return Err(format!(
            "failed to read `log-level`: `{level}` is none of off, error, warn, info, debug and trace; \
             one part has a level of its own as in `warn,tidings_http=debug`"
        )
        .into());
    }
    let filter = EnvFilter::builder().parse(level).map_err(|error| {
        format!("failed to read `log-level`: {error}; right would be `info` or `warn,tidings_http=debug`")
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if json {
        subscriber.json().init();
    } else {
        subscriber.with_ansi(stderr().is_terminal()).with_target(false).init();
    }
    Ok(())
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
