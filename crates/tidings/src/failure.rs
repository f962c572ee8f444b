use std::error::Error;
use std::fmt;

/// What a command failed to do, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    source: Box<dyn Error>,
}

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
