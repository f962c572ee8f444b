//! The record layer after the handshake, without I/O: what is sealed, what is opened, and what a peer may say between.

use std::fmt;
use std::ops::Range;

use super::alert::{Alert, Fault};
use super::keys::{HEAD_BYTES, Keys, Scheme, Unusable, content};

/// Both directions of a connection.
pub(super) struct Records {
    scheme: Scheme,
    tx: Keys,
    rx: Keys,
    /// How many records a key may seal.
    pub(super) limit: u64,
    /// What has come of a message about the connection.
    begun: Begun,
    /// How much is to come of a request for a new handshake, which is refused.
    refused: u32,
    /// How many key updates have come since there was data.
    updates: u8,
    /// How many records without data have come since there was data.
    empty: u8,
    /// How many warnings have come.
    warnings: u8,
    /// How many requests for a new handshake have come.
    renegotiations: u8,
    /// What is owed to the peer.
    owed: Option<Owed>,
    /// The peer has said that it sends nothing more.
    pub(super) received_end: bool,
    /// The same has been said to the peer.
    sent_end: bool,
}

/// An answer to what a peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    KeyUpdate,
    NoRenegotiation,
}

/// What a record was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opened {
    /// Data, at this place in the record.
    Data(Range<usize>),
    /// The connection itself.
    Nothing,
    /// The peer sends nothing more.
    End,
}

/// The first bytes of a message of the handshake protocol, which may be spread over records.
#[derive(Debug, Default)]
struct Begun {
    bytes: [u8; KEY_UPDATE_BYTES],
    length: u8,
}

/// The messages that may come after the handshake, and their parts (RFC 8446 §4, RFC 5246 §7.4).
const CLIENT_HELLO: u8 = 1;
const KEY_UPDATE: u8 = 24;
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;
const MESSAGE_HEAD_BYTES: usize = 4;
const KEY_UPDATE_BYTES: usize = MESSAGE_HEAD_BYTES + 1;
/// The longest request for a new handshake that is read to its end.
const CLIENT_HELLO_BYTES: u32 = 1 << 16;
/// The alerts that are no reason to end a connection with TLS 1.3 (RFC 8446 §6).
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const WARNING: u8 = 1;

/// The most key updates without any data between them.
const KEY_UPDATES: u8 = 32;
/// The most records without data, one after the other.
const EMPTY_RECORDS: u8 = 32;
/// The most warnings.
const WARNINGS: u8 = 4;
/// The most requests for a new handshake that are refused kindly.
const RENEGOTIATIONS: u8 = 1;
/// How many records are kept back of a key's, for its update or the alert that says that it is used up.
const RESERVE: u64 = 1;

// === impl Records ===

impl Records {
    pub(super) fn new(scheme: Scheme, tx: Keys, rx: Keys, limit: u64) -> Self {
        Self {
            scheme,
            tx,
            rx,
            limit,
            begun: Begun::default(),
            refused: 0,
            updates: 0,
            empty: 0,
            warnings: 0,
            renegotiations: 0,
            owed: None,
            received_end: false,
            sent_end: false,
        }
    }

    /// The same elsewhere in memory.
    pub(super) fn copied(&self) -> Self {
        Self { tx: self.tx.copied(), rx: self.rx.copied(), begun: Begun { ..self.begun }, ..*self }
    }

    /// Forgets what can be worked out again.
    pub(super) fn shrink(&mut self) {
        self.tx.shrink();
        self.rx.shrink();
    }

    /// How long the first record of `bytes` is, where it is there as a whole.
    pub(super) fn first(&self, bytes: &[u8]) -> Result<Option<usize>, Alert> {
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let may_come = match head[0] {
            content::APPLICATION_DATA => true,
            // With TLS 1.3, each record looks as if it carried data (RFC 8446 §5.2).
            content::ALERT | content::HANDSHAKE => !self.scheme.is_tls13(),
            _ => false,
        };
        if !may_come {
            return Err(Alert::UnexpectedMessage);
        }
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if length > self.scheme.most_bytes() {
            return Err(Alert::RecordOverflow);
        }
        Ok(Some(HEAD_BYTES + length).filter(|length| *length <= bytes.len()))
    }

    /// Opens a record in its place.
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<Opened, Fault> {
        let (content, place) = self.rx.open(record)?;
        let plain = &record[place.clone()];
        if content != content::HANDSHAKE && (self.begun.length > 0 || self.refused > 0) {
            // A message may be spread over records, and nothing comes between them (RFC 8446 §5.1).
            return Err(Alert::UnexpectedMessage.into());
        }
        match content {
            content::APPLICATION_DATA if plain.is_empty() => {
                self.empty += 1;
                if self.empty > EMPTY_RECORDS {
                    return Err(Alert::UnexpectedMessage.into());
                }
                Ok(Opened::Nothing)
            }
            content::APPLICATION_DATA => {
                (self.empty, self.updates) = (0, 0);
                Ok(Opened::Data(place))
            }
            content::ALERT => self.on_alert(plain),
            content::HANDSHAKE if plain.is_empty() => Err(Alert::UnexpectedMessage.into()),
            content::HANDSHAKE if self.scheme.is_tls13() => self.on_message(plain),
            content::HANDSHAKE => self.on_old_message(plain),
            _ => Err(Alert::UnexpectedMessage.into()),
        }
    }

