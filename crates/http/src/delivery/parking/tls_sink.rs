use super::sink::{Received, Sent};
use crate::defaults;
use crate::server::tls::{self, TlsLink};

/// A TLS connection as a sink: what is sealed in it is sent, and cannot be taken back.
///
/// Where its socket takes a record in part, the last byte of what was offered is *withheld*: it is sealed, and said not to
/// be taken. So the entry finishes the frame that the byte belongs to, as with any other sink, and with it goes what
/// is left of the record.
#[derive(Debug)]
pub(super) struct TlsSink {
    link: TlsLink,
    withheld: bool,
    /// Whether its socket has taken some of a record, of which nobody was told.
    has_moved: bool,
    /// How many bytes were read that nobody asked for.
    ignored: usize,
}

// === impl TlsSink ===

impl TlsSink {
    pub(super) fn new(link: TlsLink) -> Self {
        Self { link: link.settled(), withheld: false, has_moved: false, ignored: 0 }
    }

    pub(super) fn link(&self) -> &TlsLink {
        &self.link
    }

    /// To be used elsewhere. Nothing is withheld from it.
    pub(super) fn into_link(self) -> TlsLink {
        self.link
    }

    pub(super) fn offer(&mut self, bytes: &[u8]) -> Sent {
        let before = self.link.unsent();
        let flushed = self.link.flush();
        self.has_moved |= self.link.unsent() < before;
        match flushed {
            tls::Sent::All => {}
            tls::Sent::Some(_) => return Sent::Some(0),
            tls::Sent::Failed => return Sent::Failed,
        }
        let withheld = usize::from(std::mem::take(&mut self.withheld)).min(bytes.len());
        let bytes = &bytes[withheld..];
        match self.link.offer(&[bytes]) {
            tls::Sent::All if self.link.unsent() > 0 && !bytes.is_empty() => {
                self.withheld = true;
                Sent::Some(withheld + bytes.len() - 1)
            }
            tls::Sent::All => Sent::All,
            tls::Sent::Some(count) => Sent::Some(withheld + count),
            tls::Sent::Failed => Sent::Failed,
        }
    }

    /// Whether its socket has taken something since this was asked last, and nobody was told.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Takes note of bytes that were read and are for nobody. Says whether more of them may be read: the rest stays with the
    /// kernel, so that the client cannot go on with that.
    pub(super) fn ignore(&mut self, bytes: usize) -> bool {
        self.ignored = self.ignored.saturating_add(bytes);
        self.ignored <= defaults::IGNORED_BYTES
    }

    /// Reads until nothing is left for now, or `into` is as full as it was meant to be. What was read beyond that is in
    /// it, too.
    pub(super) fn receive(&mut self, into: &mut Vec<u8>) -> Received {
        let (before, most) = (into.len(), into.capacity());
        loop {
            let received = self.link.receive(into);
            let has_some = into.len() > before;
            return match received {
                tls::Received::Some if into.len() < most => continue,
                tls::Received::Some => Received::Some,
                tls::Received::Failed => Received::Failed,
                tls::Received::Nothing | tls::Received::Ended if has_some => Received::Some,
                tls::Received::Nothing => Received::Nothing,
                tls::Received::Ended => Received::Ended,
            };
        }
    }

    /// Says whether it is finished, or has to wait for its socket with that.
    pub(super) fn finish(&mut self) -> bool {
        self.link.finish()
    }
}
