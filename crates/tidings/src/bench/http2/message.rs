//! Requests as browsers write them, and what matters of answers.

use crate::bench::head::{Head, Length};

/// The fields of an answer that matter here.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    etag: Option<String>,
    last_modified: Option<String>,
    next_offset: Option<String>,
}

// === impl Answer ===

impl Answer {
    pub(super) fn take(&mut self, name: &str, value: &str) {
        match name {
            ":status" => self.status = value.parse().unwrap_or_default(),
            "etag" => self.etag = Some(value.to_owned()),
            "last-modified" => self.last_modified = Some(value.to_owned()),
            "stream-next-offset" => self.next_offset = Some(value.to_owned()),
            _ => {}
        }
    }

    pub(super) fn head(&self) -> Head<'_> {
        Head {
            status: self.status,
            length: Length::UntilClose,
            close: false,
            etag: self.etag.as_deref(),
            last_modified: self.last_modified.as_deref(),
            next_offset: self.next_offset.as_deref(),
        }
    }
}

/// The head of a request of HTTP/1.1, and its body.
pub(super) fn split(request: &[u8]) -> (&str, &[u8]) {
    let end = memchr::memmem::find(request, b"\r\n\r\n").unwrap_or(request.len());
    let body = request.get(end + 4..).unwrap_or_default();
    (str::from_utf8(&request[..end]).unwrap_or_default(), body)
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_socket(head: &str) -> bool {
    head.contains("\r\nUpgrade: websocket")
}

/// The fields of a request in the form and order that browsers give them: names in lower case, each cookie by itself.
pub(super) fn fields(head: &str, is_tls: bool) -> Vec<(String, &str)> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let scheme = if is_tls { "https" } else { "http" };
    let mut fields: Vec<_> = [(":method", method), (":authority", ""), (":scheme", scheme), (":path", path)]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    let is_socket = is_socket(head);
    if is_socket {
        // RFC 8441 §4: what is said of the connection over HTTP/1.1 is said of the stream.
        fields[0].1 = "CONNECT";
        fields.push((":protocol".to_owned(), "websocket"));
    }
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match name {
            "Host" => fields[1].1 = value,
            // There is none over HTTP/2.
            "Connection" => {}
            "Upgrade" | "Sec-WebSocket-Key" if is_socket => {}
            "Cookie" => fields.extend(value.split("; ").map(|cookie| ("cookie".to_owned(), cookie))),
            _ => fields.push((name.to_ascii_lowercase(), value)),
        }
    }
    fields
}
