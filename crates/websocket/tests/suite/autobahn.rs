//! What the clients of Autobahn's test suite sent, and were content with: `tests/autobahn` says where it comes from.

#[path = "../../examples/echo/session.rs"]
mod session;

use http::{HeaderMap, Method, Version, header};
use serde::Deserialize;
use session::Session;
use tidings_websocket::{Decoder, Message, Opening};

use crate::support::receive;

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    deflate: bool,
    /// Whether this is all of it.
    whole: bool,
    sent: String,
    answered: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn session(deflate: bool) -> Session {
    let mut headers = HeaderMap::new();
    headers.insert(header::SEC_WEBSOCKET_VERSION, "13".parse().unwrap());
    if deflate {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate".parse().unwrap());
    }
    let opening = Opening::check(&Method::CONNECT, Version::HTTP_2, &headers, true).unwrap();
    Session::new(opening.deflate())
}

/// What a client is told; how it was compressed does not matter.
fn told(bytes: &[u8], deflate: bool) -> Vec<Message> {
    receive(&mut Decoder::client(1 << 20, deflate), bytes).unwrap()
}

#[test]
fn its_cases_are_answered_as_they_were_when_it_was_content() {
    let Cases { cases } = serde_json::from_str(include_str!("../autobahn/cases.json")).unwrap();
    assert!(cases.len() > 250, "{}", cases.len());
    let mut compared = 0;
    for Case { case, deflate, whole, sent, answered } in cases {
        let (sent, expected) = (bytes(&sent), bytes(&answered));
        // At once, and a few bytes at a time.
        for length in [sent.len().max(1), 7, 1] {
            let (mut session, mut out) = (session(deflate), Vec::new());
            for piece in sent.chunks(length) {
                if !session.answer(piece, &mut out) {
                    break;
                }
            }
            let (told, expected) = (told(&out, deflate), told(&expected, deflate));
            compared += told.len().min(expected.len());
            if whole {
                assert!(told == expected, "{case}: {told:?} instead of {expected:?}");
            } else {
                let common = told.len().min(expected.len());
                assert!(told[..common] == expected[..common], "{case}: another beginning");
            }
        }
    }
    assert!(compared > 1_500, "{compared} messages were compared");
}
