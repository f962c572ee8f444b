//! The keys of one direction of a connection, and how records are sealed and opened with them.

use std::fmt;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::crypto::tls13::OkmBlock;
use rustls::{ConnectionTrafficSecrets, SupportedCipherSuite, Tls13CipherSuite};
use zeroize::Zeroizing;

use super::alert::Alert;

/// The longest plaintext of a record (RFC 8446 §5.1).
pub(super) const PLAIN_BYTES: usize = 1 << 14;
/// The head of a record: its type, its version, and the length of what follows.
pub(super) const HEAD_BYTES: usize = 5;
/// What a record of TLS 1.3 may have beside its plaintext (RFC 8446 §5.2).
const EXPANSION_TLS13: usize = 256;
/// The same for TLS 1.2 (RFC 5246 §6.2.3).
const EXPANSION_TLS12: usize = 2048;
/// The part of a nonce of AES-GCM that each record of TLS 1.2 carries (RFC 5288 §3).
const EXPLICIT_BYTES: usize = 8;
/// What each of the algorithms adds to authenticate a record.
const TAG_BYTES: usize = 16;
const IV_BYTES: usize = 12;
const MOST_KEY_BYTES: usize = 32;
const MOST_SECRET_BYTES: usize = 48;

/// The longest record.
pub(super) const RECORD_BYTES: usize = HEAD_BYTES + PLAIN_BYTES + EXPANSION_TLS12;
/// What a record of ours takes at most beside its plaintext.
pub(super) const OVERHEAD_BYTES: usize = HEAD_BYTES + EXPLICIT_BYTES + 1 + TAG_BYTES;

/// What a record carries (RFC 8446 §5.1).
pub(super) mod content {
    pub(in super::super) const ALERT: u8 = 21;
    pub(in super::super) const HANDSHAKE: u8 = 22;
    pub(in super::super) const APPLICATION_DATA: u8 = 23;
}

/// How records look, which follows from what was agreed on.
#[derive(Clone, Copy)]
pub(super) enum Scheme {
    /// TLS 1.3, with the suite that its further keys are derived by.
    Tls13(&'static Tls13CipherSuite),
    /// TLS 1.2, and whether each record carries a part of its nonce.
    Tls12 { explicit: bool },
}

/// The keys of one direction. They are wiped when they are dropped, and shown to nobody.
pub(super) struct Keys {
    scheme: Scheme,
    algorithm: &'static Algorithm,
    key: Zeroizing<[u8; MOST_KEY_BYTES]>,
    iv: Zeroizing<[u8; IV_BYTES]>,
    /// What the next key is derived from. Nothing with TLS 1.2.
    secret: Zeroizing<[u8; MOST_SECRET_BYTES]>,
    secret_bytes: u8,
    /// How many records this key has sealed or opened.
    sequence: u64,
    /// The key as the algorithm works with it, which takes more memory than all the rest.
    expanded: Option<LessSafeKey>,
}

/// The keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusable;

// === impl Scheme ===

impl Scheme {
    pub(super) fn of(suite: SupportedCipherSuite, secrets: &ConnectionTrafficSecrets) -> Self {
        match suite {
            SupportedCipherSuite::Tls13(suite) => Self::Tls13(suite),
            SupportedCipherSuite::Tls12(_) => Self::Tls12 {
                explicit: !matches!(secrets, ConnectionTrafficSecrets::Chacha20Poly1305 { .. }),
            },
        }
    }

    pub(super) fn is_tls13(self) -> bool {
        matches!(self, Self::Tls13(_))
    }

