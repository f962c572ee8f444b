use super::FIELD_OVERHEAD;

/// The dynamic table (RFC 7541 §2.3.2), newest entry first. It takes no more memory than what is in it, as one piece: a
/// connection that waits may keep it for days.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Of each entry: the lengths of its name and of its value, two bytes each, and then both.
    bytes: Vec<u8>,
}

const LENGTHS: usize = 4;

// === impl Table ===

impl Table {
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.entries().nth(index)
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let ([name_high, name_low, value_high, value_low], fields) =
                rest.split_first_chunk::<LENGTHS>()?;
            let (name, fields) =
                fields.split_at_checked(u16::from_be_bytes([*name_high, *name_low]).into())?;
            let (value, fields) =
                fields.split_at_checked(u16::from_be_bytes([*value_high, *value_low]).into())?;
            rest = fields;
            Some((name, value))
        })
    }

    /// Adds an entry, for which older ones make room (RFC 7541 §4.4). One that is larger than the table empties it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], capacity: usize) {
        let size = name.len() + value.len() + FIELD_OVERHEAD;
        self.evict(capacity.saturating_sub(size));
        let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u16::try_from(value.len())) else {
            return self.evict(0);
        };
        if size <= capacity {
            let added = LENGTHS + name.len() + value.len();
            self.bytes.reserve_exact(added);
            let fields = name.iter().chain(value).copied();
            self.bytes
                .splice(..0, name_len.to_be_bytes().into_iter().chain(value_len.to_be_bytes()).chain(fields));
        }
    }

    /// Drops the oldest entries until the others count no more than this.
    pub(super) fn evict(&mut self, capacity: usize) {
        let (mut size, mut kept) = (0, 0);
        for (name, value) in self.entries() {
            size += name.len() + value.len() + FIELD_OVERHEAD;
            if size > capacity {
                break;
            }
            kept += LENGTHS + name.len() + value.len();
        }
        if kept < self.bytes.len() {
            self.bytes.truncate(kept);
            self.bytes.shrink_to_fit();
        }
    }

    /// How much memory it takes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry counts 36 bytes.
    fn table(capacity: usize, entries: &[(&str, &str)]) -> Table {
        let mut table = Table::default();
        entries.iter().for_each(|(name, value)| table.insert(name.as_bytes(), value.as_bytes(), capacity));
        table
    }

    fn entries(table: &Table) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        table.entries().map(|(name, value)| text(name) + "=" + &text(value)).collect()
    }

    #[test]
    fn the_newest_is_first_and_the_oldest_leaves() {
        let mut table = table(80, &[("a", "123"), ("b", "456")]);
        assert_eq!(entries(&table), ["b=456", "a=123"]);
        assert_eq!(table.get(1), Some((&b"a"[..], &b"123"[..])));
        table.insert(b"c", b"", 80);
        assert_eq!(entries(&table), ["c=", "b=456"]);
        table.evict(33);
        assert_eq!(entries(&table), ["c="]);
        assert_eq!(table.get(1), None);
    }

    #[test]
    fn what_is_larger_than_the_table_empties_it() {
        let mut table = table(80, &[("a", "123")]);
        table.insert(b"x", &[b'y'; 48], 80);
        assert_eq!(entries(&table), Vec::<String>::new());
        assert_eq!(table.memory(), 0);
        table.insert(b"x", &[b'y'; 47], 80);
        assert_eq!(table.entries().count(), 1);
        assert_eq!(table.memory(), 52);
    }
}
