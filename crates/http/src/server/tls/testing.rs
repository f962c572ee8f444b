//! A client whose records are made by hand.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, KeyLog, ServerConfig, SignatureScheme, SupportedCipherSuite,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::handshake;
use super::keys::{HEAD_BYTES, Keys, Scheme, content};
use super::session::{Read, Session};

/// The other end of a connection, which may send whatever it likes.
pub(super) struct Client {
    pub(super) tx: Keys,
    pub(super) rx: Keys,
}

/// Takes whatever certificate there is.
#[derive(Debug)]
struct Trust;

#[derive(Debug, Default)]
struct Logged(Mutex<[Vec<u8>; 2]>);

/// Every suite that is offered.
pub(super) fn suites() -> Vec<SupportedCipherSuite> {
    rustls::crypto::aws_lc_rs::default_provider().cipher_suites
}

pub(super) fn is_tls13(suite: SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

/// A hub's end of a connection after its handshake with this suite, and the client's.
pub(super) fn agree(suite: SupportedCipherSuite) -> (Box<Session>, Client) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(shake_hands(suite))
}

/// How a hub is set up, with a certificate that goes with this suite.
pub(super) fn server(suite: SupportedCipherSuite) -> ServerConfig {
    let key = if format!("{:?}", suite.suite()).contains("RSA") {
        KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap()
    } else {
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
    };
    let certificate = CertificateParams::new(vec!["hub".into()]).unwrap().self_signed(&key).unwrap();
    let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config.enable_secret_extraction = true;
    config
}

/// How a client is set up that offers this suite alone.
pub(super) fn client(suite: SupportedCipherSuite) -> ClientConfig {
    let all = rustls::crypto::aws_lc_rs::default_provider();
    let provider = Arc::new(CryptoProvider { cipher_suites: vec![suite], ..all });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trust))
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    config
}

async fn shake_hands(suite: SupportedCipherSuite) -> (Box<Session>, Client) {
    let (server, mut client) = (server(suite), client(suite));
    let logged = Arc::new(Logged::default());
    client.key_log = Arc::clone(&logged) as Arc<dyn KeyLog>;
    let (near, far) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("hub").unwrap();
    let (server, client) = tokio::join!(handshake::accept(&server, near), connector.connect(name, far));
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    // What the server says behind its handshake is read before the first of its data.
    server.write_all(b"!").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'!');
    let (_, session, opened) = server.into_parts();
    assert!(opened.is_empty());
    let (_, client) = client.into_inner();
    let secrets = client.dangerous_extract_secrets().unwrap();
    let [own, others] = std::mem::take(&mut *logged.0.lock().unwrap());
    let scheme = Scheme::of(suite, &secrets.tx.1);
    let tx = Keys::new(scheme, &secrets.tx.1, &own, secrets.tx.0).unwrap();
    let rx = Keys::new(scheme, &secrets.rx.1, &others, secrets.rx.0).unwrap();
    (session, Client { tx, rx })
}

// === impl Client ===

impl Client {
    /// A record of this content.
    pub(super) fn seal(&mut self, content: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.tx.seal(content, std::iter::once(bytes), &mut out).unwrap();
        out
    }

    pub(super) fn data(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.seal(content::APPLICATION_DATA, bytes)
    }

    /// Opens all records, and follows the updates of keys among them.
    pub(super) fn open(&mut self, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut opened = Vec::new();
        while !bytes.is_empty() {
            let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]])) + HEAD_BYTES;
            let (record, rest) = bytes.split_at(length);
            let mut record = record.to_vec();
            let (content, place) = self.rx.open(&mut record).unwrap();
            if content == content::HANDSHAKE {
                assert_eq!(record[place.clone()], [24, 0, 0, 1, 0]);
                self.rx.update().unwrap();
            }
            opened.push((content, record[place].to_vec()));
            bytes = rest;
        }
        opened
    }
}

/// Has a session read all of these bytes, and says what it read, how that ended, and what it had to say.
pub(super) fn read(session: &mut Session, mut bytes: &[u8]) -> (Vec<u8>, io::Result<Read>, Vec<u8>) {
    let (mut data, mut said) = (Vec::new(), Vec::new());
    loop {
        let receive = |room: &mut [u8]| {
            let count = bytes.len().min(room.len());
            room[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            Ok((count > 0).then_some(count))
        };
        let read = session.read(receive, |piece| data.extend_from_slice(piece));
        session.flush(|bytes| take(&mut said, bytes, usize::MAX)).unwrap();
        if !matches!(read, Ok(Read::Some)) {
            return (data, read, said);
        }
    }
}

/// A socket that takes so many bytes.
pub(super) fn take(socket: &mut Vec<u8>, bytes: &[u8], most: usize) -> io::Result<Option<usize>> {
    let count = bytes.len().min(most);
    socket.extend_from_slice(&bytes[..count]);
    Ok((count > 0).then_some(count))
}

// === impl Trust ===

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

// === impl Logged ===

impl KeyLog for Logged {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let place = match label {
            "CLIENT_TRAFFIC_SECRET_0" => 0,
            "SERVER_TRAFFIC_SECRET_0" => 1,
            _ => return,
        };
        self.0.lock().unwrap()[place] = secret.to_vec();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
