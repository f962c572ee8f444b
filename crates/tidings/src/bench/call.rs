//! A request whose answer is waited for: what is to be asked before a run.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::body::Body;
use super::head::Head;

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("failed to reach the server at {0}: {1}")]
    Connection(SocketAddr, std::io::Error),
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("the server ended the connection before its answer was whole")]
    Short,
    #[error("failed to read the server's answer: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends a request, and returns the body of the answer.
pub(crate) fn call(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>, CallError> {
    let failed = |error| CallError::Connection(server, error);
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    stream.write_all(request).map_err(failed)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).map_err(failed)?;
        answer.extend_from_slice(&buffer[..length]);
        if let Some(content) = content(&answer, length == 0)? {
            return Ok(content);
        }
    }
}

/// The body, once it is whole.
fn content(answer: &[u8], ended: bool) -> Result<Option<Vec<u8>>, CallError> {
    let head = Head::read(answer).map_err(|error| CallError::Answer(error.into()))?;
    let Some((head, length)) = head else { return if ended { Err(CallError::Short) } else { Ok(None) } };
    if !(200..300).contains(&head.status) {
        return Err(CallError::Status(head.status));
    }
    let (mut body, mut rest, mut out) = (Body::new(head.length), &answer[length..], Vec::new());
    while let Some(piece) = body.next(&mut rest).map_err(|error| CallError::Answer(error.into()))? {
        out.extend_from_slice(piece);
    }
    match body {
        Body::Ended => Ok(Some(out)),
        Body::UntilClose if ended => Ok(Some(out)),
        _ if ended => Err(CallError::Short),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_used_once_it_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        for end in 0..answer.len() {
            assert!(content(&answer[..end], false).unwrap().is_none());
            assert!(matches!(content(&answer[..end], true), Err(CallError::Short)), "{end}");
        }
        assert_eq!(content(answer, false).unwrap().unwrap(), b"ab");
        assert!(matches!(content(b"HTTP/1.1 500 x\r\n\r\n", false), Err(CallError::Status(500))));
    }
}
