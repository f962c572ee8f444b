//! TLS 1.3 as far as it must be: the handshake is rustls's, and after it each record is sealed and opened with its key. There are no
//! key updates, and nothing is checked that does not have to be.

use std::error::Error;
use std::io::Read as _;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ConnectionTrafficSecrets, ServerConfig, ServerConnection};

type Failure = Box<dyn Error>;

/// What a server shows, and what it agrees to.
pub(crate) fn configuration(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.enable_secret_extraction = true;
    Ok(config.into())
}

/// One connection.
pub(crate) enum Tls {
    /// Between the two others.
    Neither,
    Handshake(Box<ServerConnection>),
    Sealed(Box<Keys>),
}

pub(crate) struct Keys {
    sending: Half,
    receiving: Half,
}

/// A key, and how many records it has sealed or opened.
struct Half {
    key: LessSafeKey,
    iv: [u8; 12],
    number: u64,
}

const HEAD_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
const APPLICATION_DATA: u8 = 23;
/// The most of what one record says.
const RECORD_BYTES: usize = 16 << 10;

// === impl Tls ===

impl Tls {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Self, Failure> {
        Ok(Self::Handshake(Box::new(ServerConnection::new(config.clone())?)))
    }

    /// Takes whole records off the front of what has come. What they say is added to `plain`, and what is to be sent for them to
    /// `out`.
    pub(crate) fn take(
        &mut self,
        wire: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let mut begin = 0;
        while let Some(length) = whole_record(&wire[begin..]) {
            let record = &mut wire[begin..begin + length];
            begin += length;
            match self {
                Self::Handshake(session) => {
                    session.read_tls(&mut &*record)?;
                    let result = session.process_new_packets();
                    while session.wants_write() {
                        session.write_tls(out)?;
                    }
                    let mut rest = vec![0; result?.plaintext_bytes_to_read()];
                    session.reader().read_exact(&mut rest)?;
                    plain.extend(rest);
                }
                Self::Sealed(keys) => keys.receiving.open(record, plain)?,
                Self::Neither => {}
            }
            self.settle()?;
        }
        wire.drain(..begin);
        Ok(())
    }

    /// Takes the keys, once there are any.
    fn settle(&mut self) -> Result<(), Failure> {
        match std::mem::replace(self, Self::Neither) {
            Self::Handshake(session) if !session.is_handshaking() => {
                // It cannot do key updates and tickets: they are not done here.
                let secrets = session.dangerous_extract_secrets()?;
                let keys = Keys { sending: Half::new(secrets.tx)?, receiving: Half::new(secrets.rx)? };
                *self = Self::Sealed(Box::new(keys));
            }
            same => *self = same,
        }
        Ok(())
    }

    /// Adds `bytes` to `out` in records; none before the end of the handshake.
    pub(crate) fn seal(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let Self::Sealed(keys) = self else { return Ok(()) };
        bytes.chunks(RECORD_BYTES).try_for_each(|piece| keys.sending.seal(piece, out))
    }
}

// === impl Half ===

impl Half {
    fn new((number, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Failure> {
        use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
        let (algorithm, key, iv) = match secrets {
            Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err("no suite of TLS 1.3".into()),
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref())?);
        Ok(Self { key, iv: iv.as_ref().try_into()?, number })
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(self.number.to_be_bytes()).for_each(|(byte, part)| *byte ^= part);
        self.number += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let length = u16::try_from(piece.len() + 1 + TAG_BYTES)?.to_be_bytes();
        let head = [APPLICATION_DATA, 3, 3, length[0], length[1]];
        out.extend_from_slice(&head);
        let begin = out.len();
        out.extend_from_slice(piece);
        out.push(APPLICATION_DATA);
        let nonce = self.nonce();
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(head), &mut out[begin..])?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open(&mut self, record: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Failure> {
        let (head, sealed) = record.split_at_mut(HEAD_BYTES);
        let nonce = self.nonce();
        let opened = self.key.open_in_place(nonce, Aad::from(&*head), sealed)?;
        // The last byte that is not 0 is the kind.
        if let Some(end) = opened.iter().rposition(|byte| *byte != 0)
            && opened[end] == APPLICATION_DATA
        {
            plain.extend_from_slice(&opened[..end]);
        }
        Ok(())
    }
}

/// The length of the record that begins here, if its end has come.
fn whole_record(wire: &[u8]) -> Option<usize> {
    let length = HEAD_BYTES + usize::from(u16::from_be_bytes([*wire.get(3)?, *wire.get(4)?]));
    (wire.len() >= length).then_some(length)
}
