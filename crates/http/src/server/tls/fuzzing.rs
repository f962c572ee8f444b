//! What the fuzz target of the record layer does with its input.

use rustls::ConnectionTrafficSecrets;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::cipher::{AeadKey, Iv};

use super::keys::{HEAD_BYTES, Keys, PLAIN_BYTES, Scheme, content};
use super::records::Records;
use super::session::{Read, Session};

/// The most that a message of the input makes.
const MESSAGE_BYTES: usize = 1 << 9;

/// The first byte chooses a suite, the second how many bytes come at once. Then there are messages, each of a type, two
/// bytes for its length, and its bytes; with the highest bit of its type it is sent as it is, and else sealed by the client.
///
/// However they are cut, the hub reads what the client sealed as data, in its order, until the connection ends; it ends
/// for good, and keeps little.
pub(crate) fn records(input: &[u8]) {
    let Some(([suite, step], mut rest)) = input.split_first_chunk::<2>().map(|(head, rest)| (*head, rest))
    else {
        return;
    };
    let (scheme, secrets) = chosen(suite);
    let keys = || Keys::new(scheme, &secrets, &[7; 32], 0).expect("keys of the right length");
    let mut client = keys();
    let mut session = Session::new(Records::new(scheme, keys(), keys(), 1 << 10), Vec::new(), false);
    let (mut sent, mut sealed) = (Vec::new(), Vec::new());
    while let Some(([kind, high, low], behind)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])) % MESSAGE_BYTES;
        let (message, next) = behind.split_at(length.min(behind.len()));
        rest = next;
        if kind & 0x80 != 0 {
            sent.extend_from_slice(message);
            continue;
        }
        client.seal(*kind, std::iter::once(message), &mut sent).expect("few bytes");
        if *kind == content::APPLICATION_DATA {
            sealed.extend_from_slice(message);
        }
        if *kind == content::HANDSHAKE && matches!(message, [24, 0, 0, 1, 0 | 1]) && scheme.is_tls13() {
            client.update().expect("a further key");
        }
    }
    let mut read = Vec::new();
    for piece in sent.chunks(usize::from(step).max(1)) {
        let receive = |room: &mut [u8]| {
            room[..piece.len()].copy_from_slice(piece);
            Ok(Some(piece.len()))
        };
        let result = session.read(receive, |data| read.extend_from_slice(data));
        assert!(session.unsent() <= HEAD_BYTES + PLAIN_BYTES);
        session.flush(|bytes| Ok(Some(bytes.len()))).expect("all is taken");
        match result {
            Ok(Read::Some) => {}
            Ok(Read::Ended) => break,
            Ok(Read::Blocked | Read::Cut) => unreachable!("there was more"),
            Err(_) => {
                assert!(session.read(|_| unreachable!("it is over"), |_| ()).is_err());
                assert!(session.write(&[&b"x"[..]], |_| unreachable!("it is over")).is_err());
                break;
            }
        }
    }
    assert!(sealed.starts_with(&read), "it read what was not sent");
}

fn chosen(number: u8) -> (Scheme, ConnectionTrafficSecrets) {
    let (key, iv) = (AeadKey::from([3; 32]), Iv::new([5; 12]));
    let (suite, secrets) = match number % 4 {
        0 => (TLS13_AES_256_GCM_SHA384, ConnectionTrafficSecrets::Aes256Gcm { key, iv }),
        1 => (TLS13_CHACHA20_POLY1305_SHA256, ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }),
        2 => (TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, ConnectionTrafficSecrets::Aes256Gcm { key, iv }),
        _ => (
            TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
        ),
    };
    (Scheme::of(suite, &secrets), secrets)
}
