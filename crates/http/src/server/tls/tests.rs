use super::alert::{Alert, Fault};
use super::keys::{PLAIN_BYTES, content};
use super::session::{OFFER_BYTES, Read, Session};
use super::testing::{Client, agree, is_tls13, read, suites, take};

const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
const ASKING_KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 1];

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// What a client reads of data; nothing else came.
fn data(opened: Vec<(u8, Vec<u8>)>) -> Vec<u8> {
    let data = opened.into_iter().map(|(content, bytes)| {
        assert_eq!(content, content::APPLICATION_DATA);
        bytes
    });
    data.collect::<Vec<_>>().concat()
}

/// What a client hears that has sent what it may not.
fn refused(session: &mut Session, client: &mut Client, bytes: &[u8]) -> Vec<u8> {
    let (_, read, said) = read(session, bytes);
    assert!(read.is_err(), "{read:?}");
    // Nothing more is said, nor heard.
    assert!(session.write(&[&b"x"[..]], |_| panic!("it is over")).is_err());
    assert!(session.read(|_| panic!("it is over"), |_| ()).is_err());
    let mut said = client.open(&said);
    let Some((content::ALERT, alert)) = said.pop() else { panic!("no alert") };
    assert_eq!(said, []);
    alert
}

fn fatal(alert: Alert) -> Vec<u8> {
    vec![2, alert as u8]
}

#[test]
fn what_is_sealed_is_opened_by_the_other_side_with_every_suite_whatever_is_taken_at_once() {
    for suite in suites() {
        let (mut session, mut client) = agree(suite);
        for seed in 0..60 {
            let mut random_number = fastrand::Rng::with_seed(seed);
            let length = random_number.usize(..3 * OFFER_BYTES);
            let bytes = random(seed, length);
            let mut socket = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() || session.unsent() > 0 {
                let cut = random_number.usize(..=rest.len());
                let parts = [&rest[..cut], &[], &rest[cut..]];
                let most = match random_number.u8(..4) {
                    0 => 0,
                    1 => random_number.usize(..100),
                    2 => random_number.usize(..2 * PLAIN_BYTES),
                    _ => usize::MAX,
                };
                let written = session.write(&parts, |bytes| take(&mut socket, bytes, most)).unwrap();
                rest = &rest[written.taken..];
                // Never more than a record is kept.
                assert!(session.unsent() <= PLAIN_BYTES + 64);
                assert!(written.blocked || session.unsent() == 0);
            }
            assert!(data(client.open(&socket)) == bytes, "{suite:?}, {seed}");
        }
    }
}

#[test]
fn what_a_client_seals_is_read_whatever_comes_at_once() {
    for suite in suites() {
        let (mut session, mut client) = agree(suite);
        for seed in 0..60 {
            let mut random_number = fastrand::Rng::with_seed(seed);
            let (mut sealed, mut expected) = (Vec::new(), Vec::new());
            for record in 0..8 {
                let bytes = random(seed << 8 | record, random_number.usize(..=PLAIN_BYTES));
                sealed.extend(client.data(&bytes));
                expected.extend(bytes);
                if is_tls13(suite) && random_number.bool() {
                    sealed.extend(client.seal(content::HANDSHAKE, &KEY_UPDATE));
                    client.tx.update().unwrap();
                }
            }
            let mut got = Vec::new();
            let mut rest = &sealed[..];
            while !rest.is_empty() {
                let (piece, next) = rest.split_at(random_number.usize(1..=rest.len()));
                let (bytes, read, said) = read(&mut session, piece);
                assert!(matches!(read, Ok(Read::Blocked)) && said.is_empty());
                got.extend(bytes);
                rest = next;
            }
            assert!(got == expected, "{suite:?}, {seed}");
        }
    }
}

#[test]
fn several_pieces_go_out_in_one_record() {
    for suite in suites() {
        let (mut session, mut client) = agree(suite);
        let mut calls = Vec::new();
        let parts = [&b"one "[..], b"", b"two ", b"three"];
        session
            .write(&parts, |bytes| {
                calls.push(bytes.to_vec());
                Ok(Some(bytes.len()))
            })
            .unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!(client.open(&calls[0]), [(content::APPLICATION_DATA, b"one two three".to_vec())]);
    }
}

