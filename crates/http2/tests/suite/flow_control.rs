//! Windows, against a model of what both sides know of them (RFC 9113 §5.2, §6.9).

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tidings_http2::{ErrorCode, Settings};

use crate::support::client::{
    DATA, END_STREAM, PADDED, SETTINGS, WINDOW_UPDATE, frame, reset, window_update,
};
use crate::support::{Client, Said};

const STREAMS: u32 = 4;

#[derive(Debug, Clone)]
enum Act {
    Send { stream: u32, count: usize },
    Open { stream: u32, by: u32 },
    OpenConnection { by: u32 },
    Resize { window: u32 },
}

fn act() -> impl Strategy<Value = Act> {
    let stream = (0..STREAMS).prop_map(|number| 2 * number + 1);
    prop_oneof![
        4 => (stream.clone(), 0..60_000_usize).prop_map(|(stream, count)| Act::Send { stream, count }),
        2 => (stream, 1..50_000_u32).prop_map(|(stream, by)| Act::Open { stream, by }),
        2 => (1..100_000_u32).prop_map(|by| Act::OpenConnection { by }),
        1 => (0..100_000_u32).prop_map(|window| Act::Resize { window }),
    ]
}

/// What the client knows of the windows that it has given.
struct Model {
    connection: i64,
    initial: i64,
    streams: BTreeMap<u32, i64>,
    /// Who was told that not all was taken.
    waiting: Vec<u32>,
}

impl Model {
    fn room(&self, stream: u32) -> usize {
        usize::try_from(self.connection.min(self.streams[&stream]).max(0)).unwrap()
    }

    /// Those of whom it has to be told that they have room again.
    fn told(&mut self) -> Vec<u32> {
        let (told, waiting) = self.waiting.iter().partition(|stream| self.room(**stream) > 0);
        self.waiting = waiting;
        told
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_more_is_sent_than_windows_allow_and_all_that_they_allow(acts in vec(act(), 1..60)) {
        let mut client = Client::new(Settings::default());
        let mut model = Model { connection: 65_535, initial: 65_535, streams: BTreeMap::new(), waiting: vec![] };
        for number in 0..STREAMS {
            client.get(2 * number + 1);
            client.answer(2 * number + 1);
            model.streams.insert(2 * number + 1, 65_535);
        }
        for act in acts {
            client.out.clear();
            let mut said = vec![];
            match act {
                Act::Send { stream, count } => {
                    let room = model.room(stream);
                    prop_assert_eq!(client.connection.window(stream), room);
                    let sent = client.send(stream, &vec![0; count], false).unwrap();
                    prop_assert_eq!(sent, count.min(room));
                    let frames = client.frames();
                    let bytes: usize = frames.iter().map(|frame| frame.payload.len()).sum();
                    prop_assert_eq!(bytes, sent);
                    prop_assert!(frames.iter().all(|frame| frame.kind == DATA && frame.stream == stream));
                    prop_assert!(frames.iter().all(|frame| (1..=16_384).contains(&frame.payload.len())));
                    let bytes = i64::try_from(sent).unwrap();
                    model.connection -= bytes;
                    *model.streams.get_mut(&stream).unwrap() -= bytes;
                    model.waiting.retain(|other| *other != stream);
                    if sent < count {
                        model.waiting.push(stream);
                    }
                }
                Act::Open { stream, by } => {
                    *model.streams.get_mut(&stream).unwrap() += i64::from(by);
                    said = client.say(&frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes()));
                }
                Act::OpenConnection { by } => {
                    model.connection += i64::from(by);
                    said = client.say(&frame(WINDOW_UPDATE, 0, 0, &by.to_be_bytes()));
                }
                Act::Resize { window } => {
                    let change = i64::from(window) - model.initial;
                    model.initial = window.into();
                    model.streams.values_mut().for_each(|stream| *stream += change);
                    let payload = [&[0, 4][..], &window.to_be_bytes()].concat();
                    said = client.say(&frame(SETTINGS, 0, 0, &payload));
                }
            }
            let mut rooms = said.into_iter().map(|said| match said {
                Said::Room(stream) => stream,
                other => panic!("{other:?}"),
            }).collect::<Vec<_>>();
            rooms.sort_unstable();
            let mut told = model.told();
            told.sort_unstable();
            prop_assert_eq!(rooms, told);
        }
    }

