use serde_json::Value;

use super::{Block, Head, Wire};

/// An answer that goes on and on.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) head: Head,
    wire: Wire,
    buffer: Vec<u8>,
    ended: bool,
}

// === impl Stream ===

impl Stream {
    /// Reads the head of the answer to a request that was sent.
    pub(crate) async fn new(mut wire: Wire) -> Self {
        let head = wire.head().await;
        Self::of(head, wire)
    }

    /// Goes on after the head of the answer.
    pub(crate) fn of(head: Head, wire: Wire) -> Self {
        assert_eq!(head.status, 200);
        // Without an end that is declared, it ends with the connection, which then is said.
        assert!(
            head.is_chunked() || head.version == "HTTP/1.0" || head.header("connection") == Some("close")
        );
        Self { head, wire, buffer: Vec::new(), ended: false }
    }

    /// The next bytes must be these.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            while self.buffer.len() < text.len() && self.more().await {}
            let count = text.len().min(self.buffer.len());
            let came = String::from_utf8(self.buffer.drain(..count).collect()).unwrap();
            assert_eq!(came, text, "at {caller}");
        }
    }

    /// The next block of an event stream, as it came.
    pub(crate) async fn text(&mut self) -> String {
        self.take_until(b"\n\n").await.expect("a block, not the end")
    }

    /// The next block of an event stream, unless it ends.
    pub(crate) async fn try_text(&mut self) -> Option<String> {
        self.take_until(b"\n\n").await
    }

    /// The next block of an event stream.
    pub(crate) async fn block(&mut self) -> Block {
        Block::new(&self.text().await)
    }

    /// The next block that is not a heartbeat.
    pub(crate) async fn event(&mut self) -> Block {
        loop {
            let block = self.block().await;
            if !block.is_comment {
                return block;
            }
        }
    }

    /// The next line of a stream of JSON lines that is not a heartbeat.
    pub(crate) async fn line(&mut self) -> Value {
        loop {
            let line = self.take_until(b"\n").await.expect("a line, not the end");
            if line != "\n" {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }

    /// The next line that is not empty, as it is.
    pub(crate) async fn raw_line(&mut self) -> String {
        loop {
            let line = self.take_until(b"\n").await.unwrap();
            if line != "\n" {
                return line;
            }
        }
    }

    /// Reads to the end of the answer, which must be a proper one.
    pub(crate) async fn end(mut self) -> String {
        while self.more().await {}
        String::from_utf8(self.buffer).unwrap()
    }

    /// Reads to the end of the answer, and gives back the connection if it serves on.
    pub(crate) async fn end_and_go_on(mut self) -> (String, Option<Wire>) {
        while self.more().await {}
        (String::from_utf8(self.buffer).unwrap(), self.head.is_chunked().then_some(self.wire))
    }

    /// Reads to the end of the connection, however it ends.
    pub(crate) async fn broken_off(mut self) -> Vec<u8> {
        self.wire.rest().await
    }

    async fn take_until(&mut self, end: &[u8]) -> Option<String> {
        let mut from = 0;
        loop {
            if let Some(at) = self.buffer[from..].windows(end.len()).position(|window| window == end) {
                let taken = self.buffer.drain(..from + at + end.len()).collect();
                return Some(String::from_utf8(taken).unwrap());
            }
            from = self.buffer.len().saturating_sub(end.len() - 1);
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let chunk = if self.head.is_chunked() { self.wire.chunk().await } else { self.wire.piece().await };
        match chunk {
            Some(chunk) => self.buffer.extend(chunk),
            None => self.ended = true,
        }
        !self.ended
    }
}
