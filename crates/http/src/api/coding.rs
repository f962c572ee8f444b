//! Content codings of publications (RFC 9110 §8.4).

use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use tidings_protocol::ProblemKind;

use crate::api::body::too_large;
use crate::api::problem::Refusal;
use crate::defaults;
use crate::delivery::memory::Portion;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

/// What the codings are called, as `Accept-Encoding` has it.
pub(crate) const KNOWN: &str = "gzip, deflate, zstd";
/// What the library says where there is not enough room for what a body holds.
const NO_ROOM: &str = "Destination buffer is too small";

// === impl Coding ===

impl Coding {
    /// How the body of a request is packed; `None` where it is not.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            let value = value.to_str().map_err(|_| unsupported("that"))?;
            for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let coding = match name.to_ascii_lowercase().as_str() {
                    "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "zstd" => Self::Zstd,
                    _ => return Err(unsupported(name)),
                };
                if found.replace(coding).is_some() {
                    return Err(unsupported("several codings one upon another"));
                }
            }
        }
        Ok(found)
    }

    /// Unpacks a body to at most `limit` bytes. What it takes is counted before it is taken, beside the packed body.
    pub(crate) fn decode(
        self,
        packed: &[u8],
        limit: usize,
        memory: &mut Portion,
    ) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Gzip => self.drain(MultiGzDecoder::new(packed), packed.len(), limit, memory),
            Self::Deflate => {
                let mut decoder = ZlibDecoder::new(packed);
                let whole = self.drain(&mut decoder, packed.len(), limit, memory)?;
                if decoder.get_ref().is_empty() {
                    Ok(whole)
                } else {
                    Err(self.malformed(&"more follows its end"))
                }
            }
            Self::Zstd => self.decode_zstd(packed, limit, memory),
        }
    }

    fn drain(
        self,
        mut decoder: impl Read,
        packed: usize,
        limit: usize,
        memory: &mut Portion,
    ) -> Result<Vec<u8>, Refusal> {
        let mut whole = Vec::new();
        let mut piece = [0; defaults::CODING_PIECE_BYTES];
        loop {
            let count = decoder.read(&mut piece).map_err(|error| self.malformed(&error))?;
            if count == 0 {
                return Ok(whole);
            }
            let length = whole.len() + count;
            if length > limit {
                return Err(too_large(limit));
            }
            if length > whole.capacity() {
                let capacity = (2 * length).min(limit);
                grow(memory, packed + capacity)?;
                whole.reserve_exact(capacity - whole.len());
            }
            whole.extend_from_slice(&piece[..count]);
        }
    }

    /// All at once, into room that grows until it is enough: so what was unpacked is what the rest refers to, and no window
    /// is kept beside it, whose size the sender chooses.
    fn decode_zstd(self, packed: &[u8], limit: usize, memory: &mut Portion) -> Result<Vec<u8>, Refusal> {
        let mut room = (4 * packed.len()).max(defaults::CODING_PIECE_BYTES);
        loop {
            room = room.min(limit);
            grow(memory, packed.len() + room)?;
            match zstd::bulk::decompress(packed, room) {
                Ok(whole) if whole.len() <= limit => return Ok(whole),
                Ok(_) => return Err(too_large(limit)),
                Err(error) if error.to_string() != NO_ROOM => return Err(self.malformed(&error)),
                Err(_) if room == limit => return Err(too_large(limit)),
                Err(_) => room *= 4,
            }
        }
    }

    fn malformed(self, error: &dyn std::fmt::Display) -> Refusal {
        let name = match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        };
        Refusal::data(format!("the body is not {name}, as its `Content-Encoding` says: {error}"))
    }
}

fn grow(memory: &mut Portion, bytes: usize) -> Result<(), Refusal> {
    memory.grow(bytes).map_err(|short| memory.refuse(short, "bodies that are under way"))
}

fn unsupported(name: &str) -> Refusal {
    let shown = crate::api::query::shown(name);
    let detail = format!("`Content-Encoding` is one of {KNOWN}, or absent, not `{shown}`");
    Refusal::new(ProblemKind::UnsupportedMediaType, detail).accept_encoding(KNOWN)
}
