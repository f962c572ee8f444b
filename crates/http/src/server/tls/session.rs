//! What there is of a TLS connection beside its socket.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Deref;

use super::alert::{Alert, Fault};
use super::keys::{OVERHEAD_BYTES, PLAIN_BYTES, RECORD_BYTES};
use super::records::{Opened, Records};

/// A TLS connection after its handshake: its keys, what has come of a record, and what was sealed and is not with the
/// kernel. [`TlsSocket`](super::TlsSocket) and [`TlsLink`](super::TlsLink) are a session and a socket.
///
/// Boxed from its beginning on, so that no copies of its keys are left where it has been.
pub(crate) struct Session {
    records: Records,
    /// What has come of a record, and no whole one.
    incoming: Vec<u8>,
    /// What was sealed and the kernel did not take at once: never more than one record with data.
    sealed: Vec<u8>,
    /// How much of that it has taken since.
    sent: usize,
    /// Whether its records are short, as its socket was full.
    is_slow: bool,
    is_http2: bool,
    /// Whether it is over because something was wrong.
    failed: Option<Fault>,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// How much was taken of what was given. It need not be with the kernel.
    pub(super) taken: usize,
    /// Whether the socket takes no more for now.
    pub(super) blocked: bool,
}

/// How a read went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// There may be more.
    Some,
    /// There is nothing more for now.
    Blocked,
    /// The peer has said that it sends nothing more.
    Ended,
    /// The peer sends nothing more, and has not said so.
    Cut,
}

/// The most that is sealed at once, and sent with one system call.
pub(super) const OFFER_BYTES: usize = 4 * PLAIN_BYTES;
/// The longest record of a connection whose socket was full a moment ago: what is left of one is kept as it is.
const SLOW_RECORD_BYTES: usize = 4 << 10;
/// What is read at once.
pub(super) const READ_BYTES: usize = RECORD_BYTES;

thread_local! {
    /// Where records are sealed and opened, one connection after the other, so that none has a buffer of its own.
    static SEALING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OPENING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A place in slices that follow one another.
struct Gather<'a, B> {
    parts: &'a [B],
    offset: usize,
}

// === impl Session ===

impl Session {
    pub(super) fn new(records: Records, incoming: Vec<u8>, is_http2: bool) -> Box<Self> {
        Box::new(Self {
            records,
            incoming,
            sealed: Vec::new(),
            sent: 0,
            is_slow: false,
            is_http2,
            failed: None,
        })
    }

