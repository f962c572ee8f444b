use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::limits::{COMPRESS_MIN_BYTES, COMPRESSION_LEVEL, INFLATE_STEP, compressed_bytes};

/// What a sender takes off the end of each message, and a receiver puts back (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// The payload of an empty message (§7.2.3.6).
const EMPTY: u8 = 0x00;

/// Compresses messages, each by itself, so that the same bytes are for every client that agreed to it.
///
/// It takes some 300 KB of memory: one for a thread, or for a server.
pub struct Deflater {
    inner: Compress,
}

/// Inflates messages, each by itself.
///
/// It takes some 40 KB of memory from the first compressed message on: one for a thread.
#[derive(Default)]
pub struct Inflater {
    inner: Option<Decompress>,
}

/// Why a message cannot be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It would have more bytes than allowed.
    #[error("the message is larger than allowed")]
    TooLarge,
    /// It is not what DEFLATE makes.
    #[error("the message is not a deflated one")]
    Malformed,
}

/// Appends bytes to a compressed payload as they are: a block that is not compressed (RFC 1951 §3.2.4), and as many as
/// are needed. What a [`Deflater`] made may follow, so that messages which differ at their beginning share the rest.
pub fn store(bytes: &[u8], out: &mut Vec<u8>) {
    for block in bytes.chunks(u16::MAX.into()) {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

// === impl Deflater ===

impl Deflater {
    /// One that compresses by [`COMPRESSION_LEVEL`].
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Compress::new(Compression::new(COMPRESSION_LEVEL), false) }
    }

    /// The payload of a compressed frame; `None` where the message is better sent as it is.
    pub fn compress(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if message.len() < COMPRESS_MIN_BYTES {
            return None;
        }
        let compressed = self.always(message)?;
        (compressed.len() < message.len()).then_some(compressed)
    }

    /// The same, whether or not it is worth it.
    pub(crate) fn always(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if message.is_empty() {
            return Some(vec![EMPTY]);
        }
        self.inner.reset();
        let mut out = Vec::with_capacity(compressed_bytes(message.len()));
        let mut left = message;
        while !left.is_empty() || out.len() == out.capacity() {
            if out.len() == out.capacity() {
                out.reserve(INFLATE_STEP);
            }
            let before = self.inner.total_in();
            self.inner.compress_vec(left, &mut out, FlushCompress::Sync).ok()?;
            left = left.get(usize::try_from(self.inner.total_in() - before).ok()?..)?;
        }
        let length = out.strip_suffix(&TAIL)?.len();
        out.truncate(length);
        out.shrink_to_fit();
        Some(out)
    }
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

// === impl Inflater ===

impl Inflater {
    /// The message that a compressed payload stands for, if it has no more than so many bytes. No more is made of it than that.
    ///
    /// # Errors
    /// Where it would have more, or is none.
    pub fn inflate(&mut self, payload: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
        let inner = self.inner.get_or_insert_with(|| Decompress::new(false));
        inner.reset(false);
        let mut out = Vec::new();
        for part in [payload, &TAIL] {
            inflate(inner, part, &mut out, max_bytes)?;
        }
        Ok(out)
    }
}

fn inflate(
    inner: &mut Decompress,
    mut input: &[u8],
    out: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<(), InflateError> {
    loop {
        if out.len() == out.capacity() {
            // A byte more than may be, to see whether there is one.
            let room = max_bytes.saturating_add(1).saturating_sub(out.len());
            out.reserve_exact(out.len().max(INFLATE_STEP).min(room));
        }
        let (input_before, output_before) = (inner.total_in(), out.len());
        let status = inner.decompress_vec(input, out, FlushDecompress::Sync);
        let status = status.map_err(|_| InflateError::Malformed)?;
        let taken = usize::try_from(inner.total_in() - input_before).map_err(|_| InflateError::Malformed)?;
        input = input.get(taken..).ok_or(InflateError::Malformed)?;
        if out.len() > max_bytes {
            return Err(InflateError::TooLarge);
        }
        let is_full = out.len() == out.capacity();
        if status == Status::StreamEnd {
            // §7.2.3.4: a block may be a last one, and others may follow.
            inner.reset(false);
        } else if taken == 0 && out.len() == output_before && !input.is_empty() && !is_full {
            return Err(InflateError::Malformed);
        }
        if input.is_empty() && !is_full {
            return Ok(());
        }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}
