//! Opening a log: what is on the disk becomes what is in memory, and what is not as it was left is found.
//!
//! Only the newest segment can have a torn end, because a segment begins when all of the one before is on
//! disk. So it alone is read; of the others, the indexes are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidings_protocol::{Epoch, Lineage, Sequence, Timestamp};

use super::files::{self, Files, Lock};
use super::handles::{Handles, Kind};
use super::index::{Index, Summary};
use super::index_file::IndexFile;
use super::keeper;
use super::keys::Keys;
use super::scan::{self, Contents, ScanError, Scanner};
use super::segment::{self, Header, HeaderFlaw, Segment};
use super::state::{Clean, State};
use super::table::TableError;
use super::view::{Clock, DiskState, View};
use super::writer::Active;
use super::{DiskConfig, Durability, OpenError, limits};
use crate::TopicTable;

/// A log that is open, and where its writer goes on.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) shared: Arc<DiskState>,
    pub(crate) state: State,
    pub(crate) active: Active,
    pub(crate) lock: Lock,
}

/// What opening a log goes by.
struct Recovery<'a> {
    dir: &'a Path,
    files: &'a Arc<dyn Files>,
    handles: Arc<Handles>,
    config: DiskConfig,
    log: u64,
    secret: [u8; 16],
    now: Timestamp,
}

/// Whether a file has a name that the log gives.
fn is_own_name(name: &str) -> bool {
    matches!(name, "LOCK" | "state")
        || is_unfinished_name(name)
        || [".log", ".index", ".keys"].iter().any(|ending| name.ends_with(ending))
}

/// A log is not begun in the midst of somebody's files.
fn refuse_foreign(dir: &Path, names: &[String]) -> Result<(), OpenError> {
    // The root of a file system has a folder of its own.
    let own = |name: &str| name == "lost+found" || is_own_name(name);
    match names.iter().find(|name| !own(name)) {
        Some(file) if !names.iter().any(|name| name == "state") => {
            Err(OpenError::NotEmpty { dir: dir.to_path_buf(), file: file.clone() })
        }
        _ => Ok(()),
    }
}

/// Opens the log in `dir`, or begins one where there is none.
pub(crate) fn open(
    dir: &Path,
    config: DiskConfig,
    files: &Arc<dyn Files>,
    clock: Clock,
) -> Result<Opened, OpenError> {
    files.create_dir(dir).map_err(OpenError::io("create", dir))?;
    // Before anything is written to it.
    refuse_foreign(dir, &files.names(dir).map_err(OpenError::io("list", dir))?)?;
    let lock_path = dir.join("LOCK");
    let lock = files.lock(&lock_path).map_err(OpenError::io("lock", &lock_path))?;
    let lock = lock.ok_or_else(|| OpenError::Locked { dir: dir.to_path_buf() })?;
    let names = files.names(dir).map_err(OpenError::io("list", dir))?;
    // What an older version or a copy has left open to everybody. The log's own files alone, and not those beside them.
    files.seclude(dir);
    for name in names.iter().filter(|name| is_own_name(name)) {
        files.seclude(&dir.join(name));
    }
    // Nothing of a log is in such a file until it is renamed.
    for name in names.iter().filter(|name| is_unfinished_name(name)) {
        let path = dir.join(name);
        files.remove(&path).map_err(OpenError::io("remove", &path))?;
    }
    let is_new = !names.iter().any(|name| name == "state");
    let mut state = match !is_new {
        true => read_state(&**files, dir)?,
        false => begin(&**files, dir, &names, config)?,
    };
    let unreadable = || OpenError::damaged(&State::path(dir), 0, "it has no valid epoch, log or secret");
    let (log, secret) = state.log().zip(state.secret()).ok_or_else(unreadable)?;
    let handles = Arc::new(Handles::new(Arc::clone(files), dir.to_path_buf()));
    let recovery = Recovery { dir, files, handles, config, log, secret, now: clock() };

    let (segments, active) = recovery.segments(&names, &state)?;
    let answers = recovery.keys(&names, &segments)?;
    let mut topics = TopicTable::default();
    // Newest first: most topics are then noted once.
    for segment in segments.iter().rev() {
        let infos = segment.index().topics();
        let path = recovery.handles.path(segment.base(), Kind::Index);
        let infos = infos.map_err(|error| unusable(&path, error))?;
        // What is deleted comes first, so that nothing from before it is noted.
        let deletions = infos.iter().filter(|known| known.deleted > 0);
        deletions.for_each(|known| topics.note_deletion(&known.info.topic, known.deleted));
        infos.iter().for_each(|known| topics.note_info(&known.info));
    }
    let latest = segments.last().map_or(0, |segment| segment.index().summary().last);
    let mut lineage = state.lineage().ok_or_else(unreadable)?;
    if !is_new {
        if state.durability == Durability::Os && state.clean.is_none() {
            tracing::warn!(
                epoch = %lineage.present(),
                latest,
                "the log was not closed and did not wait for the disk: readers who had seen later events are told of a gap"
            );
        }
        lineage = next_lineage(&lineage, state.clean.is_some(), latest);
        state.set_lineage(&lineage);
    }
    state.durability = config.durability;
    state.clean = None;
    state.write(&**files, dir).map_err(OpenError::io("write", &State::path(dir)))?;

    let earliest = segments.first().map_or(1, |segment| segment.base());
    let view = View { earliest, latest, segments: Arc::new(segments) };
    let handles = Arc::clone(&recovery.handles);
    let identity = (lineage, log, secret);
    let dir = dir.to_path_buf();
    let shared =
        DiskState::new(dir, Arc::clone(files), clock, config, identity, handles, (view, topics), answers);
    Ok(Opened { shared: Arc::new(shared), state, active, lock })
}

