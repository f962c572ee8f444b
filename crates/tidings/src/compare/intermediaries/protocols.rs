//! What is spoken, and what is done to it on the way: HTTP/2, compression, `Upgrade`.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::asker::Asker;
use super::exchange::{Exchange, Fault};

/// What is spoken with whoever answers.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Protocols {
    /// The version of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<String>,
    /// HTTP/2 is spoken: as TLS agrees on it, or in clear with prior knowledge.
    pub(crate) http2: bool,
}

/// What became of a request to speak WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Upgrade {
    Passes,
    /// The hub has sockets, and was not told that one was asked for.
    Stripped,
    /// The hub has none.
    NotSpoken,
    /// It was answered with this status.
    Refused(u16),
}

/// Who answers, and what was done to a page.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Pages {
    /// What answers say of who stands between: `Server` and `Via`.
    pub(crate) through: Vec<String>,
    /// The content coding that was put on a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coding: Option<String>,
}

/// What browsers take.
pub(super) const CODINGS: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";

const PATIENCE: Duration = Duration::from_secs(3);
/// How a connection of HTTP/2 begins: the preface, and settings that ask for nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The head of a frame.
const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;
/// More than anything would take for too small to be compressed.
const PAGE_BYTES: usize = 8 << 10;
/// The example of RFC 6455, section 1.3, and what it is answered with.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(super) fn spoken(asker: &Asker) -> Result<Protocols, Fault> {
    if asker.server.tls.is_some() {
        let exchange = Exchange::offering(&asker.server, &[b"h2", b"http/1.1"])?;
        let (tls, protocol) = exchange.agreed().unzip();
        return Ok(Protocols { tls, http2: protocol.flatten().as_deref() == Some("h2") });
    }
    let mut exchange = Exchange::open(&asker.server)?;
    let frame = exchange.send(PREFACE).and_then(|()| exchange.bytes(FRAME_HEAD, Instant::now() + PATIENCE));
    Ok(Protocols { tls: None, http2: frame.is_ok_and(|head| head[3] == SETTINGS && head[5..] == [0; 4]) })
}

pub(super) fn pages(asker: &Asker) -> Result<Pages, Fault> {
    let mut publisher = Exchange::open(&asker.server)?;
    asker.publish(&mut publisher, "page", &"page ".repeat(PAGE_BYTES / 5))?;
    let (_, answer) = asker.ask(&asker.topic("page"), &format!("Accept: application/json\r\n{CODINGS}"))?;
    let named = |name: &str| {
        answer.field(name).map(|value| format!("`{name}: {}`", crate::terminal::harmless(value)))
    };
    Ok(Pages {
        through: ["server", "via"].into_iter().filter_map(named).collect(),
        coding: answer.field("content-encoding").map(str::to_owned),
    })
}

pub(super) fn upgrade(asker: &Asker) -> Result<Upgrade, Fault> {
    let fields = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Protocol: tidings.v1\r\n"
    );
    let (_, answer) = asker.ask(&asker.topic("socket"), &fields)?;
    if answer.status == 101 {
        let agreed = answer.field("sec-websocket-accept") == Some(ACCEPT);
        return Ok(if agreed { Upgrade::Passes } else { Upgrade::Refused(101) });
    }
    // A hub that has sockets says that this path is for nothing else.
    let (_, plain) = asker.ask("/socket", "")?;
    Ok(match (answer.status, plain.status) {
        (200 | 426, 426) => Upgrade::Stripped,
        (_, 404) => Upgrade::NotSpoken,
        (status, _) => Upgrade::Refused(status),
    })
}