#[test]
fn a_key_update_that_asks_for_one_is_answered_once() {
    for suite in suites().into_iter().filter(|suite| is_tls13(*suite)) {
        let (mut session, mut client) = agree(suite);
        let mut asked = Vec::new();
        for part in [&ASKING_KEY_UPDATE[..], &ASKING_KEY_UPDATE] {
            asked.extend(client.seal(content::HANDSHAKE, part));
            client.tx.update().unwrap();
        }
        // In parts, over records.
        asked.extend(client.seal(content::HANDSHAKE, &ASKING_KEY_UPDATE[..2]));
        asked.extend(client.seal(content::HANDSHAKE, &ASKING_KEY_UPDATE[2..]));
        client.tx.update().unwrap();
        asked.extend(client.data(b"hello"));
        let (bytes, _, said) = read(&mut session, &asked);
        assert_eq!(bytes, b"hello");
        assert_eq!(client.open(&said), [(content::HANDSHAKE, KEY_UPDATE.to_vec())]);
        let mut socket = Vec::new();
        session.write(&[&b"x"[..]], |bytes| take(&mut socket, bytes, usize::MAX)).unwrap();
        assert_eq!(data(client.open(&socket)), b"x");
    }
}

#[test]
fn an_answer_waits_for_room_like_data_and_comes_before_it() {
    for suite in suites().into_iter().filter(|suite| is_tls13(*suite)) {
        let (mut session, mut client) = agree(suite);
        let mut socket = Vec::new();
        let bytes = random(1, 1_000);
        let written = session.write(&[&bytes[..]], |bytes| take(&mut socket, bytes, 10)).unwrap();
        assert!(written.taken == 1_000 && written.blocked);
        let asking = client.seal(content::HANDSHAKE, &ASKING_KEY_UPDATE);
        client.tx.update().unwrap();
        session
            .read(
                |room| {
                    room[..asking.len()].copy_from_slice(&asking);
                    Ok(Some(asking.len()))
                },
                |_| (),
            )
            .unwrap();
        while session.unsent() > 0 {
            session.flush(|bytes| take(&mut socket, bytes, 100)).unwrap();
        }
        session.write(&[&b"x"[..]], |bytes| take(&mut socket, bytes, usize::MAX)).unwrap();
        let opened = client.open(&socket);
        let contents: Vec<_> = opened.iter().map(|(content, _)| *content).collect();
        assert_eq!(contents, [content::APPLICATION_DATA, content::HANDSHAKE, content::APPLICATION_DATA]);
    }
}

#[test]
fn a_key_seals_no_more_records_than_it_may() {
    for suite in suites() {
        let (mut session, mut client) = agree(suite);
        session.limit_records(20);
        let mut socket = Vec::new();
        let mut sealed = 0;
        let ended = loop {
            match session.write(&[&b"x"[..]], |bytes| take(&mut socket, bytes, usize::MAX)) {
                Ok(_) => sealed += 1,
                Err(error) => break Some(error),
            }
            if sealed == 100 {
                break None;
            }
        };
        assert!(client.rx.sequence() < 20);
        let opened = client.open(&socket);
        let updates = opened.iter().filter(|(content, _)| *content == content::HANDSHAKE).count();
        if is_tls13(suite) {
            assert!(ended.is_none() && updates >= 5);
        } else {
            assert_eq!(opened.last().unwrap(), &(content::ALERT, vec![1, 0]));
            assert!(ended.is_some() && updates == 0 && sealed < 20);
            assert!(opened.len() <= 20);
        }
    }
}

#[test]
fn an_end_is_said_once_and_understood() {
    for suite in suites() {
        let (mut session, mut client) = agree(suite);
        session.end();
        session.end();
        let mut socket = Vec::new();
        session.flush(|bytes| take(&mut socket, bytes, usize::MAX)).unwrap();
        assert_eq!(client.open(&socket), [(content::ALERT, vec![1, 0])]);
        // It may go on reading, until the other side ends as well. What follows that is not looked at.
        let mut sent = client.data(b"more");
        sent.extend(client.seal(content::ALERT, &[1, 0]));
        sent.extend(b"not even a record");
        let (bytes, ended, said) = read(&mut session, &sent);
        assert_eq!(bytes, b"more");
        assert!(matches!(ended, Ok(Read::Ended)) && said.is_empty());
        assert!(matches!(read(&mut session, b"x").1, Ok(Read::Ended)));
    }
}

