use std::time::SystemTime;

use http::header::{CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;

/// Writes the status line and the fields of a response, without the empty line that ends the head. Fields that
/// say how the body is framed are left out: who sends the body knows that.
pub(crate) fn write(parts: &Parts, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &parts.headers {
        if [CONTENT_LENGTH, TRANSFER_ENCODING, DATE].contains(name) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the fields that end the head of a stream: it lasts until the connection is closed.
pub(crate) fn write_stream_end(out: &mut Vec<u8>) {
    let date = httpdate::fmt_http_date(SystemTime::now());
    out.extend_from_slice(format!("date: {date}\r\nconnection: close\r\n\r\n").as_bytes());
}

/// The head of a response with which a connection becomes something else.
pub(crate) fn upgrade_head(parts: &Parts) -> Vec<u8> {
    let mut head = Vec::new();
    write(parts, &mut head);
    let date = httpdate::fmt_http_date(SystemTime::now());
    head.extend_from_slice(format!("date: {date}\r\n\r\n").as_bytes());
    head
}
