//! Bodies of requests on their way, as far as the server's windows let them.

use std::collections::{HashMap, VecDeque};

use super::frame::{DATA, END_STREAM, FRAME_BYTES, write_head};

/// What the server lets a client send.
#[derive(Debug)]
pub(super) struct Uploads {
    /// Room on the connection.
    window: i64,
    /// The room that each stream begins with.
    initial: i64,
    /// What each stream that was given more room has beside that.
    widened: HashMap<u32, i64>,
    bodies: VecDeque<Upload>,
}

#[derive(Debug)]
struct Upload {
    stream: u32,
    rest: Vec<u8>,
    sent: i64,
}

const DEFAULT_WINDOW: i64 = 65_535;

// === impl Uploads ===

impl Default for Uploads {
    fn default() -> Self {
        Self {
            window: DEFAULT_WINDOW,
            initial: DEFAULT_WINDOW,
            widened: HashMap::new(),
            bodies: VecDeque::new(),
        }
    }
}

impl Uploads {
    pub(super) fn add(&mut self, stream: u32, body: &[u8]) {
        self.bodies.push_back(Upload { stream, rest: body.to_vec(), sent: 0 });
    }

    pub(super) fn set_initial(&mut self, bytes: u32) {
        self.initial = bytes.into();
    }

    pub(super) fn widen(&mut self, stream: u32, bytes: u32) {
        if stream == 0 {
            self.window += i64::from(bytes);
        } else if self.bodies.iter().any(|upload| upload.stream == stream) {
            *self.widened.entry(stream).or_default() += i64::from(bytes);
        }
    }

    /// So many bytes were sent that are no body.
    pub(super) fn count(&mut self, bytes: usize) {
        self.window -= bytes as i64;
    }

    /// Writes frames of what there is room for.
    pub(super) fn send(&mut self, out: &mut Vec<u8>) {
        let (window, initial, widened) = (&mut self.window, self.initial, &self.widened);
        self.bodies.retain_mut(|upload| {
            let stream = upload.stream;
            loop {
                let own = initial + widened.get(&stream).copied().unwrap_or_default() - upload.sent;
                let room = usize::try_from(own.min(*window)).unwrap_or_default();
                let length = upload.rest.len().min(FRAME_BYTES).min(room);
                if length == 0 {
                    return true;
                }
                let end = length == upload.rest.len();
                write_head(length, DATA, if end { END_STREAM } else { 0 }, stream, out);
                out.extend(upload.rest.drain(..length));
                *window -= length as i64;
                upload.sent += length as i64;
                if end {
                    return false;
                }
            }
        });
        let bodies = &self.bodies;
        self.widened.retain(|stream, _| bodies.iter().any(|upload| upload.stream == *stream));
    }
}
