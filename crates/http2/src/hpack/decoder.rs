use super::table::Table;
use super::{huffman, integer, static_table};

/// The size that tables have until settings say otherwise (RFC 9113 §6.5.2).
const DEFAULT_TABLE_SIZE: u32 = 4_096;

/// Decodes blocks of fields, with the table that they have in common.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
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
        Self { table: Table::default(), capacity: DEFAULT_TABLE_SIZE, limit: DEFAULT_TABLE_SIZE }
    }

    /// The client has taken note of the size that its table may have. It says in its next block that it obeys
    /// (RFC 7541 §4.2), or goes on as before: there are clients that know of no size but the default.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Nothing more will be decoded.
    pub(crate) fn end(&mut self) {
        self.table = Table::default();
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
                    if !may_resize || size > self.limit && size != DEFAULT_TABLE_SIZE {
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
                    if is_entry {
                        self.table.insert(name, value, self.capacity as usize);
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
        self.table.get(index).ok_or(DecodeError::Malformed)
    }

    fn resize(&mut self, capacity: u32) {
        self.capacity = capacity;
        self.table.evict(capacity as usize);
    }

    /// How much memory its table takes.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn memory(&self) -> usize {
        self.table.memory()
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

    /// A field of 36 bytes that becomes an entry, and the entry.
    const ENTRY: &[u8] = b"\x40\x01x\x03abc";
    const INDEXED: &[u8] = b"\xbe";

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, DecodeError> {
        let mut fields = Vec::new();
        let each = |name: &[u8], value: &[u8]| {
            fields.push(String::from_utf8([name, b"=", value].concat()).unwrap());
            Ok(())
        };
        decoder.decode(block, each).map(|()| fields)
    }

    #[test]
    fn the_table_is_gone_once_the_client_says_that_it_uses_none() {
        let mut decoder = Decoder::new();
        assert_eq!(decoder.memory(), 0);
        decode(&mut decoder, ENTRY).unwrap();
        assert_eq!(decoder.memory(), 8);
        assert_eq!(decode(&mut decoder, INDEXED), Ok(vec!["x=abc".into()]));
        decoder.set_limit(0);
        assert_eq!(decode(&mut decoder, b"\x20\x82"), Ok(vec![":method=GET".into()]));
        assert_eq!(decoder.memory(), 0);
        decode(&mut decoder, ENTRY).unwrap();
        assert_eq!(decoder.memory(), 0);
        assert_eq!(decode(&mut decoder, INDEXED), Err(DecodeError::Malformed));
    }

    #[test]
    fn a_client_that_knows_of_no_size_has_the_default() {
        let mut decoder = Decoder::new();
        decode(&mut decoder, ENTRY).unwrap();
        decoder.set_limit(0);
        assert_eq!(decode(&mut decoder, INDEXED), Ok(vec!["x=abc".into()]));
        assert_eq!(decode(&mut decoder, b"\x20\x3f\xe1\x1f\x82"), Ok(vec![":method=GET".into()]));
        decode(&mut decoder, ENTRY).unwrap();
        assert_eq!(decode(&mut decoder, INDEXED), Ok(vec!["x=abc".into()]));
        // Any other size is more than it may have.
        assert_eq!(decode(&mut decoder, b"\x21"), Err(DecodeError::Malformed));
    }

    #[test]
    fn a_size_is_updated_before_fields_alone() {
        assert_eq!(decode(&mut Decoder::new(), b"\x20\x21\x82"), Ok(vec![":method=GET".into()]));
        assert_eq!(decode(&mut Decoder::new(), b"\x82\x20"), Err(DecodeError::Malformed));
        assert_eq!(decode(&mut Decoder::new(), b"\x3f\xe2\x1f"), Err(DecodeError::Malformed));
    }
}