#[test]
fn what_is_not_allowed_ends_the_connection_with_the_right_alert() {
    type Make = fn(&mut Client) -> Vec<u8>;
    let both: &[(&str, Make, Alert)] = &[
        ("a changed byte", |client| flipped(client.data(b"hello"), 12), Alert::BadRecordMac),
        (
            "a changed length",
            |client| [client.data(b"hello"), vec![0]].concat_with_length(1),
            Alert::BadRecordMac,
        ),
        ("no room for a tag", |_| vec![23, 3, 3, 0, 3, 1, 2, 3], Alert::BadRecordMac),
        ("a record again", |client| client.data(b"hello").repeat(2), Alert::BadRecordMac),
        ("a length beyond all", |_| vec![23, 3, 3, 0xff, 0xff], Alert::RecordOverflow),
        ("a type that is none", |_| vec![24, 3, 3, 0, 30], Alert::UnexpectedMessage),
        ("change_cipher_spec", |_| vec![20, 3, 3, 0, 1, 1], Alert::UnexpectedMessage),
        ("a handshake message without a byte", |client| client.seal(22, b""), Alert::UnexpectedMessage),
        ("a Finished", |client| client.seal(22, &[20, 0, 0, 1, 0]), Alert::UnexpectedMessage),
        ("half an alert", |client| client.seal(21, &[1]), Alert::DecodeError),
        ("two alerts in one", |client| client.seal(21, &[1, 90, 1, 90]), Alert::DecodeError),
        (
            "warnings without end",
            |client| (0..5).flat_map(|_| client.seal(21, &[1, 90])).collect(),
            Alert::UnexpectedMessage,
        ),
        (
            "records without data without end",
            |client| (0..33).flat_map(|_| client.data(b"")).collect(),
            Alert::UnexpectedMessage,
        ),
        ("the content of another protocol", |client| client.seal(24, b"x"), Alert::UnexpectedMessage),
    ];
    let new: &[(&str, Make, Alert)] = &[
        ("a plain alert", |_| vec![21, 3, 3, 0, 2, 2, 10], Alert::UnexpectedMessage),
        (
            "key updates without end",
            |client| (0..33).flat_map(|_| updated(client, &KEY_UPDATE)).collect(),
            Alert::UnexpectedMessage,
        ),
        (
            "asking key updates without end",
            |client| (0..33).flat_map(|_| updated(client, &ASKING_KEY_UPDATE)).collect(),
            Alert::UnexpectedMessage,
        ),
        (
            "a key update that asks for something else",
            |client| client.seal(22, &[24, 0, 0, 1, 2]),
            Alert::IllegalParameter,
        ),
        ("a long key update", |client| client.seal(22, &[24, 0, 0, 2, 0, 0]), Alert::DecodeError),
        (
            "something behind a key update",
            |client| client.seal(22, &[24, 0, 0, 1, 0, 24]),
            Alert::UnexpectedMessage,
        ),
        (
            "data within a key update",
            |client| [client.seal(22, &[24, 0]), client.data(b"x")].concat(),
            Alert::UnexpectedMessage,
        ),
        (
            "the key from before an update",
            |client| {
                let late = client.seal(22, &KEY_UPDATE);
                [late, client.data(b"x")].concat()
            },
            Alert::BadRecordMac,
        ),
        ("a ClientHello", |client| client.seal(22, &[1, 0, 0, 1, 0]), Alert::UnexpectedMessage),
        ("nothing but zeros", |client| client.seal(0, &[0; 9]), Alert::UnexpectedMessage),
        ("a length beyond what is allowed", |_| vec![23, 3, 3, 0x41, 0x01], Alert::RecordOverflow),
    ];
    let old: &[(&str, Make, Alert)] = &[
        ("a length beyond what is allowed", |_| vec![23, 3, 3, 0x48, 0x01], Alert::RecordOverflow),
        ("a HelloRequest", |client| client.seal(22, &[0, 0, 0, 0]), Alert::UnexpectedMessage),
        ("a key update", |client| client.seal(22, &KEY_UPDATE), Alert::UnexpectedMessage),
        ("a renegotiation without end", |client| client.seal(22, &[1, 0xff, 0, 0]), Alert::UnexpectedMessage),
        (
            "data within a renegotiation",
            |client| [client.seal(22, &[1, 0, 0, 9]), client.data(b"x")].concat(),
            Alert::UnexpectedMessage,
        ),
    ];
    for suite in suites() {
        let own = if is_tls13(suite) { new } else { old };
        for (what, make, alert) in both.iter().chain(own) {
            let (mut session, mut client) = agree(suite);
            let bytes = make(&mut client);
            assert_eq!(refused(&mut session, &mut client, &bytes), fatal(*alert), "{what}, {suite:?}");
        }
    }
}