    /// The most that may follow the head of a record.
    pub(super) fn most_bytes(self) -> usize {
        PLAIN_BYTES + if self.is_tls13() { EXPANSION_TLS13 } else { EXPANSION_TLS12 }
    }
}

// === impl Keys ===

impl Keys {
    /// `secret` is what the next key is derived from, with TLS 1.3.
    pub(super) fn new(
        scheme: Scheme,
        secrets: &ConnectionTrafficSecrets,
        secret: &[u8],
        sequence: u64,
    ) -> Result<Self, Unusable> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Unusable),
        };
        let mut own = Self {
            scheme,
            algorithm,
            key: Zeroizing::default(),
            iv: Zeroizing::default(),
            secret: Zeroizing::new([0; MOST_SECRET_BYTES]),
            secret_bytes: u8::try_from(secret.len()).map_err(|_| Unusable)?,
            sequence,
            expanded: None,
        };
        own.key.get_mut(..key.as_ref().len()).ok_or(Unusable)?.copy_from_slice(key.as_ref());
        own.iv.get_mut(..iv.as_ref().len()).ok_or(Unusable)?.copy_from_slice(iv.as_ref());
        own.secret.get_mut(..secret.len()).ok_or(Unusable)?.copy_from_slice(secret);
        Ok(own)
    }

    /// How many records this key has sealed or opened.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Takes back records that were sealed, and of which no byte has left the process: what was sealed so is thrown
    /// away, so that nobody sees two records with one nonce.
    pub(super) fn take_back(&mut self, records: u64) {
        self.sequence = self.sequence.saturating_sub(records);
    }

    /// The same elsewhere in memory. Where they were they are wiped when they are dropped, which a move would not do.
    pub(super) fn copied(&self) -> Self {
        Self {
            scheme: self.scheme,
            algorithm: self.algorithm,
            key: self.key.clone(),
            iv: self.iv.clone(),
            secret: self.secret.clone(),
            secret_bytes: self.secret_bytes,
            sequence: self.sequence,
            expanded: None,
        }
    }

    /// Forgets what can be worked out again.
    pub(super) fn shrink(&mut self) {
        self.expanded = None;
    }

    /// The next key of this direction, with TLS 1.3 (RFC 8446 §7.2).
    pub(super) fn update(&mut self) -> Result<(), Unusable> {
        let Scheme::Tls13(suite) = self.scheme else { return Err(Unusable) };
        let secret = self.secret.get(..usize::from(self.secret_bytes)).ok_or(Unusable)?;
        let next = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret));
        let mut derived = Zeroizing::new([0; MOST_SECRET_BYTES]);
        let bytes = derived.get_mut(..secret.len()).ok_or(Unusable)?;
        expand(&*next, b"traffic upd", bytes)?;
        let expander = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(bytes));
        expand(&*expander, b"key", self.key.get_mut(..self.algorithm.key_len()).ok_or(Unusable)?)?;
        expand(&*expander, b"iv", &mut self.iv[..])?;
        self.secret = derived;
        self.sequence = 0;
        self.expanded = None;
        Ok(())
    }

    /// Appends a record to `out` that carries `parts`, together no more than [`PLAIN_BYTES`].
    pub(super) fn seal<'a>(
        &mut self,
        content: u8,
        parts: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unusable> {
        let start = out.len();
        let nonce = self.nonce(None);
        out.extend_from_slice(&[0; HEAD_BYTES]);
        if let Scheme::Tls12 { explicit: true } = self.scheme {
            out.extend_from_slice(&nonce[IV_BYTES - EXPLICIT_BYTES..]);
        }
        let plain = out.len();
        for part in parts {
            out.extend_from_slice(part);
        }
        let length = out.len() - plain;
        if length > PLAIN_BYTES {
            return Err(Unusable);
        }
        let outer = if self.scheme.is_tls13() {
            out.push(content);
            content::APPLICATION_DATA
        } else {
            content
        };
        let head = head(outer, out.len() + TAG_BYTES - start - HEAD_BYTES);
        let sealed = if self.scheme.is_tls13() {
            self.expanded()?.seal_in_place_separate_tag(nonce_of(nonce), Aad::from(head), &mut out[plain..])
        } else {
            let aad = Aad::from(self.tls12_aad(&head, length));
            self.expanded()?.seal_in_place_separate_tag(nonce_of(nonce), aad, &mut out[plain..])
        };
        let tag = sealed.map_err(|_| Unusable)?;
        out.extend_from_slice(tag.as_ref());
        out[start..start + HEAD_BYTES].copy_from_slice(&head);
        self.sequence += 1;
        Ok(())
    }

    /// Opens a record in its place, and says what it carries, and where that is.
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<(u8, std::ops::Range<usize>), Alert> {
        let Some((head, rest)) = record.split_first_chunk_mut::<HEAD_BYTES>() else {
            return Err(Alert::DecodeError);
        };
        let head = *head;
        let begin = match self.scheme {
            Scheme::Tls12 { explicit: true } => EXPLICIT_BYTES,
            _ => 0,
        };
        let (explicit, sealed) = rest.split_at_mut_checked(begin).ok_or(Alert::BadRecordMac)?;
        let length = sealed.len().checked_sub(TAG_BYTES).ok_or(Alert::BadRecordMac)?;
        let nonce = nonce_of(self.nonce(explicit.first_chunk::<EXPLICIT_BYTES>()));
        let opened = if self.scheme.is_tls13() {
            self.expanded().map_err(|_| Alert::InternalError)?.open_in_place(nonce, Aad::from(head), sealed)
        } else {
            let aad = Aad::from(self.tls12_aad(&head, length));
            self.expanded().map_err(|_| Alert::InternalError)?.open_in_place(nonce, aad, sealed)
        };
        let plain: &[u8] = opened.map_err(|_| Alert::BadRecordMac)?;
        self.sequence += 1;
        let (content, length) = if self.scheme.is_tls13() {
            // The type is behind the plaintext, and zeros may be behind the type (RFC 8446 §5.4).
            let last = plain.iter().rposition(|byte| *byte != 0).ok_or(Alert::UnexpectedMessage)?;
            (plain[last], last)
        } else {
            (head[0], plain.len())
        };
        // With TLS 1.3, that is with the zeros (RFC 8446 §5.4).
        if length > PLAIN_BYTES || plain.len() > PLAIN_BYTES + usize::from(self.scheme.is_tls13()) {
            return Err(Alert::RecordOverflow);
        }
        let begin = HEAD_BYTES + begin;
        Ok((content, begin..begin + length))
    }

    fn nonce(&self, explicit: Option<&[u8; EXPLICIT_BYTES]>) -> [u8; IV_BYTES] {
        let mut nonce = *self.iv;
        let (_, last) = nonce.split_at_mut(IV_BYTES - EXPLICIT_BYTES);
        match explicit {
            Some(explicit) => last.copy_from_slice(explicit),
            None => last.iter_mut().zip(self.sequence.to_be_bytes()).for_each(|(byte, own)| *byte ^= own),
        }
        nonce
    }

    /// What is authenticated beside the plaintext (RFC 5246 §6.2.3.3).
    fn tls12_aad(&self, head: &[u8; HEAD_BYTES], length: usize) -> [u8; 13] {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.sequence.to_be_bytes());
        aad[8..11].copy_from_slice(&head[..3]);
        aad[11..].copy_from_slice(&two_bytes(length));
        aad
    }

    fn expanded(&mut self) -> Result<&LessSafeKey, Unusable> {
        match &mut self.expanded {
            Some(expanded) => Ok(expanded),
            none => {
                let key = self.key.get(..self.algorithm.key_len()).ok_or(Unusable)?;
                let key = UnboundKey::new(self.algorithm, key).map_err(|_| Unusable)?;
                Ok(none.insert(LessSafeKey::new(key)))
            }
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

fn nonce_of(bytes: [u8; IV_BYTES]) -> Nonce {
    Nonce::assume_unique_for_key(bytes)
}

/// The head of a record. Its version says nothing (RFC 8446 §5.1).
fn head(content: u8, length: usize) -> [u8; HEAD_BYTES] {
    let [high, low] = two_bytes(length);
    [content, 3, 3, high, low]
}

fn two_bytes(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// HKDF-Expand-Label without a context (RFC 8446 §7.1).
fn expand(
    expander: &dyn rustls::crypto::tls13::HkdfExpander,
    label: &[u8],
    output: &mut [u8],
) -> Result<(), Unusable> {
    const PREFIX: &[u8] = b"tls13 ";
    let length = two_bytes(output.len());
    let label_length = u8::try_from(PREFIX.len() + label.len()).map_err(|_| Unusable)?;
    expander.expand_slice(&[&length, &[label_length], PREFIX, label, &[0]], output).map_err(|_| Unusable)
}