fn read_state(files: &dyn Files, dir: &Path) -> Result<State, OpenError> {
    let path = State::path(dir);
    let file = files.open(&path).map_err(OpenError::io("open", &path))?;
    let bytes = files::read_whole(&*file).map_err(OpenError::io("read", &path))?;
    State::parse(&path, &bytes)
}

/// Begins a log: its first segment, and then its state, so that a state without segments is a loss.
fn begin(files: &dyn Files, dir: &Path, names: &[String], config: DiskConfig) -> Result<State, OpenError> {
    let path = |base| segment::path(dir, base, Kind::Log.extension());
    for base in names.iter().filter_map(|name| segment::base_of(name, Kind::Log.extension())) {
        if base != 1 || !is_unfinished(files, &path(base))? {
            return Err(OpenError::damaged(
                &State::path(dir),
                0,
                "the file is missing, though there are segments",
            ));
        }
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| {
        OpenError::io("draw random numbers for", dir)(std::io::Error::other(error.to_string()))
    })?;
    let (secret, rest) = random.split_at(16);
    let (log, _) = rest.split_at(8);
    let log = u64::from_le_bytes(log.try_into().unwrap_or_default());
    let mut state = State::new(log, new_epoch(), secret.try_into().unwrap_or_default(), config.durability);
    state.clean = Some(Clean { earliest: 1, latest: 0, end: segment::HEADER });
    let new = dir.join("next.new");
    let wanted = config.first_segment_bytes();
    let prepared = segment::prepare(files, new, wanted).map_err(|error| match files::is_full(&error) {
        true => OpenError::NoRoom { dir: dir.to_path_buf(), wanted, source: error },
        false => OpenError::io("create", &path(1))(error),
    })?;
    segment::begin(files, dir, &prepared, log, (1, Timestamp::default()), limits::FORMAT)
        .map_err(OpenError::io("create", &path(1)))?;
    state.write(files, dir).map_err(OpenError::io("write", &State::path(dir)))?;
    Ok(state)
}

