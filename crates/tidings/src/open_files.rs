//! How many files the process may open: a connection is one, and systems begin with few of them.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is asked for where the system does not let it be as many as it says: macOS knows no bound for that, and has one.
const ASKED: [u64; 4] = [1 << 20, 1 << 17, 1 << 14, 10_240];

/// Raises the limit on open files as far as it goes.
pub(crate) fn allow() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let Err(error) = raised else { return Ok(()) };
    let has = limit.current.unwrap_or(u64::MAX);
    let may = limit.maximum.unwrap_or(u64::MAX);
    let mut asked = ASKED.into_iter().filter(|files| (has..=may).contains(files));
    let allowed =
        asked.any(|files| setrlimit(Resource::Nofile, Rlimit { current: Some(files), ..limit }).is_ok());
    if allowed { Ok(()) } else { Err(error.into()) }
}

/// How many there may be; `None` where there is no bound.
pub(crate) fn allowed() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
