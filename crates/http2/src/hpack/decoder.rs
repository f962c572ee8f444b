use super::table::Table;
use super::{huffman, integer, static_table};

/// The size that tables have until settings say otherwise (RFC 9113 §6.5.2).
const DEFAULT_TABLE_SIZE: u32 = 4_096;

/// Decodes blocks of fields, with the table that they have in common. There is no table in memory while nothing is in it.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Option<Box<Table>>,
    /// The size that the client has chosen for it.
    capacity: u32,
    /// The largest size that it may choose.
    limit: u32,
}

/// Why a block was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// It says nothing that could be understood, so that the tables of both sides differ from here on.
    Malformed,
    /// It stands for more than anybody would send.
    TooMuch,
}

/// Where strings are decoded that do not stand in a block as they are.
#[derive(Debug, Default)]
struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
}

// === impl Decoder ===

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { table: None, capacity: DEFAULT_TABLE_SIZE, limit: DEFAULT_TABLE_SIZE }
    }

    /// The client has taken note of the size that the table may have. What it has put into a larger one is gone
    /// (RFC 7541 §4.2).
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
        self.resize(self.capacity.min(limit));
    }

    /// Whether a table is held in memory.
    #[cfg(test)]
    pub(crate) fn has_table(&self) -> bool {
        self.table.is_some()
    }

    /// Hands out the fields of a block, in their order, until `each` has had enough of them.
    pub(crate) fn decode(
        &mut self,
        mut block: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut scratch = Scratch::default();
        let mut may_resize = true;
        while let Some(first) = block.first() {
            match first {
                // §6.1: an indexed field.
                0x80.. => {
                    let index = integer::decode(&mut block, 7)?;
                    let (name, value) = self.field(index)?;
                    each(name, value)?;
                }
                // §6.3: a size update, which comes before the fields (§4.2).
                0x20..0x40 => {
                    let size = u32::try_from(integer::decode(&mut block, 5)?).unwrap_or(u32::MAX);
                    if !may_resize || size > self.limit {
                        return Err(DecodeError::Malformed);
                    }
                    self.resize(size);
                    continue;
                }
                // §6.2: literals, of which some become entries.
                _ => {
                    let is_entry = *first >= 0x40;
                    let index = integer::decode(&mut block, if is_entry { 6 } else { 4 })?;
                    let Scratch { name, value } = &mut scratch;
                    let name = match index {
                        0 => string(&mut block, name)?,
                        _ => {
                            name.clear();
                            name.extend_from_slice(self.field(index)?.0);
                            name
                        }
                    };
                    let value = string(&mut block, value)?;
                    each(name, value)?;
                    if is_entry && self.capacity > 0 {
                        self.table.get_or_insert_default().insert(name, value, self.capacity as usize);
                    }
                }
            }
            may_resize = false;
        }
        Ok(())
    }

    fn field(&self, index: usize) -> Result<(&[u8], &[u8]), DecodeError> {
        if let Some((name, value)) = static_table::get(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let index = index.checked_sub(static_table::END).ok_or(DecodeError::Malformed)?;
        self.table.as_ref().and_then(|table| table.get(index)).ok_or(DecodeError::Malformed)
    }

    fn resize(&mut self, capacity: u32) {
        self.capacity = capacity;
        if capacity == 0 {
            self.table = None;
        } else if let Some(table) = &mut self.table {
            table.evict(capacity as usize);
        }
    }
}

/// Takes a string off the front (RFC 7541 §5.2).
fn string<'a, 's>(block: &mut &'a [u8], scratch: &'s mut Vec<u8>) -> Result<&'s [u8], DecodeError>
where
    'a: 's,
{
    let is_huffman = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::decode(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(DecodeError::Malformed)?;
    *block = rest;
    if !is_huffman {
        return Ok(text);
    }
    scratch.clear();
    huffman::decode(text, scratch)?;
    Ok(scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of 36 bytes that becomes an entry.
    const ENTRY: &[u8] = b"\x40\x01x\x03abc";

    #[test]
    fn the_table_is_gone_once_the_client_knows_that_there_is_none() {
        let mut decoder = Decoder::new();
        assert!(!decoder.has_table());
        decoder.decode(ENTRY, |_, _| Ok(())).unwrap();
        assert!(decoder.has_table());
        let mut found = Vec::new();
        let each = |name: &[u8], value: &[u8]| {
            found.push([name, value].concat());
            Ok(())
        };
        decoder.decode(&[0xbe], each).unwrap();
        assert_eq!(found, [b"xabc"]);
        decoder.set_limit(0);
        assert!(!decoder.has_table());
        // A client that uses none says so in its next block, and may do without.
        decoder.decode(&[0x20, 0x82], |_, _| Ok(())).unwrap();
        decoder.decode(ENTRY, |_, _| Ok(())).unwrap();
        assert!(!decoder.has_table());
        assert_eq!(decoder.decode(&[0xbe], |_, _| Ok(())), Err(DecodeError::Malformed));
        assert_eq!(decoder.decode(&[0x21], |_, _| Ok(())), Err(DecodeError::Malformed));
    }
}