/// Whether a file is one that the log was about to finish. Others' files are left alone.
fn is_unfinished_name(name: &str) -> bool {
    name.strip_suffix(".new").is_some_and(|name| {
        let is_derived =
            [Kind::Index, Kind::Keys].iter().any(|kind| segment::base_of(name, kind.extension()).is_some());
        is_derived || name == "state" || name == "next" || name.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether the only segment is one that nothing was written to: the log was about to begin.
fn is_unfinished(files: &dyn Files, path: &Path) -> Result<bool, OpenError> {
    let file = files.open(path).map_err(OpenError::io("open", path))?;
    let mut bytes = [0; segment::HEADER as usize + 8];
    let read = file.read_at(&mut bytes, 0).map_err(OpenError::io("read", path))?;
    Ok(bytes[..read].iter().skip(segment::HEADER as usize).all(|&byte| byte == 0))
}

/// The log in a new epoch, as of `latest`. Whether this is the log that the present epoch was written to, or a copy of it,
/// nobody can tell. So what was given out beyond `latest`, or is elsewhere, is told from what is written now.
fn next_lineage(lineage: &Lineage, is_clean: bool, latest: Sequence) -> Lineage {
    let mut epoch = new_epoch();
    while lineage.has(epoch) {
        epoch = new_epoch();
    }
    if is_clean && lineage.is_unused(latest) {
        return lineage.replaced(epoch);
    }
    lineage.renewed(epoch, latest)
}

pub(crate) fn new_epoch() -> Epoch {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    Epoch::from_random(u64::from_le_bytes(bytes))
}

fn unusable(path: &Path, error: TableError) -> OpenError {
    match error {
        TableError::Damaged { offset, reason } => OpenError::damaged(path, offset, reason),
        TableError::Io(source) => OpenError::io("read", path)(source),
    }
}

impl Recovery<'_> {
    fn path(&self, base: Sequence) -> PathBuf {
        self.handles.path(base, Kind::Log)
    }

    /// All segments, oldest first, and the last of them as it is written to.
    fn segments(&self, names: &[String], state: &State) -> Result<(Vec<Arc<Segment>>, Active), OpenError> {
        let mut bases: Vec<_> = names.iter().filter_map(|name| segment::base_of(name, "log")).collect();
        if bases.is_empty() {
            // There is none where the log begins just now.
            let names = self.files.names(self.dir).map_err(OpenError::io("list", self.dir))?;
            bases = names.iter().filter_map(|name| segment::base_of(name, "log")).collect();
        }
        bases.sort_unstable();
        let Some((&newest, sealed)) = bases.split_last() else {
            return Err(OpenError::damaged(self.dir, 0, "the directory has lost all segments of the log"));
        };
        if let Some(clean) = state.clean
            && bases.first() > Some(&clean.earliest)
        {
            let reason = "the segment is missing; it was there when the log was closed";
            return Err(OpenError::damaged(&self.path(clean.earliest), 0, reason));
        }
        let mut segments = Vec::with_capacity(bases.len());
        for (&base, &next) in sealed.iter().zip(&bases[1..]) {
            segments.push(Arc::new(self.sealed(base, next)?));
        }
        let (segment, active) = self.newest(newest, state)?;
        segments.push(Arc::clone(&segment));
        Ok((segments, active))
    }

    fn header(&self, base: Sequence) -> Result<(Header, Arc<dyn files::File>), OpenError> {
        let path = self.path(base);
        let file = self.handles.get(base, Kind::Log).map_err(OpenError::io("open", &path))?;
        let mut bytes = [0; segment::HEADER as usize];
        let read = file.read_at(&mut bytes, 0).map_err(OpenError::io("read", &path))?;
        let header = match Header::decode(&bytes[..read]) {
            Ok(header) => header,
            Err(HeaderFlaw::Format(found)) => {
                return Err(OpenError::UnknownFormat { file: path, found, supported: limits::FORMAT });
            }
            Err(HeaderFlaw::Bad(reason)) => return Err(OpenError::damaged(&path, 0, reason)),
        };
        if header.base != base || header.log != self.log {
            return Err(OpenError::damaged(&path, 0, "the segment is from another place or another log"));
        }
        Ok((header, file))
    }

    /// A segment that another one follows: it ends just before that one begins.
    fn sealed(&self, base: Sequence, next: Sequence) -> Result<Segment, OpenError> {
        let (header, file) = self.header(base)?;
        let path = self.path(base);
        let loaded = IndexFile::load(&self.handles, base, self.log, self.secret);
        let length = file.len().map_err(OpenError::io("read", &path))?;
        if let Ok(index) = loaded {
            let summary = index.summary;
            check_length(&path, length, summary.end)?;
            self.contiguous(summary.last, next)?;
            let has_keys = !self.needs_keys(&summary) || Keys::load(&self.handles, base, self.log).is_ok();
            if has_keys {
                return Ok(Segment::new(header, Index::File(index)));
            }
        }
        tracing::info!(file = %path.display(), "the index of a segment is missing or broken: it is made again");
        self.rebuild(header, file, next)
    }

    /// Whether a sealed segment may have answers whose window has not passed. Others have lost their file.
    fn needs_keys(&self, summary: &Summary) -> bool {
        summary.keyed > 0 && summary.time.until(self.now) < self.config.idempotency_window
    }

    /// Sealed segments leave no sequence number out.
    fn contiguous(&self, last: Sequence, next: Sequence) -> Result<(), OpenError> {
        if last + 1 == next {
            return Ok(());
        }
        let missing = last + 1;
        let reason = format!(
            "the segment is missing: the one before it ends with {last}, the next one begins with {next}"
        );
        Err(OpenError::damaged(&self.path(missing), 0, reason))
    }

    fn rebuild(
        &self,
        header: Header,
        file: Arc<dyn files::File>,
        next: Sequence,
    ) -> Result<Segment, OpenError> {
        let path = self.path(header.base);
        let length = file.len().map_err(OpenError::io("read", &path))?;
        let mut scanner = Scanner::new(file, header.stamp);
        let contents = scan::contents(&mut scanner, &header, limits::SCAN_CHUNK_BYTES);
        let (offset, why) = contents.stop;
        let last = contents.index.summary.last;
        // A whole record of which the padding is gone would be refused with its index, the next time.
        check_length(&path, length, contents.index.summary.end)?;
        match why {
            ScanError::Io(source) => return Err(OpenError::io("read", &path)(source)),
            ScanError::Bad(reason) if last + 1 < next => {
                return Err(OpenError::damaged(&path, offset, reason));
            }
            _ if last + 1 == next => {}
            _ if contents.index.summary.end < header.capacity => {
                return Err(OpenError::damaged(
                    &path,
                    offset,
                    format!("the entries end with {last}, and the next segment begins with {next}"),
                ));
            }
            _ => self.contiguous(last, next)?,
        }
        let segment = Segment::new(header, Index::Memory(contents.index));
        let fresh = Keys::fresh(header.base, contents.answers);
        let output = keeper::Output {
            files: &**self.files,
            dir: self.dir,
            handles: &self.handles,
            log: self.log,
            secret: self.secret,
        };
        output
            .seal(&segment, fresh.as_ref())
            .map_err(|error| OpenError::io("write", &self.handles.path(header.base, Kind::Index))(error))?;
        Ok(segment)
    }

    /// The segment that the log was writing to: it may have a torn end.
    fn newest(&self, base: Sequence, state: &State) -> Result<(Arc<Segment>, Active), OpenError> {
        let path = self.path(base);
        let (header, file) = self.header(base)?;
        let mut scanner = Scanner::new(Arc::clone(&file), header.stamp);
        let chunk = limits::SCAN_CHUNK_BYTES;
        let Contents { index, answers, fence, stop: (offset, why) } =
            scan::contents(&mut scanner, &header, chunk);
        let read = |source| OpenError::io("read", &path)(source);
        let reason = match why {
            ScanError::Io(source) => return Err(read(source)),
            ScanError::Blank => "there is no record where one was written",
            ScanError::Bad(reason) => reason,
        };
        let (last, end) = (index.summary.last, index.summary.end);
        match state.clean {
            Some(clean) if (clean.latest, clean.end) == (last, end) => {}
            Some(_) => return Err(OpenError::damaged(&path, offset, reason)),
            None => {
                // A fence is written only when all before it is on disk: damage, and no torn end.
                let is_later =
                    |record: &super::record::Record<'_>| record.is_fence() && record.sequence > last;
                if scanner.find(offset, chunk, is_later).map_err(read)?.is_some() {
                    return Err(OpenError::damaged(&path, offset, reason));
                }
                repair(&*file, (fence, end)).map_err(OpenError::io("repair", &path))?;
            }
        }
        let active = Active::new(header, file, end, answers);
        Ok((Arc::new(Segment::new(header, Index::Memory(index))), active))
    }

    /// The answers that outlived their segments or belong to sealed ones.
    fn keys(&self, names: &[String], segments: &[Arc<Segment>]) -> Result<Vec<Arc<Keys>>, OpenError> {
        let mut bases: Vec<_> = names.iter().filter_map(|name| segment::base_of(name, "keys")).collect();
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let needed = sealed.iter().filter(|segment| self.needs_keys(segment.index().summary()));
        bases.extend(needed.map(|segment| segment.base()));
        bases.sort_unstable();
        bases.dedup();
        let mut keys = Vec::new();
        for base in bases {
            let path = self.handles.path(base, Kind::Keys);
            let loaded = Keys::load(&self.handles, base, self.log).map_err(|error| unusable(&path, error))?;
            if loaded.newest.until(self.now) < self.config.idempotency_window {
                keys.push(Arc::new(loaded));
            } else {
                self.handles.forget(base, Kind::Keys);
                self.files.remove(&path).map_err(OpenError::io("remove", &path))?;
            }
        }
        Ok(keys)
    }
}

/// A segment must be as long as its entries are.
fn check_length(path: &Path, length: u64, end: u64) -> Result<(), OpenError> {
    if length < end {
        let reason = format!("the file ends here, and its entries go on to byte {end}");
        return Err(OpenError::damaged(path, length, reason));
    }
    Ok(())
}

/// Makes the newest segment what it would be if the last write that it holds had been all.
fn repair(file: &dyn files::File, (fence, end): (u64, u64)) -> std::io::Result<()> {
    // What follows the last fence may be in the system's cache alone, and, where a sync failed before, be
    // taken for written. Writing it again makes the sync below mean something.
    let length = file.len()?;
    let mut buffer = vec![0; limits::SCAN_CHUNK_BYTES];
    let mut at = fence;
    while at < end {
        let part = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read_at(&mut buffer[..part], at)?;
        file.write_at(&buffer[..read], at)?;
        at += read.max(1) as u64;
    }
    let torn = segment::blank(file, end, length)?;
    file.sync()?;
    if torn > super::record::FENCE_BYTES {
        tracing::warn!(
            offset = end,
            bytes = torn,
            "the log ended within a write that nobody was told of: it is cut off"
        );
    }
    Ok(())
}

/// How the log ends, for the mark that says so.
pub(crate) fn clean_end(shared: &DiskState) -> Clean {
    let view = shared.view();
    let end = view.segments.last().map_or(0, |segment| segment.index().summary().end);
    let earliest = view.segments.first().map_or(1, |segment| segment.base());
    Clean { earliest, latest: view.latest, end }
}
