//! Which streams are under way that end their topics, in a file beside the log: a hub that was killed learns from it which of
//! them broke off with it.
//!
//! A line is `+ GRACE KEY TOPIC` where a stream begins, and `- KEY TOPIC` where it has ended; the grace is in milliseconds, a
//! key is `=` and the key, or `-` where there is none. What a crash cut off of the last line is passed over. The file is
//! there for processes that are killed, so it is not synced: after a power cut it may miss the last moments.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_protocol::Topic;

use crate::ProducerOptions;

/// The streams that are under way, where they are remembered.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Option<JournalFile>>);

#[derive(Debug)]
struct JournalFile {
    path: PathBuf,
    file: File,
    bytes: usize,
    /// Those that have not ended: their lines.
    open: HashMap<Name, String>,
    live_bytes: usize,
}

/// A topic, and the key of its stream.
pub(crate) type Name = (Topic, Option<String>);

/// A stream that is remembered. It is forgotten when it has ended, and not where this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    journal: Arc<Journal>,
    name: Name,
}

/// The file is written anew when it is this large and holds little that counts.
const REWRITE_BYTES: usize = 64 << 10;

// === impl Journal ===

impl Journal {
    /// Begins to remember streams in a file, and gives those that it says were left open.
    pub(crate) fn open(&self, path: &Path) -> io::Result<Vec<(Topic, ProducerOptions)>> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut left: HashMap<Name, Duration> = HashMap::new();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match read(line) {
                Some((name, Some(grace))) => drop(left.insert(name, grace)),
                Some((name, None)) => drop(left.remove(&name)),
                None => {}
            }
        }
        let open: HashMap<_, _> =
            left.iter().map(|(name, grace)| (name.clone(), begin_line(name, *grace))).collect();
        let live_bytes = open.values().map(String::len).sum();
        let file = File::options().append(true).create(true).open(path)?;
        let mut file = JournalFile { path: path.to_owned(), file, bytes: 0, open, live_bytes };
        file.rewrite()?;
        *self.lock() = Some(file);
        let options = |((topic, key), grace)| {
            (topic, ProducerOptions { key, grace, close: true, ..ProducerOptions::default() })
        };
        Ok(left.into_iter().map(options).collect())
    }

    /// Remembers a stream until it has ended.
    pub(crate) fn begin(self: &Arc<Self>, topic: &Topic, options: &ProducerOptions) -> Option<Open> {
        let name = (topic.clone(), options.key.clone());
        self.lock().as_mut()?.begin(&name, options.grace);
        Some(Open { journal: Arc::clone(self), name })
    }

    fn lock(&self) -> MutexGuard<'_, Option<JournalFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Open ===

impl Open {
    /// The stream has ended, or another one has its place.
    pub(crate) fn end(self) {
        if let Some(file) = &mut *self.journal.lock() {
            file.end(&self.name);
        }
    }
}

// === impl JournalFile ===

impl JournalFile {
    fn begin(&mut self, name: &Name, grace: Duration) {
        let line = begin_line(name, grace);
        self.write(&line);
        self.live_bytes += line.len();
        if let Some(old) = self.open.insert(name.clone(), line) {
            self.live_bytes -= old.len();
        }
    }

    fn end(&mut self, name: &Name) {
        if let Some(old) = self.open.remove(name) {
            self.live_bytes -= old.len();
            let mut line = String::from("- ");
            write_name(name, &mut line);
            self.write(&line);
        }
    }

    fn write(&mut self, line: &str) {
        let written = if self.bytes + line.len() > REWRITE_BYTES.max(4 * self.live_bytes) {
            self.rewrite().and_then(|()| self.append(line))
        } else {
            self.append(line)
        };
        if let Err(error) = written {
            let path = self.path.display();
            tracing::warn!(%path, %error, "failed to note which streams are under way: after a crash, their topics stay open");
        }
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.bytes += line.len();
        self.file.write_all(line.as_bytes())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let text: String = self.open.values().map(String::as_str).collect();
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)?;
        (self.file, self.bytes) = (file, text.len());
        Ok(())
    }
}

fn begin_line(name: &Name, grace: Duration) -> String {
    let mut line = format!("+ {} ", grace.as_millis());
    write_name(name, &mut line);
    line
}

pub(crate) fn write_name((topic, key): &Name, line: &mut String) {
    // A string takes all that is written to it.
    let _ = match key {
        Some(key) => writeln!(line, "={key} {topic}"),
        None => writeln!(line, "- {topic}"),
    };
}

/// A stream that began, with its grace, or that has ended.
fn read(line: &str) -> Option<(Name, Option<Duration>)> {
    let (grace, name) = match line.split_once(' ')? {
        ("+", rest) => {
            let (grace, name) = rest.split_once(' ')?;
            (Some(Duration::from_millis(grace.parse().ok()?)), name)
        }
        ("-", name) => (None, name),
        _ => return None,
    };
    Some((read_name(name)?, grace))
}

/// What [`write_name`] has written, without its line end.
pub(crate) fn read_name(name: &str) -> Option<Name> {
    let (key, topic) = name.split_once(' ')?;
    let key = match key {
        "-" => None,
        key => Some(key.strip_prefix('=')?.to_owned()),
    };
    Some((Topic::new(topic).ok()?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(key: Option<&str>, seconds: u64) -> ProducerOptions {
        let (key, grace) = (key.map(str::to_owned), Duration::from_secs(seconds));
        ProducerOptions { key, grace, close: true, ..ProducerOptions::default() }
    }

    #[test]
    fn what_has_not_ended_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("streams");
        let (one, two): (Topic, Topic) = ("a b/- c".parse().unwrap(), "ü".parse().unwrap());
        let journal = Arc::new(Journal::default());
        assert!(journal.begin(&one, &options(None, 0)).is_none(), "nothing is remembered yet");
        assert!(journal.open(&path).unwrap().is_empty());
        let first = journal.begin(&one, &options(None, 0)).unwrap();
        drop(journal.begin(&two, &options(Some("k=1"), 60)));
        drop(journal.begin(&two, &options(None, 0)));
        for _ in 0..5_000 {
            journal.begin(&one, &options(Some("k"), 1)).unwrap().end();
        }
        first.end();
        assert!(fs::metadata(&path).unwrap().len() < 2 * REWRITE_BYTES as u64, "it does not grow");
        // A crash may cut off the last line.
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"- - \xc3").unwrap();
        let left = |journal: &Journal| {
            let mut left = journal.open(&path).unwrap();
            left.sort_by(|a, b| a.1.key.cmp(&b.1.key));
            left.into_iter()
                .map(|(topic, options)| (topic, options.key, options.grace.as_secs()))
                .collect::<Vec<_>>()
        };
        let expected = [(two.clone(), None, 0), (two, Some("k=1".to_owned()), 60)];
        assert_eq!(left(&Journal::default()), expected);
        assert_eq!(left(&Journal::default()), expected, "they are left until they have ended");
    }
}