    /// A client that sends what it may, to somebody who uses it bit by bit, may always go on.
    #[test]
    fn a_client_that_keeps_to_its_windows_is_never_stuck(
        window in 1..100_000_u32,
        pieces in vec((0..3_u32, 1..20_000_usize, 0..20_000_usize, any::<u8>()), 1..100),
    ) {
        let settings = Settings { initial_window_size: window, connection_window_size: 65_535, ..Settings::default() };
        let mut client = Client::new(settings);
        let mut windows = BTreeMap::from([(0, 65_535_i64)]);
        let mut unused = BTreeMap::new();
        for stream in [1, 3, 5] {
            client.post(stream);
            windows.insert(stream, window.into());
            unused.insert(stream, 0);
        }
        for (number, count, used, padding) in pieces {
            let stream = 2 * number + 1;
            let room = usize::try_from(windows[&0].min(windows[&stream])).unwrap().min(16_384);
            let (padding, count) = (usize::from(padding) + 1, count.min(room));
            let (flags, payload, data) = match count.checked_sub(padding) {
                Some(data) => (8, [vec![u8::try_from(padding - 1).unwrap()], vec![0; count - 1]].concat(), data),
                None => (0, vec![0; count], count),
            };
            let said = client.say(&frame(DATA, flags, stream, &payload));
            let expected = if data == 0 { vec![] } else { vec![Said::Data(stream, vec![0; data], false)] };
            prop_assert_eq!(said, expected);
            *windows.get_mut(&0).unwrap() -= i64::try_from(count).unwrap();
            *windows.get_mut(&stream).unwrap() -= i64::try_from(count).unwrap();
            let waiting = unused.get_mut(&stream).unwrap();
            *waiting += data;
            let used = used.min(*waiting);
            *waiting -= used;
            client.connection.consumed(stream, used, &mut client.out);
            update(&mut client, &mut windows);
        }
        for (stream, unused) in unused {
            client.connection.consumed(stream, unused, &mut client.out);
            update(&mut client, &mut windows);
            // More than half of it is always open.
            prop_assert!(windows[&stream] > i64::from(window) / 2, "{} of {}", windows[&stream], window);
        }
        prop_assert!(windows[&0] > 65_535 / 2);
    }
}

/// Takes the windows that were opened, of which none is larger than at its beginning.
fn update(client: &mut Client, windows: &mut BTreeMap<u32, i64>) {
    for opened in client.frames() {
        assert_eq!(opened.kind, WINDOW_UPDATE);
        let increment = u32::from_be_bytes(opened.payload[..].try_into().unwrap());
        *windows.get_mut(&opened.stream).unwrap() += i64::from(increment);
    }
    assert!(windows[&0] <= 65_535);
}

#[test]
fn more_than_a_window_allows_is_refused() {
    let settings = Settings { initial_window_size: 10, ..Settings::default() };
    let mut client = Client::new(settings);
    client.post(1);
    client.post(3);
    assert_eq!(
        client.say(&frame(DATA, 0, 1, &[0; 11])),
        [Said::Reset(1, ErrorCode::FLOW_CONTROL_ERROR, true)]
    );
    assert_eq!(client.frames(), [reset(1, ErrorCode::FLOW_CONTROL_ERROR)]);
    assert_eq!(client.say(&frame(DATA, 0, 3, &[0; 10])), [Said::Data(3, vec![0; 10], false)]);
    client.connection.consumed(3, 4, &mut client.out);
    assert_eq!(client.frames(), []);
    client.connection.consumed(3, 1, &mut client.out);
    assert_eq!(client.frames(), [window_update(3, 5)]);
    // More than came is not used.
    client.connection.consumed(3, 100, &mut client.out);
    assert_eq!(client.frames(), [window_update(3, 5)]);
}

#[test]
fn more_than_the_connections_window_allows_ends_it() {
    let settings =
        Settings { initial_window_size: 1 << 20, connection_window_size: 0, ..Settings::default() };
    let mut client = Client::new(settings);
    client.post(1);
    // Padding counts.
    let padded = frame(DATA, PADDED, 1, &[&[255][..], &[0; 16_383]].concat());
    for _ in 0..3 {
        assert_eq!(client.say(&padded), [Said::Data(1, vec![0; 16_128], false)]);
    }
    let said = client.say(&padded);
    assert_eq!(said, [Said::Failed(ErrorCode::FLOW_CONTROL_ERROR)]);
}

