//! How a client and the hub agree on keys.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut as _, Bytes};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{KeyLog, ServerConfig, SupportedCipherSuite};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::keys::{HEAD_BYTES, Keys, Scheme, Unusable};
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
    let (mut incoming, mut outgoing) = (Vec::with_capacity(FIRST_BYTES), Vec::new());
    // How much of what came the library is given: one record after the other, and none beyond the one that ends the
    // handshake. It would act on a key update in it, and its answer to that would be lost with it.
    let mut given = 0;
    loop {
        let shown = if first_record(&incoming[given..]).is_some() { given } else { incoming.len() };
        let UnbufferedStatus { discard, state } = connection.process_tls_records(&mut incoming[..shown]);
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
            Ok(ConnectionState::WriteTraffic(_)) => Step::Done,
            Ok(ConnectionState::PeerClosed) => Step::Fail(io::ErrorKind::UnexpectedEof.into()),
            Ok(state) => Step::Fail(invalid(format!("did not expect {state:?}"))),
            Err(error) => Step::Fail(invalid(error)),
        };
        let discard = discard.min(incoming.len());
        incoming.drain(..discard);
        given = given.saturating_sub(discard);
        match step {
            Step::Again => {}
            Step::Transmit => {
                io.write_all(&outgoing).await?;
                io.flush().await?;
                outgoing.clear();
            }
            Step::Done if !connection.is_handshaking() => break,
            Step::Done | Step::Read => {
                if let Some(length) = first_record(&incoming[given..]) {
                    given += length;
                    continue;
                }
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
    let records = records(connection, &secrets)?;
    Ok(TlsSocket::new(io, Session::new(records, incoming, is_http2), Bytes::new()))
}

/// How long the first record of `bytes` is, where it is there as a whole.
fn first_record(bytes: &[u8]) -> Option<usize> {
    let [.., high, low] = *bytes.first_chunk::<HEAD_BYTES>()?;
    let length = HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
    (length <= bytes.len()).then_some(length)
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
fn records(connection: UnbufferedServerConnection, logged: &Secrets) -> io::Result<Records> {
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
    Ok(Records::new(scheme, tx, rx, limit))
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
    use std::io::{Read as _, Write as _};

    use rustls::{ClientConfig, ClientConnection, HandshakeKind};
    use tokio::io::DuplexStream;

    use super::*;
    use crate::server::tls::testing::{client, is_tls13, server, suites};

    /// Shakes hands, and gives back what the client says at its end, with what it is to `say` behind it.
    async fn shake(
        config: &Arc<ClientConfig>,
        far: &mut DuplexStream,
        say: impl FnOnce(&mut ClientConnection),
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
        say(&mut client);
        while client.wants_write() {
            client.write_tls(&mut said).unwrap();
        }
        (client, said)
    }

    /// Sends data, and nothing more.
    fn say(client: &mut ClientConnection, data: &[u8]) {
        client.writer().write_all(data).unwrap();
        client.send_close_notify();
    }

    #[tokio::test]
    async fn what_comes_with_the_last_message_is_read_wherever_it_is_cut() {
        for suite in suites() {
            let (server, config) = (server(suite), Arc::new(client(suite)));
            let data = vec![7; 40_000];
            for cut in [1, 20, 74, 75, 100, 1_000, 16_500, 17_000, 33_000] {
                let (near, mut far) = tokio::io::duplex(1 << 17);
                let talk = async {
                    let (_, said) = shake(&config, &mut far, |client| say(client, &data)).await;
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

    /// Nothing of it is the library's: what it would have said to that would never have been sent.
    #[tokio::test]
    async fn a_key_update_that_comes_with_the_last_message_is_answered() {
        for suite in suites().into_iter().filter(|suite| is_tls13(*suite)) {
            let (server, config) = (server(suite), Arc::new(client(suite)));
            let (near, mut far) = tokio::io::duplex(1 << 17);
            let talk = async {
                let (mut client, said) = shake(&config, &mut far, |client| {
                    for data in [&b"hel"[..], b"l", b"o"] {
                        client.writer().write_all(data).unwrap();
                        client.refresh_traffic_keys().unwrap();
                    }
                    client.send_close_notify();
                })
                .await;
                far.write_all(&said).await.unwrap();
                let mut heard = Vec::new();
                far.read_to_end(&mut heard).await.unwrap();
                let (mut heard, mut read) = (&heard[..], Vec::new());
                while !heard.is_empty() && client.read_tls(&mut heard).unwrap() > 0 {
                    client.process_new_packets().unwrap();
                }
                client.reader().read_to_end(&mut read).unwrap();
                assert_eq!(read, b"good day", "{suite:?}");
            };
            let listen = async {
                let mut socket = accept(&server, near).await.unwrap();
                let mut read = Vec::new();
                socket.read_to_end(&mut read).await.unwrap();
                assert_eq!(read, b"hello", "{suite:?}");
                socket.write_all(b"good day").await.unwrap();
                socket.shutdown().await.unwrap();
            };
            tokio::join!(listen, talk);
        }
    }

    /// A request that is there before the connection ends is read, as it is in clear.
    #[tokio::test]
    async fn what_comes_with_the_last_message_is_read_before_the_end_of_the_connection() {
        for suite in suites() {
            let (server, config) = (server(suite), Arc::new(client(suite)));
            let (near, mut far) = tokio::io::duplex(1 << 17);
            let talk = async {
                let (_, said) =
                    shake(&config, &mut far, |client| client.writer().write_all(b"hello").unwrap()).await;
                far.write_all(&said).await.unwrap();
                far.shutdown().await.unwrap();
            };
            let listen = async {
                let mut socket = accept(&server, near).await.unwrap();
                let mut read = [0; 5];
                socket.read_exact(&mut read).await.unwrap();
                assert_eq!(&read, b"hello", "{suite:?}");
                // It was cut off, and not ended.
                assert_eq!(socket.read(&mut read).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            };
            tokio::join!(listen, talk);
        }
    }

    #[tokio::test]
    async fn a_client_that_comes_back_resumes_its_session_under_other_keys() {
        for suite in suites() {
            let (server, config) = (server(suite), Arc::new(client(suite)));
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let (near, mut far) = tokio::io::duplex(1 << 17);
                let talk = async {
                    let (mut client, said) = shake(&config, &mut far, |client| say(client, b"hello")).await;
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