    /// Whether HTTP/2 was agreed on.
    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Whether the peer has said that it sends nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.records.received_end
    }

    /// What was sealed and the kernel has not taken.
    pub(super) fn unsent(&self) -> usize {
        self.sealed.len() - self.sent
    }

    #[cfg(test)]
    pub(super) fn limit_records(&mut self, limit: u64) {
        self.records.limit = limit;
    }

    /// The same elsewhere in memory: a session that lasts would keep the memory from being given back that was free
    /// around it when its handshake was over.
    pub(super) fn settled(mut self: Box<Self>) -> Box<Self> {
        Box::new(Self {
            records: self.records.copied(),
            incoming: self.incoming.as_slice().to_vec(),
            sealed: std::mem::take(&mut self.sealed),
            ..*self
        })
    }

    /// Forgets what can be worked out again.
    pub(super) fn shrink(&mut self) {
        self.records.shrink();
    }

    /// What was read before what was read so far, by somebody else.
    pub(crate) fn has_come(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
    }

    /// Sends what is [`unsent`](Self::unsent), with as much as one call of `send`, which says how many bytes were taken,
    /// or `None` where the socket takes none for now. Says whether all of it was taken.
    pub(super) fn flush(
        &mut self,
        mut send: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<bool> {
        if self.unsent() == 0 {
            return Ok(true);
        }
        self.sent += send(&self.sealed[self.sent..])?.unwrap_or_default();
        let is_done = self.unsent() == 0;
        if is_done {
            (self.sealed, self.sent) = (Vec::new(), 0);
        }
        Ok(is_done)
    }

    /// Seals what `parts` hold, one after the other, in as few records as can be, and sends those with one call of
    /// `send`. See [`flush`](Self::flush), which comes before.
    ///
    /// Of a record that is taken in part, the rest is kept. What was sealed beyond that is thrown away, and the same
    /// nonces are used again: nobody has seen a byte of it.
    pub(super) fn write<B: Deref<Target = [u8]>>(
        &mut self,
        parts: &[B],
        mut send: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Written> {
        if let Some(fault) = self.failed {
            return Err(fault.into());
        }
        if !self.flush(&mut send)? {
            return Ok(Written { taken: 0, blocked: true });
        }
        let mut out = SEALING.take();
        out.clear();
        let written = self.seal_and_send(parts, &mut out, send);
        SEALING.set(out);
        written
    }

    fn seal_and_send<B: Deref<Target = [u8]>>(
        &mut self,
        parts: &[B],
        out: &mut Vec<u8>,
        mut send: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Written> {
        let most = if self.is_slow { SLOW_RECORD_BYTES } else { PLAIN_BYTES };
        let length = parts.iter().map(|part| part.len()).sum::<usize>().min(OFFER_BYTES);
        let count = length.div_ceil(most);
        if length == 0 {
            return Ok(Written { taken: 0, blocked: false });
        }
        if let Err(fault) = self.records.prepare(count as u64, out) {
            self.records.seal_alert(Alert::CloseNotify, out);
            self.sealed.append(out);
            self.failed = Some(fault);
            self.flush(send)?;
            return Err(fault.into());
        }
        let prepared = out.len();
        out.reserve(length + count * OVERHEAD_BYTES);
        let mut gather = Gather { parts, offset: 0 };
        let mut ends = [0; OFFER_BYTES.div_ceil(SLOW_RECORD_BYTES)];
        for (number, end) in ends.iter_mut().enumerate().take(count) {
            let size = most.min(length - number * most);
            self.records.seal(gather.take(size), out)?;
            *end = out.len();
        }
        let sent = send(out)?.unwrap_or_default();
        if sent >= out.len() {
            self.is_slow = false;
            return Ok(Written { taken: length, blocked: false });
        }
        self.is_slow = true;
        // How many records have left, in part at least.
        let begun = ends[..count].iter().take_while(|end| sent > prepared && **end < sent).count()
            + usize::from(sent > prepared);
        let end = begun.checked_sub(1).map_or(prepared, |last| ends[last]);
        self.records.take_back((count - begun) as u64);
        self.keep(&out[sent..end]);
        Ok(Written { taken: length.min(begun * most), blocked: true })
    }

    fn keep(&mut self, rest: &[u8]) {
        (self.sealed, self.sent) = (rest.to_vec(), 0);
    }

    /// Reads with one call of `recv`, which says how many bytes it read, or `None` where there are none for now, and
    /// gives the data of each record that is there as a whole to `sink`. Afterwards there may be something to
    /// [`flush`](Self::flush), also where it fails.
    pub(super) fn read(
        &mut self,
        recv: impl FnOnce(&mut [u8]) -> io::Result<Option<usize>>,
        sink: impl FnMut(&[u8]),
    ) -> io::Result<Read> {
        if let Some(fault) = self.failed {
            return Err(fault.into());
        }
        if self.records.received_end {
            return Ok(Read::Ended);
        }
        let mut buffer = OPENING.take();
        let read = self.read_and_open(&mut buffer, recv, sink);
        OPENING.set(buffer);
        read
    }

    fn read_and_open(
        &mut self,
        buffer: &mut Vec<u8>,
        recv: impl FnOnce(&mut [u8]) -> io::Result<Option<usize>>,
        sink: impl FnMut(&[u8]),
    ) -> io::Result<Read> {
        let before = self.incoming.len();
        if buffer.len() < before + READ_BYTES {
            buffer.resize(before + READ_BYTES, 0);
        }
        buffer[..before].copy_from_slice(&self.incoming);
        // What came with the last message of the handshake is read first, also where the connection is over since.
        let has_come = !matches!(self.records.first(&self.incoming), Ok(None));
        let count = if has_come { Some(0) } else { recv(&mut buffer[before..before + READ_BYTES])? };
        let count = match count {
            Some(0) if !has_come => return Ok(Read::Cut),
            Some(count) => count,
            None => return Ok(Read::Blocked),
        };
        if let Err(fault) = self.open(&mut buffer[..before + count], sink) {
            self.fail(fault);
            return Err(fault.into());
        }
        if self.records.owes() && self.unsent() == 0 {
            let mut sealed = Vec::new();
            if let Err(fault) = self.records.prepare(0, &mut sealed) {
                self.fail(fault);
                return Err(fault.into());
            }
            self.keep(&sealed);
        }
        Ok(if self.records.received_end { Read::Ended } else { Read::Some })
    }

    /// Opens all whole records, and keeps what is left.
    fn open(&mut self, mut bytes: &mut [u8], mut sink: impl FnMut(&[u8])) -> Result<(), Fault> {
        self.incoming = Vec::new();
        while let Some(length) = self.records.first(bytes)? {
            let (record, rest) = bytes.split_at_mut(length);
            match self.records.open(record)? {
                Opened::Data(place) => sink(&record[place]),
                Opened::Nothing => {}
                // Nothing after it is looked at (RFC 8446 §6.1).
                Opened::End => return Ok(()),
            }
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.incoming = bytes.to_vec();
        }
        Ok(())
    }

    /// Ends it because something is wrong, and tells the peer, unless that has told so.
    fn fail(&mut self, fault: Fault) {
        self.failed = Some(fault);
        self.incoming = Vec::new();
        let alert = match fault {
            Fault::Refused(alert) => alert,
            Fault::Exhausted => Alert::CloseNotify,
            Fault::Told(_) => return,
        };
        self.records.seal_alert(alert, &mut self.sealed);
    }

    /// Tells the peer that nothing more comes. It is to be flushed.
    pub(super) fn end(&mut self) {
        self.records.seal_alert(Alert::CloseNotify, &mut self.sealed);
    }
}

impl fmt::Debug for Session {
    /// Without what has come, which may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, incoming, failed, .. } = self;
        f.debug_struct("Session")
            .field("records", records)
            .field("incoming", &incoming.len())
            .field("unsent", &self.unsent())
            .field("failed", failed)
            .finish_non_exhaustive()
    }
}

// === impl Gather ===

impl<'a, B: Deref<Target = [u8]>> Gather<'a, B> {
    /// The next slices, together of so many bytes, where there are so many.
    fn take(&mut self, mut most: usize) -> impl Iterator<Item = &'a [u8]> {
        std::iter::from_fn(move || {
            while most > 0 {
                let (first, rest) = self.parts.split_first()?;
                let left = &first[self.offset..];
                let count = left.len().min(most);
                (self.offset, most) = (self.offset + count, most - count);
                let piece = &left[..count];
                if self.offset == first.len() {
                    (self.parts, self.offset) = (rest, 0);
                }
                if count > 0 {
                    return Some(piece);
                }
            }
            None
        })
    }
}
