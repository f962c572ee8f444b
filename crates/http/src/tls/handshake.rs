//! How a client and the hub agree on keys.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BufMut as _;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{KeyLog, ServerConfig, SupportedCipherSuite};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::keys::{Keys, Scheme, Unusable};
use super::records::Records;
use super::session::Session;
use super::socket::TlsSocket;

/// What the next keys of TLS 1.3 are derived from (RFC 8446 §7.2). The library computes with them, but what it keeps for that
/// takes a kilobyte for each connection.
#[derive(Default)]
struct Secrets(Mutex<[Zeroizing<Vec<u8>>; 2]>);

/// What is to be done next.
enum Step {
    Again,
    Transmit,
    Read,
    Done,
    Fail(io::Error),
}

/// The names of the secrets, of what clients and of what servers send.
const LABELS: [&str; 2] = ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"];
/// What is read at first: more than most clients say.
const FIRST_BYTES: usize = 4 << 10;
/// The most that is kept of what a client says before keys are agreed on: the largest message, and the heads of its records.
const MOST_BYTES: usize = (64 << 10) + (1 << 10);

/// Agrees on keys with a client. Where that fails, the client is told why.
pub(super) async fn accept<T: AsyncRead + AsyncWrite + Unpin>(
    config: &ServerConfig,
    mut io: T,
) -> io::Result<TlsSocket<T>> {
    let secrets = Arc::new(Secrets::default());
    let mut config = config.clone();
    config.key_log = Arc::clone(&secrets) as Arc<dyn KeyLog>;
    let mut connection = UnbufferedServerConnection::new(Arc::new(config)).map_err(invalid)?;
    let (mut incoming, mut outgoing, mut opened) = (Vec::with_capacity(FIRST_BYTES), Vec::new(), Vec::new());
    let mut is_ended = false;
    loop {
        let UnbufferedStatus { mut discard, state } = connection.process_tls_records(&mut incoming);
        let step = match state {
            Ok(ConnectionState::EncodeTlsData(data)) => match encode(data, &mut outgoing) {
                Ok(()) => Step::Again,
                Err(error) => Step::Fail(error),
            },
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Step::Transmit
            }
            Ok(ConnectionState::BlockedHandshake) => Step::Read,
            // What came with the client's last message.
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut step = Step::Again;
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            opened.extend_from_slice(record.payload);
                            discard += record.discard;
                        }
                        Err(error) => step = Step::Fail(invalid(error)),
                    }
                }
                step
            }
            Ok(ConnectionState::PeerClosed) => {
                is_ended = true;
                Step::Again
            }
            Ok(ConnectionState::WriteTraffic(_)) => Step::Done,
            Ok(state) => Step::Fail(invalid(format!("did not expect {state:?}"))),
            Err(error) => Step::Fail(invalid(error)),
        };
        incoming.drain(..discard.min(incoming.len()));
        match step {
            Step::Again => {}
            Step::Transmit => {
                io.write_all(&outgoing).await?;
                io.flush().await?;
                outgoing.clear();
            }
            Step::Done if !connection.is_handshaking() => break,
            Step::Done | Step::Read => {
                let room = MOST_BYTES.saturating_sub(incoming.len());
                if room == 0 {
                    return Err(invalid("what the client says is too long"));
                }
                if io.read_buf(&mut (&mut incoming).limit(room)).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Step::Fail(error) => {
                last_words(&mut connection, &mut outgoing);
                io.write_all(&outgoing).await?;
                io.shutdown().await?;
                return Err(error);
            }
        }
    }
    let is_http2 = connection.alpn_protocol() == Some(b"h2");
    let records = records(connection, &secrets, is_ended)?;
    Ok(TlsSocket::new(io, Session::new(records, incoming, is_http2), opened.into()))
}

