use std::collections::VecDeque;

use super::FIELD_OVERHEAD;

/// The dynamic table (RFC 7541 §2.3.2), newest entry first.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    /// What its entries count together.
    size: usize,
}

/// A name, and a value behind it.
#[derive(Debug)]
struct Entry {
    bytes: Box<[u8]>,
    name_len: usize,
}

// === impl Table ===

impl Table {
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(index)?;
        entry.bytes.split_at_checked(entry.name_len)
    }

    /// Adds an entry, for which older ones make room (RFC 7541 §4.4). One that is larger than the table empties it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], capacity: usize) {
        let size = name.len() + value.len() + FIELD_OVERHEAD;
        self.evict(capacity.saturating_sub(size));
        if size <= capacity {
            self.size += size;
            let bytes = [name, value].concat().into_boxed_slice();
            self.entries.push_front(Entry { bytes, name_len: name.len() });
        }
    }

    /// Drops the oldest entries until the others count no more than this.
    pub(super) fn evict(&mut self, capacity: usize) {
        while self.size > capacity
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.bytes.len() + FIELD_OVERHEAD;
        }
    }
}
