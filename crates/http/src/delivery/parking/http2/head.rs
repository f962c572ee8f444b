use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Reads the head of a response that a shard wrote for HTTP/1.1: how long it is, and what it says.
pub(super) fn read(bytes: &[u8]) -> Option<(usize, StatusCode, HeaderMap)> {
    let length = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let mut lines = bytes[..length - 4].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let status = StatusCode::from_bytes(lines.next()?.split(|byte| *byte == b' ').nth(1)?).ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let colon = memchr::memchr(b':', line)?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii_start()).ok()?;
        headers.append(name, value);
    }
    Some((length, status, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let response = http::Response::builder()
            .status(200)
            .header("content-type", "text/event-stream")
            .header("vary", "accept")
            .header("vary", "origin")
            .header("x", HeaderValue::from_bytes(b"\xff: y").unwrap())
            .body(())
            .unwrap();
        let mut head = Vec::new();
        let parts = response.into_parts().0;
        crate::delivery::head::write(&parts, &mut head);
        head.extend_from_slice(b"\r\nretry: 1\n\n");
        let (length, status, headers) = read(&head).unwrap();
        assert_eq!(&head[length..], b"retry: 1\n\n");
        assert_eq!((status, headers), (parts.status, parts.headers));
        for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 x\r\n\r\n", b"HTTP/1.1 200 \r\nx\r\n\r\n"]
        {
            assert!(read(bytes).is_none());
        }
    }
}