/// What is to be said to a client that is refused.
fn last_words(connection: &mut UnbufferedServerConnection, outgoing: &mut Vec<u8>) {
    // Nothing is read any more.
    while connection.wants_write() {
        match connection.process_tls_records(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(data)) => {
                if encode(data, outgoing).is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) -> io::Result<()> {
    let before = outgoing.len();
    loop {
        match data.encode(&mut outgoing[before..]) {
            Ok(count) => {
                outgoing.truncate(before + count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if outgoing.len() == before => {
                outgoing.resize(before + size.required_size, 0);
            }
            Err(error) => return Err(invalid(error)),
        }
    }
}

/// Goes on with what was agreed on.
fn records(connection: UnbufferedServerConnection, logged: &Secrets, is_ended: bool) -> io::Result<Records> {
    let (secrets, kernel) = connection.dangerous_into_kernel_connection().map_err(invalid)?;
    let suite = kernel.negotiated_cipher_suite();
    let [client, server] = std::mem::take(&mut *logged.0.lock().unwrap_or_else(PoisonError::into_inner));
    let limit = match suite {
        SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
    };
    let unusable = |Unusable| invalid("the keys that were agreed on are of no use");
    let (sealed, tx) = secrets.tx;
    let (opened, rx) = secrets.rx;
    let scheme = Scheme::of(suite, &tx);
    let tx = Keys::new(scheme, &tx, &server, sealed).map_err(unusable)?;
    let rx = Keys::new(scheme, &rx, &client, opened).map_err(unusable)?;
    let mut records = Records::new(scheme, tx, rx, limit);
    records.received_end = is_ended;
    Ok(records)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

// === impl Secrets ===

impl KeyLog for Secrets {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if let Some(place) = LABELS.iter().position(|own| *own == label) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = Zeroizing::new(secret.to_vec());
        }
    }

    fn will_log(&self, label: &str) -> bool {
        LABELS.contains(&label)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustls::{ClientConfig, ClientConnection, HandshakeKind};
    use tokio::io::DuplexStream;

    use super::*;
    use crate::tls::testing::{client, server, suites};

    /// Shakes hands, and gives back what the client says at its end, with all of `data` behind it.
    async fn shake(
        config: &Arc<ClientConfig>,
        far: &mut DuplexStream,
        data: &[u8],
    ) -> (ClientConnection, Vec<u8>) {
        let name = "hub".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut said = Vec::new();
        loop {
            said.clear();
            while client.wants_write() {
                client.write_tls(&mut said).unwrap();
            }
            if !client.is_handshaking() {
                break;
            }
            far.write_all(&said).await.unwrap();
            let mut heard = vec![0; 1 << 14];
            let count = far.read(&mut heard).await.unwrap();
            let mut heard = &heard[..count];
            while !heard.is_empty() {
                client.read_tls(&mut heard).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        client.writer().write_all(data).unwrap();
        client.send_close_notify();
        while client.wants_write() {
            client.write_tls(&mut said).unwrap();
        }
        (client, said)
    }

    #[tokio::test]
    async fn what_comes_with_the_last_message_is_read_wherever_it_is_cut() {
        for suite in suites() {
            let (server, config) = (server(suite), Arc::new(client(suite)));
            let data = vec![7; 40_000];
            for cut in [1, 20, 74, 75, 100, 1_000, 16_500, 17_000, 33_000] {
                let (near, mut far) = tokio::io::duplex(1 << 17);
                let talk = async {
                    let (_, said) = shake(&config, &mut far, &data).await;
                    far.write_all(&said[..cut]).await.unwrap();
                    tokio::task::yield_now().await;
                    far.write_all(&said[cut..]).await.unwrap();
                };
                let listen = async {
                    let mut socket = accept(&server, near).await.unwrap();
                    let mut read = Vec::new();
                    socket.read_to_end(&mut read).await.unwrap();
                    read
                };
                let (read, ()) = tokio::join!(listen, talk);
                assert!(read == data, "{suite:?}, {cut}");
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_comes_back_resumes_its_session_under_other_keys() {
        for suite in suites() {
            let (server, config) = (server(suite), Arc::new(client(suite)));
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let (near, mut far) = tokio::io::duplex(1 << 17);
                let talk = async {
                    let (mut client, said) = shake(&config, &mut far, b"hello").await;
                    far.write_all(&said).await.unwrap();
                    let mut heard = Vec::new();
                    far.read_to_end(&mut heard).await.unwrap();
                    let mut heard = &heard[..];
                    while !heard.is_empty() && client.read_tls(&mut heard).unwrap() > 0 {
                        client.process_new_packets().unwrap();
                    }
                    assert_eq!(client.handshake_kind(), Some(kind), "{suite:?}");
                };
                let listen = async {
                    let mut socket = accept(&server, near).await.unwrap();
                    let mut read = Vec::new();
                    socket.read_to_end(&mut read).await.unwrap();
                    assert_eq!(read, b"hello");
                    socket.shutdown().await.unwrap();
                };
                tokio::join!(listen, talk);
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_is_refused_is_told_why() {
        let server = server(suites()[0]);
        // A ClientHello that is none, and a record that is too long.
        for said in [&[22, 3, 1, 0, 9, 1, 0, 0, 5, 1, 2, 3, 4, 5][..], &[22, 3, 1, 0xff, 0xff]] {
            let (near, mut far) = tokio::io::duplex(1 << 10);
            far.write_all(said).await.unwrap();
            assert!(accept(&server, near).await.is_err());
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).await.unwrap();
            // As the library says it: decode_error.
            assert_eq!(heard, [21, 3, 3, 0, 2, 2, 50], "{said:?}");
        }
    }
}
