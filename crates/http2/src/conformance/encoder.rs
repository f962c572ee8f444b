use std::collections::VecDeque;

/// The size of the table of clients that know of no other.
const TABLE_SIZE: usize = 4_096;
const FIRST_ENTRY: usize = 62;
/// What the requests here have in the static table.
const STATIC: [(&str, &str, usize); 6] = [
    (":method", "GET", 2),
    (":method", "POST", 3),
    (":path", "/", 4),
    (":scheme", "http", 6),
    (":scheme", "https", 7),
    (":authority", "", 1),
];

/// An encoder with a table of the default size, whatever the server's settings say, as h2spec has one.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    entries: VecDeque<(String, String)>,
}

// === impl Encoder ===

impl Encoder {
    pub(super) fn encode(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            let entry = self.entries.iter().position(|entry| (&*entry.0, &*entry.1) == (*name, *value));
            let fixed =
                STATIC.iter().find(|entry| (entry.0, entry.1) == (*name, *value) && !value.is_empty());
            if let Some(index) = fixed.map(|entry| entry.2).or(entry.map(|at| at + FIRST_ENTRY)) {
                integer(index, 7, 0x80, &mut block);
                continue;
            }
            // What the table has no room for is no entry.
            let is_entry = name.len() + value.len() + 32 <= TABLE_SIZE;
            block.push(if is_entry { 0x40 } else { 0 });
            string(name, &mut block);
            string(value, &mut block);
            if is_entry {
                self.insert(name, value);
            }
        }
        block
    }

    fn insert(&mut self, name: &str, value: &str) {
        self.entries.push_front(((*name).into(), (*value).into()));
        let size = |entries: &VecDeque<(String, String)>| -> usize {
            entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
        };
        while size(&self.entries) > TABLE_SIZE {
            self.entries.pop_back();
        }
    }
}

fn string(text: &str, block: &mut Vec<u8>) {
    integer(text.len(), 7, 0, block);
    block.extend(text.as_bytes());
}

pub(super) fn integer(value: usize, prefix: u32, flags: u8, block: &mut Vec<u8>) {
    let most = (1 << prefix) - 1;
    if value < most {
        return block.push(flags | value as u8);
    }
    block.push(flags | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        block.push(rest as u8 | 128);
        rest >>= 7;
    }
    block.push(rest as u8);
}
