use std::error::Error;
use std::fmt;

use crate::stderr;

/// What a command failed to do, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    source: Box<dyn Error>,
}

/// What was asked for cannot be: the one who asked has to say it in another way.
#[derive(Debug)]
pub(crate) struct WrongArguments(String);

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
    stderr::line(text);
}

// === impl WrongArguments ===

impl WrongArguments {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Something is wrong with one argument.
    pub(crate) fn at(argument: &str, problem: &dyn fmt::Display) -> Self {
        Self(format!("{argument}: {problem}"))
    }
}

impl fmt::Display for WrongArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for WrongArguments {}

// === impl Failure ===

impl Failure {
    pub(crate) fn to(what: impl Into<String>) -> impl FnOnce(Box<dyn Error>) -> Self {
        let what = what.into();
        |source| Self { what, source }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}: {}", self.what, self.source)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
