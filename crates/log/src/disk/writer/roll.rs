//! Going on to the next segment.

use std::io;
use std::mem;
use std::sync::Arc;

use tidings_protocol::Sequence;

use super::super::handles::Kind;
use super::super::index::{Index, MemoryIndex};
use super::super::keeper::Job;
use super::super::keys::{Fresh, Keys};
use super::super::segment::{self, Segment};
use super::super::{Durability, files, record};
use super::{Active, Writer};
use crate::{AppendError, LogUnavailable};

impl Writer {
    /// Begins a segment that holds `size` bytes of records.
    pub(super) fn roll(&mut self, size: u64, format: u32) -> Result<(), AppendError> {
        let (usual, was_filled) = (self.next_segment_bytes(), self.active.is_filled());
        let needed = segment::HEADER + size + record::FENCE_BYTES;
        let capacity = usual.max(needed);
        let shared = Arc::clone(&self.shared);
        if let Some(reason) = self.poisoned() {
            return Err(reason.into());
        }
        if self.shared.config.durability == Durability::Os
            && let Err(error) = self.active.file.sync()
        {
            // Only the newest segment may have a torn end, whatever the log promises.
            return Err(self.poison("sync", &error).into());
        }
        let prepared = match self.keeper.take(needed) {
            Some(prepared) => prepared,
            None => segment::prepare(&*shared.files, shared.preparation(), capacity)
                .map_err(|error| self.refusal(&error, capacity == usual))?,
        };
        let base = self.next;
        // Once there is something new, there will be more of it.
        let format = format.max(self.active.header.format);
        let begun =
            segment::begin(&*shared.files, &shared.dir, &prepared, shared.log, (base, self.time), format);
        let header = match begun {
            Ok(header) => header,
            Err(error) => {
                self.undo_roll(&prepared, base)?;
                return Err(self.refusal(&error, true));
            }
        };
        shared.set_full(None);
        let active = Active::new(header, prepared.file, segment::HEADER, Fresh::new());
        let before = mem::replace(&mut self.active, active);
        let is_empty = before.end == segment::HEADER;
        shared.handles.keep(base, Kind::Log, Arc::clone(&self.active.file));
        let segment = Arc::new(Segment::new(header, Index::Memory(MemoryIndex::new(&header))));
        let mut segments = shared.view().segments.to_vec();
        if is_empty {
            // The new one has replaced it under the same name.
            segments.pop();
        } else if let Some(sealed) = segments.last() {
            let keys = Keys::fresh(sealed.base(), before.answers).map(Arc::new);
            shared.keys().extend(keys.clone());
            self.keeper.send(Job::Seal(Arc::clone(sealed), keys));
        }
        segments.push(segment);
        shared.view_mut().segments = Arc::new(segments);
        self.whereabouts = self.look_around();
        self.keeper
            .send(Job::Prepare(shared.config.next_segment_bytes(self.active.header.capacity, was_filled)));
        self.tidy();
        Ok(())
    }

    /// The size of the segment that comes next, as far as is known now.
    pub(super) fn next_segment_bytes(&self) -> u64 {
        self.shared.config.next_segment_bytes(self.active.header.capacity, self.active.is_filled())
    }

    /// What a failure to begin a segment means for a batch: nothing was written. The log is full where there is
    /// no room for one of the usual size.
    fn refusal(&self, error: &io::Error, is_usual: bool) -> AppendError {
        if files::is_full(error) {
            if is_usual {
                self.shared.set_full(Some(error.to_string()));
            }
            return AppendError::Full { reason: error.to_string() };
        }
        AppendError::Unavailable(LogUnavailable { reason: format!("a segment could not be begun: {error}") })
    }

    /// Removes a segment that was perhaps begun: with it on the disk, the active one would count as sealed.
    fn undo_roll(&self, prepared: &segment::Prepared, base: Sequence) -> Result<(), LogUnavailable> {
        let shared = &self.shared;
        if shared.files.remove(&prepared.path).is_ok() {
            return Ok(());
        }
        if self.active.header.base == base {
            // It has the active one's name, and what is written to that would be gone with the next start.
            let error = io::Error::other("it is not known which file has the name of the segment");
            return Err(self.poison("replace", &error));
        }
        let removed = shared.files.remove(&segment::path(&shared.dir, base, "log"));
        let removed = removed.and_then(|()| shared.files.sync_dir(&shared.dir));
        removed.map_err(|error| self.poison("remove a segment after", &error))
    }
}