#[test]
fn a_renegotiation_is_refused_and_a_second_one_ends_the_connection() {
    for suite in suites().into_iter().filter(|suite| !is_tls13(*suite)) {
        let (mut session, mut client) = agree(suite);
        let hello = [&[1, 0, 1, 0][..], &[7; 256]].concat();
        let mut sent = client.seal(content::HANDSHAKE, &hello[..100]);
        sent.extend(client.seal(content::HANDSHAKE, &hello[100..]));
        sent.extend(client.data(b"x"));
        let (bytes, ended, said) = read(&mut session, &sent);
        assert!(matches!(ended, Ok(Read::Blocked)));
        assert_eq!(bytes, b"x");
        assert_eq!(client.open(&said), [(content::ALERT, vec![1, 100])]);
        let again = client.seal(content::HANDSHAKE, &hello);
        assert_eq!(refused(&mut session, &mut client, &again), fatal(Alert::UnexpectedMessage));
    }
}

#[test]
fn an_alert_of_the_client_ends_the_connection_without_an_answer() {
    for suite in suites() {
        let (mut session, mut client) = agree(suite);
        let (_, ended, said) = read(&mut session, &client.seal(content::ALERT, &[2, 20]));
        let error = ended.unwrap_err();
        let fault = error.get_ref().and_then(|error| error.downcast_ref::<Fault>());
        assert_eq!((fault, said), (Some(&Fault::Told(20)), Vec::new()));
    }
}

#[test]
fn a_warning_or_an_empty_record_is_nothing() {
    for suite in suites() {
        let (mut session, mut client) = agree(suite);
        let mut sent = Vec::new();
        for _ in 0..100 {
            sent.extend((0..32).flat_map(|_| client.data(b"")).collect::<Vec<_>>());
            sent.extend(client.data(b"x"));
        }
        sent.extend(client.seal(content::ALERT, &[1, 90]));
        let (bytes, ended, said) = read(&mut session, &sent);
        assert!(matches!(ended, Ok(Read::Blocked)) && said.is_empty());
        assert_eq!(bytes, vec![b'x'; 100]);
    }
}

#[test]
fn records_of_any_content_are_read_or_end_it() {
    for seed in 0..4_000 {
        let mut random_number = fastrand::Rng::with_seed(seed);
        let mut input = vec![random_number.u8(..), random_number.u8(..)];
        for _ in 0..random_number.u8(..40) {
            let kind = random_number.choice([21, 22, 22, 23, 23, 23, 24, 0x80]).unwrap();
            let message = match random_number.u8(..4) {
                0 => random(seed, random_number.usize(..60)),
                1 => ASKING_KEY_UPDATE[..random_number.usize(..=5)].to_vec(),
                2 => vec![1, random_number.choice([0, 90, 100]).unwrap()],
                _ => KEY_UPDATE.to_vec(),
            };
            input.extend([kind, 0, u8::try_from(message.len()).unwrap()]);
            input.extend(message);
        }
        super::fuzzing::records(&input);
    }
}

#[test]
fn a_session_is_small_and_shows_no_keys() {
    assert!(size_of::<Session>() <= 448, "{}", size_of::<Session>());
    let (session, client) = agree(suites()[0]);
    let shown = format!("{session:?}");
    assert!(shown.contains("sequence") && shown.len() < 250, "{shown}");
    assert_eq!(format!("{:?}", client.tx), "Keys { sequence: 0, .. }");
}

fn updated(client: &mut Client, update: &[u8]) -> Vec<u8> {
    let sealed = client.seal(content::HANDSHAKE, update);
    client.tx.update().unwrap();
    sealed
}

fn flipped(mut record: Vec<u8>, place: usize) -> Vec<u8> {
    record[place] ^= 1;
    record
}

/// Records of which the first is said to be longer than it is.
trait ConcatWithLength {
    fn concat_with_length(self, more: u8) -> Vec<u8>;
}

impl<const N: usize> ConcatWithLength for [Vec<u8>; N] {
    fn concat_with_length(self, more: u8) -> Vec<u8> {
        let mut bytes = self.concat();
        bytes[4] += more;
        bytes
    }
}
