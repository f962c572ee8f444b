//! Header fields as HTTP/2 writes them (RFC 7541), for the client's side.
//!
//! Requests are written as browsers do: what is not known yet goes into the server's table, where the next request finds it,
//! and strings are in the Huffman code where that is shorter. What a server keeps for a connection depends on that.

use std::collections::VecDeque;

use super::huffman;

/// Writes the heads of requests.
#[derive(Debug)]
pub(crate) struct Encoder {
    table: Table,
    /// A new limit of the table, to be told with the next head.
    limit: Option<usize>,
}

/// Reads the heads of answers.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// The most that the server was allowed.
    most: usize,
}

/// The fields of late, the newest first.
#[derive(Debug)]
struct Table {
    fields: VecDeque<(Box<str>, Box<str>)>,
    bytes: usize,
    limit: usize,
}

/// The bytes are no header fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer breaks the rules of HPACK")]
pub(crate) struct InvalidFields;

/// The limit of a table until something else is said.
const DEFAULT_TABLE_BYTES: usize = 4_096;
/// What a field takes of the table beside its text.
const FIELD_BYTES: usize = 32;
/// The largest number that is read, in bytes of its text.
const MAX_NUMBER_BYTES: u32 = 4;

// === impl Encoder ===

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { table: Table::new(DEFAULT_TABLE_BYTES), limit: None }
    }

    /// The server has said how large its table may be.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        let limit = limit.min(DEFAULT_TABLE_BYTES);
        if limit != self.table.limit {
            self.table.set_limit(limit);
            self.limit = Some(limit);
        }
    }

    pub(crate) fn encode<'a>(&mut self, fields: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
        if let Some(limit) = self.limit.take() {
            write_number(limit, 5, 0x20, out);
        }
        for (name, value) in fields {
            if let Some(index) = self.table.find(|field| *field == (name, value)) {
                write_number(index, 7, 0x80, out);
                continue;
            }
            let index = self.table.find(|field| field.0 == name).unwrap_or(0);
            // Of paths there are as many as requests: they would push out what is the same in all.
            let kept = name != ":path";
            let (bits, flags) = if kept { (6, 0x40) } else { (4, 0) };
            write_number(index, bits, flags, out);
            if index == 0 {
                write_text(name, out);
            }
            write_text(value, out);
            if kept {
                self.table.add(name.into(), value.into());
            }
        }
    }
}

// === impl Decoder ===

impl Decoder {
    /// `most` is how large a table the server is allowed. It says itself when it changes its size.
    pub(crate) fn new(most: usize) -> Self {
        Self { table: Table::new(DEFAULT_TABLE_BYTES.min(most)), most }
    }

    /// Hands out each field of a head.
    pub(crate) fn decode(
        &mut self,
        mut bytes: &[u8],
        mut field: impl FnMut(&str, &str),
    ) -> Result<(), InvalidFields> {
        while let Some(&first) = bytes.first() {
            if first & 0x80 != 0 {
                let index = read_number(&mut bytes, 7)?;
                let (name, value) = self.table.get(index).ok_or(InvalidFields)?;
                field(name, value);
            } else if first & 0xe0 == 0x20 {
                let limit = read_number(&mut bytes, 5)?;
                if limit > self.most {
                    return Err(InvalidFields);
                }
                self.table.set_limit(limit);
            } else {
                let kept = first & 0x40 != 0;
                let index = read_number(&mut bytes, if kept { 6 } else { 4 })?;
                let name: Box<str> = match index {
                    0 => read_text(&mut bytes)?,
                    index => self.table.get(index).ok_or(InvalidFields)?.0.into(),
                };
                let value = read_text(&mut bytes)?;
                field(&name, &value);
                if kept {
                    self.table.add(name, value);
                }
            }
        }
        Ok(())
    }
}

// === impl Table ===

impl Table {
    fn new(limit: usize) -> Self {
        Self { fields: VecDeque::new(), bytes: 0, limit }
    }

    fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(limit);
    }

    fn get(&self, index: usize) -> Option<(&str, &str)> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some(field) => Some(*field),
            None => self.fields.get(index - STATIC.len()).map(|(name, value)| (&**name, &**value)),
        }
    }

    /// The index of the first field that is like that.
    fn find(&self, mut is: impl FnMut(&(&str, &str)) -> bool) -> Option<usize> {
        let own = self.fields.iter().map(|(name, value)| (&**name, &**value));
        STATIC.iter().copied().chain(own).position(|field| is(&field)).map(|place| place + 1)
    }

    fn add(&mut self, name: Box<str>, value: Box<str>) {
        let bytes = name.len() + value.len() + FIELD_BYTES;
        self.evict(self.limit.saturating_sub(bytes));
        if bytes <= self.limit {
            self.bytes += bytes;
            self.fields.push_front((name, value));
        }
    }

    /// Drops the oldest fields until no more than so many bytes are left.
    fn evict(&mut self, bytes: usize) {
        while self.bytes > bytes
            && let Some((name, value)) = self.fields.pop_back()
        {
            self.bytes -= name.len() + value.len() + FIELD_BYTES;
        }
    }
}

fn write_number(number: usize, bits: u32, flags: u8, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if number < most {
        out.push(flags | number as u8);
        return;
    }
    out.push(flags | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn read_number(bytes: &mut &[u8], bits: u32) -> Result<usize, InvalidFields> {
    let mut next = || -> Result<usize, InvalidFields> {
        let (&byte, rest) = bytes.split_first().ok_or(InvalidFields)?;
        *bytes = rest;
        Ok(usize::from(byte))
    };
    let most = (1 << bits) - 1;
    let mut number = next()? & most;
    if number < most {
        return Ok(number);
    }
    for place in 0..MAX_NUMBER_BYTES {
        let byte = next()?;
        number += (byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(InvalidFields)
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let short = huffman::encoded_length(text.as_bytes());
    if short < text.len() {
        write_number(short, 7, 0x80, out);
        huffman::encode(text.as_bytes(), out);
    } else {
        write_number(text.len(), 7, 0, out);
        out.extend_from_slice(text.as_bytes());
    }
}

fn read_text(bytes: &mut &[u8]) -> Result<Box<str>, InvalidFields> {
    let coded = bytes.first().ok_or(InvalidFields)? & 0x80 != 0;
    let length = read_number(bytes, 7)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(InvalidFields)?;
    *bytes = rest;
    let text = if coded { huffman::decode(text).ok_or(InvalidFields)? } else { text.to_vec() };
    String::from_utf8(text).map(String::into_boxed_str).map_err(|_| InvalidFields)
}

/// The fields that everybody knows (RFC 7541, appendix A), from index 1 on.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [(&str, &str); 6] = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/topics/a?since=latest"),
        (":authority", "hub.example:8443"),
        ("accept", "text/event-stream"),
        ("cookie", "session=0123456789abcdef"),
    ];

    fn decode(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<(String, String)>, InvalidFields> {
        let mut fields = Vec::new();
        decoder.decode(bytes, |name, value| fields.push((name.to_owned(), value.to_owned())))?;
        Ok(fields)
    }

    #[test]
    fn a_head_is_read_as_it_was_written_and_the_next_is_shorter() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(DEFAULT_TABLE_BYTES));
        let mut lengths = Vec::new();
        for limit in [DEFAULT_TABLE_BYTES, DEFAULT_TABLE_BYTES, 0, 0, 100, 65_536] {
            encoder.set_limit(limit);
            let mut out = Vec::new();
            encoder.encode(REQUEST.into_iter(), &mut out);
            let expected = REQUEST.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(decode(&mut decoder, &out).unwrap(), expected);
            lengths.push(out.len());
        }
        assert!(lengths[1] < lengths[0] / 2, "{lengths:?}");
        assert!(lengths[3] > lengths[1], "{lengths:?}");
    }

    /// The answers of RFC 7541, appendix C.6, whose table has room for 256 bytes.
    #[test]
    fn reads_what_the_standard_shows() {
        let mut decoder = Decoder::new(256);
        let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
        let second = "4883640effc1c0bf";
        let bytes = |text: &str| -> Vec<u8> {
            text.as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        };
        let fields = decode(&mut decoder, &bytes(first)).unwrap();
        assert_eq!(fields[0], (":status".into(), "302".into()));
        assert_eq!(fields[3], ("location".into(), "https://www.example.com".into()));
        let fields = decode(&mut decoder, &bytes(second)).unwrap();
        assert_eq!(fields[0], (":status".into(), "307".into()));
        assert_eq!(fields[1], ("cache-control".into(), "private".into()));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for bytes in [
            &[0x80][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0x40, 0x05, b'a'],
            &[0x3f, 0xff, 0x7f],
            &[0xc0],
        ] {
            assert_eq!(decode(&mut Decoder::new(256), bytes), Err(InvalidFields), "{bytes:?}");
        }
    }
}
