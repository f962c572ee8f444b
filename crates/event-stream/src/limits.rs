//! How much of a stream is held in memory before it is given up.

/// The default of [`Limits::line`]: 4 MiB.
pub const DEFAULT_LINE_LIMIT: usize = 4 << 20;

/// The default of [`Limits::event`]: 16 MiB.
pub const DEFAULT_EVENT_LIMIT: usize = 16 << 20;

/// What each entry of [`Event::fields`](crate::Event::fields) counts towards [`Limits::event`] beside the
/// bytes of its name and value.
///
/// Without it, many fields of one letter would take far more memory than the limit says.
pub const FIELD_COST: usize = 64;

/// Caps on what a peer can make a [`Parser`](crate::Parser) hold. Exactly the limit is still let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The longest line, comments too, in bytes as received; the line end and a leading BOM do not count.
    pub line: usize,
    /// The largest event, in bytes as decoded: its data (with an LF between two lines), its type, and its
    /// other fields (each with [`FIELD_COST`] on top). Its id does not count; `line` bounds it.
    pub event: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line: DEFAULT_LINE_LIMIT, event: DEFAULT_EVENT_LIMIT }
    }
}
