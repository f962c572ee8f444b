//! A connection on which one thing is asked at a time, and which tells when each piece of the answer came.

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::bench::body::Body;
use crate::bench::connection::ConnectionError;
use crate::bench::head::Head;
use crate::bench::server::{Server, Tls};

#[derive(Debug)]
pub(super) struct Exchange {
    wire: Wire,
    /// What has come and was not looked at.
    unread: Vec<u8>,
}

#[derive(Debug)]
enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// The head of an answer, and how far its body has come.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    fields: Vec<(String, String)>,
    body: Body,
}

/// Why nothing comes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("nothing came in time")]
    Late,
    #[error("the connection was ended")]
    Ended,
    #[error("{0}")]
    Failed(String),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What a read waits for at least: none at all would be for ever.
const LEAST_WAIT: Duration = Duration::from_millis(1);
const BUFFER_BYTES: usize = 16 << 10;
/// The most of an answer that is kept as a whole.
const BODY_BYTES: usize = 8 << 20;

// === impl Exchange ===

impl Exchange {
    pub(super) fn open(server: &Server) -> Result<Self, Fault> {
        Self::over(server, server.tls.as_ref())
    }

    /// The same, where the server may choose among these protocols.
    pub(super) fn offering(server: &Server, protocols: &[&[u8]]) -> Result<Self, Fault> {
        let tls = server.tls.as_ref().map(|tls| tls.offering(protocols));
        Self::over(server, tls.as_ref())
    }

    fn over(server: &Server, tls: Option<&Tls>) -> Result<Self, Fault> {
        let socket = TcpStream::connect_timeout(&server.address, CONNECT_TIMEOUT)
            .map_err(|error| Fault::Failed(format!("failed to connect: {error}")))?;
        let ready = socket.set_nodelay(true).and_then(|()| socket.set_write_timeout(Some(CONNECT_TIMEOUT)));
        ready
            .and_then(|()| socket.set_read_timeout(Some(CONNECT_TIMEOUT)))
            .map_err(|error| Fault::of(&error))?;
        let Some(tls) = tls else { return Ok(Self { wire: Wire::Clear(socket), unread: Vec::new() }) };
        let mut session = tls.session().map_err(|error| Fault::Failed(error.to_string()))?;
        let mut socket = socket;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|error| {
                let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
                tls.map_or_else(
                    || Fault::of(&error),
                    |tls| Fault::Failed(ConnectionError::of_tls(tls).to_string()),
                )
            })?;
        }
        Ok(Self { wire: Wire::Tls(Box::new(StreamOwned::new(session, socket))), unread: Vec::new() })
    }

    /// What TLS agreed on: its version, and the protocol that the server chose.
    pub(super) fn agreed(&self) -> Option<(String, Option<String>)> {
        let Wire::Tls(stream) = &self.wire else { return None };
        let version = format!("{:?}", stream.conn.protocol_version()?).replace("TLSv1_", "TLS 1.");
        let protocol = stream.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        Some((version, protocol))
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = match &mut self.wire {
            Wire::Clear(socket) => socket.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        sent.map_err(|error| Fault::of(&error))
    }

    /// Waits for the head of an answer.
    pub(super) fn head(&mut self, deadline: Instant) -> Result<Answer, Fault> {
        loop {
            let read = Head::read(&self.unread).map_err(|error| Fault::Failed(error.to_string()))?;
            let Some((head, length)) = read else {
                self.fill(deadline)?;
                continue;
            };
            let (status, body) = (head.status, Body::new(head.length));
            let head: Vec<u8> = self.unread.drain(..length).collect();
            // What comes before the answer says nothing, but where it is the answer.
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let text = String::from_utf8_lossy(&head);
            let fields = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
            let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
            return Ok(Answer { status, fields: fields.collect(), body });
        }
    }

    /// The next piece of an answer; `None` at its end.
    pub(super) fn piece(&mut self, answer: &mut Answer, deadline: Instant) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            let mut input = &*self.unread;
            let piece = answer.body.next(&mut input).map_err(|error| Fault::Failed(error.to_string()))?;
            let (piece, rest) = (piece.map(<[u8]>::to_vec), input.len());
            self.unread.drain(..self.unread.len() - rest);
            match piece {
                Some(piece) if !piece.is_empty() => return Ok(Some(piece)),
                _ if answer.body == Body::Ended => return Ok(None),
                _ => {}
            }
            match self.fill(deadline) {
                Err(Fault::Ended) if answer.body == Body::UntilClose => return Ok(None),
                filled => filled?,
            }
        }
    }

    /// All of an answer.
    pub(super) fn body(&mut self, answer: &mut Answer, deadline: Instant) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(answer, deadline)? {
            body.extend_from_slice(&piece);
            if body.len() > BODY_BYTES {
                return Err(Fault::Failed("the answer is too large".into()));
            }
        }
        Ok(body)
    }

    /// So many bytes as they come, whatever they are.
    pub(super) fn bytes(&mut self, count: usize, deadline: Instant) -> Result<Vec<u8>, Fault> {
        while self.unread.len() < count {
            self.fill(deadline)?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// Reads once.
    fn fill(&mut self, deadline: Instant) -> Result<(), Fault> {
        let wait = deadline.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Err(Fault::Late);
        }
        let mut buffer = [0; BUFFER_BYTES];
        let socket = match &self.wire {
            Wire::Clear(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        };
        socket.set_read_timeout(Some(wait.max(LEAST_WAIT))).map_err(|error| Fault::of(&error))?;
        let read = match &mut self.wire {
            Wire::Clear(socket) => socket.read(&mut buffer),
            Wire::Tls(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(0) => Err(Fault::Ended),
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(Fault::of(&error)),
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }
}

// === impl Fault ===

impl Fault {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Late,
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Ended,
            _ => Self::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What somebody who is asked once answers with.
    fn answered(pieces: &'static [&'static [u8]]) -> Exchange {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { address: listener.local_addr().unwrap(), tls: None, http2: false };
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = [0; 3];
            socket.read_exact(&mut asked).unwrap();
            for piece in pieces {
                socket.write_all(piece).unwrap();
            }
        });
        let mut exchange = Exchange::open(&server).unwrap();
        exchange.send(b"ask").unwrap();
        exchange
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn an_answer_comes_in_whatever_pieces() {
        let mut exchange = answered(&[
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nServer: some",
            b"body\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"2\r\nde\r\n0\r\n\r\n",
        ]);
        let mut answer = exchange.head(soon()).unwrap();
        assert_eq!((answer.status, answer.field("server")), (200, Some("somebody")));
        assert_eq!(exchange.body(&mut answer, soon()).unwrap(), b"abcde");
        assert_eq!(exchange.head(soon()).unwrap_err(), Fault::Ended);
    }

    #[test]
    fn what_ends_with_the_connection_has_an_end() {
        let mut exchange = answered(&[b"HTTP/1.1 200 OK\r\n\r\nabc"]);
        let mut answer = exchange.head(soon()).unwrap();
        assert_eq!(exchange.body(&mut answer, soon()).unwrap(), b"abc");
        let mut cut = answered(&[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"]);
        let mut answer = cut.head(soon()).unwrap();
        assert_eq!(cut.body(&mut answer, soon()).unwrap_err(), Fault::Ended);
    }

    #[test]
    fn what_does_not_come_is_not_waited_for_without_end() {
        let mut exchange = answered(&[b"HTTP/1.1 200 OK\r\n"]);
        assert!(matches!(exchange.head(Instant::now()), Err(Fault::Late)));
    }
}