#[test]
fn a_smaller_window_than_the_default_holds_once_the_client_knows() {
    let mut client = Client::silent(Settings { initial_window_size: 100, ..Settings::default() });
    let hello = [&tidings_http2::PREFACE[..], &frame(SETTINGS, 0, 0, &[])].concat();
    client.say(&hello);
    client.post(1);
    // It did not know.
    assert_eq!(client.say(&frame(DATA, 0, 1, &[0; 150])), [Said::Data(1, vec![0; 150], false)]);
    assert_eq!(client.say(&frame(SETTINGS, 1, 0, &[])), []);
    client.out.clear();
    client.connection.consumed(1, 150, &mut client.out);
    assert_eq!(client.frames()[0], window_update(1, 150));
    assert_eq!(client.say(&frame(DATA, 0, 1, &[0; 100])), [Said::Data(1, vec![0; 100], false)]);
    assert_eq!(client.say(&frame(DATA, 0, 1, &[0])), [Said::Reset(1, ErrorCode::FLOW_CONTROL_ERROR, true)]);
}

#[test]
fn what_nobody_used_of_a_stream_that_is_gone_is_given_back() {
    let settings = Settings { connection_window_size: 65_535, ..Settings::default() };
    for end in [true, false] {
        let mut client = Client::new(settings.clone());
        client.post(1);
        client.say(&frame(DATA, 0, 1, &[0; 16_384]));
        client.say(&frame(DATA, END_STREAM, 1, &[0; 16_384]));
        if end {
            client.answer(1);
            client.send(1, b"", true);
            client.out.drain(..9);
        } else {
            client.say(&frame(3, 0, 1, &[0; 4]));
        }
        assert_eq!(client.frames(), [window_update(0, 32_768)]);
    }
}

#[test]
fn windows_are_never_too_large() {
    let most = &0x7fff_ffff_u32.to_be_bytes();
    let mut client = Client::new(Settings::default());
    client.get(1);
    assert_eq!(
        client.say(&frame(WINDOW_UPDATE, 0, 1, most)),
        [Said::Reset(1, ErrorCode::FLOW_CONTROL_ERROR, true)]
    );
    client.get(3);
    client.say(&frame(WINDOW_UPDATE, 0, 3, &(0x7fff_ffff_u32 - 65_535).to_be_bytes()));
    let larger = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    assert_eq!(client.say(&larger), [Said::Failed(ErrorCode::FLOW_CONTROL_ERROR)]);
    let mut client = Client::new(Settings::default());
    assert_eq!(client.say(&frame(WINDOW_UPDATE, 0, 0, most)), [Said::Failed(ErrorCode::FLOW_CONTROL_ERROR)]);
}

#[test]
fn all_who_wait_for_the_connections_window_have_their_turn() {
    let mut client = Client::new(Settings::default());
    for stream in [1, 3, 5] {
        client.get(stream);
        client.answer(stream);
    }
    client.send(1, &[0; 65_535], false);
    for stream in [1, 3, 5] {
        client.connection.want_room(stream);
    }
    let mut turns = Vec::new();
    for _ in 0..6 {
        client.say_to(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), |connection, said, out| {
            let Said::Room(stream) = said else { panic!("{said:?}") };
            turns.push(stream);
            // It sends one byte, and has more.
            assert_eq!(connection.send(stream, b"xy", false, out), Ok(1));
        });
    }
    // The first had no window of its own, as it has sent all that it may.
    assert_eq!(turns, [3, 5, 3, 5, 3, 5]);
}

#[test]
fn room_that_is_asked_for_and_there_is_told_with_the_next_thing_received() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    client.answer(1);
    client.connection.want_room(1);
    assert_eq!(client.say(b""), [Said::Room(1)]);
    assert_eq!(client.say(b""), []);
    // Where there is none, it is told when there is.
    client.send(1, &[0; 65_535], false);
    client.connection.want_room(1);
    assert_eq!(client.say(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])), []);
    assert_eq!(client.say(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])), [Said::Room(1)]);
}