    fn on_alert(&mut self, alert: &[u8]) -> Result<Opened, Fault> {
        let [level, description] = *alert else { return Err(Alert::DecodeError.into()) };
        let is_warning = description == USER_CANCELED || (!self.scheme.is_tls13() && level == WARNING);
        match description {
            CLOSE_NOTIFY => {
                self.received_end = true;
                Ok(Opened::End)
            }
            _ if is_warning && self.warnings < WARNINGS => {
                self.warnings += 1;
                Ok(Opened::Nothing)
            }
            _ if is_warning => Err(Alert::UnexpectedMessage.into()),
            _ => Err(Fault::Told(description)),
        }
    }

    /// A message of TLS 1.3 after the handshake. A client may send no other than that it has a new key, as it is asked
    /// for no certificate.
    fn on_message(&mut self, mut part: &[u8]) -> Result<Opened, Fault> {
        let Begun { bytes, length } = &mut self.begun;
        while let Some((byte, rest)) = part.split_first() {
            bytes[usize::from(*length)] = *byte;
            *length += 1;
            part = rest;
            match (*length, *byte) {
                (1, KEY_UPDATE) | (2..=3, 0) | (4, 1) => {}
                (1, _) => return Err(Alert::UnexpectedMessage.into()),
                (2..=4, _) => return Err(Alert::DecodeError.into()),
                (_, UPDATE_NOT_REQUESTED | UPDATE_REQUESTED) => break,
                _ => return Err(Alert::IllegalParameter.into()),
            }
        }
        if usize::from(*length) < KEY_UPDATE_BYTES {
            return Ok(Opened::Nothing);
        }
        let is_requested = bytes[MESSAGE_HEAD_BYTES] == UPDATE_REQUESTED;
        *length = 0;
        self.updates += 1;
        // What follows is to be under the new key, and so in another record (RFC 8446 §5.1).
        if !part.is_empty() || self.updates > KEY_UPDATES {
            return Err(Alert::UnexpectedMessage.into());
        }
        self.rx.update().map_err(|Unusable| Alert::InternalError)?;
        if is_requested {
            self.owed = Some(Owed::KeyUpdate);
        }
        Ok(Opened::Nothing)
    }

    /// A message of TLS 1.2 after the handshake. A request for another one is refused (RFC 5246 §7.2.2).
    fn on_old_message(&mut self, mut part: &[u8]) -> Result<Opened, Fault> {
        while !part.is_empty() {
            if self.refused > 0 {
                let count = usize::try_from(self.refused).unwrap_or(usize::MAX).min(part.len());
                self.refused -= u32::try_from(count).unwrap_or(u32::MAX);
                part = &part[count..];
                continue;
            }
            let Begun { bytes, length } = &mut self.begun;
            bytes[usize::from(*length)] = part[0];
            *length += 1;
            part = &part[1..];
            if bytes[0] != CLIENT_HELLO {
                return Err(Alert::UnexpectedMessage.into());
            }
            if usize::from(*length) == MESSAGE_HEAD_BYTES {
                *length = 0;
                self.refused = u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]);
                self.renegotiations += 1;
                if self.refused > CLIENT_HELLO_BYTES || self.renegotiations > RENEGOTIATIONS {
                    return Err(Alert::UnexpectedMessage.into());
                }
                self.owed = Some(Owed::NoRenegotiation);
            }
        }
        Ok(Opened::Nothing)
    }

    /// Whether the peer waits for an answer of this layer.
    pub(super) fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// Seals what has to be said before `records` further records are sealed: an answer that is owed, and that a new
    /// key comes, where the present one has sealed what it may.
    pub(super) fn prepare(&mut self, records: u64, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.owed == Some(Owed::NoRenegotiation) {
            self.owed = None;
            self.seal_alert(Alert::NoRenegotiation, out);
        }
        let most = self.tx.sequence().saturating_add(records).saturating_add(RESERVE);
        if self.owed.is_none() && most <= self.limit {
            return Ok(());
        }
        if !self.scheme.is_tls13() {
            return Err(Fault::Exhausted);
        }
        self.owed = None;
        let message = [KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED];
        let sealed = self.tx.seal(content::HANDSHAKE, std::iter::once(&message[..]), out);
        sealed.and_then(|()| self.tx.update()).map_err(|Unusable| Fault::Exhausted)
    }

    /// Appends a record to `out` that carries all the `parts`. For what has to come before it, see
    /// [`prepare`](Self::prepare).
    pub(super) fn seal<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.sent_end {
            return Err(Fault::Exhausted);
        }
        self.tx.seal(content::APPLICATION_DATA, parts, out).map_err(|Unusable| Fault::Exhausted)
    }

    /// Takes back the last records with data that were sealed, of which no byte has left the process.
    pub(super) fn take_back(&mut self, records: u64) {
        self.tx.take_back(records);
    }

    /// Appends an alert to `out`. Nothing is sealed after one that ends the connection.
    pub(super) fn seal_alert(&mut self, alert: Alert, out: &mut Vec<u8>) {
        if self.sent_end {
            return;
        }
        self.sent_end = alert != Alert::NoRenegotiation;
        let length = out.len();
        if self.tx.seal(content::ALERT, std::iter::once(&alert.to_bytes()[..]), out).is_err() {
            out.truncate(length);
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tx, rx, received_end, sent_end, .. } = self;
        f.debug_struct("Records")
            .field("tx", tx)
            .field("rx", rx)
            .field("received_end", received_end)
            .field("sent_end", sent_end)
            .finish_non_exhaustive()
    }
}
