//! Clients that make work for nothing. What they may do, and what they may have this side keep, is bounded.

use http::{HeaderMap, StatusCode};
use tidings_http2::{ErrorCode, Settings, limits};

use crate::support::client::{
    DATA, END, END_HEADERS, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, field, frame, request,
};
use crate::support::{Client, Said};

const CALM: Said = Said::Failed(ErrorCode::ENHANCE_YOUR_CALM);

/// So many of something are put up with, again after some seconds, and one more is not.
fn is_bounded(limit: u16, mut act: impl FnMut(&mut Client, u32) -> Vec<Said>) {
    let mut client = Client::new(Settings::default());
    // Another span begins, in which nothing was counted.
    client.now = 100;
    let mut number = 0;
    let mut next = |client: &mut Client| {
        let said = act(client, number);
        number += 1;
        client.out.clear();
        said
    };
    for _ in 0..limit {
        assert!(!next(&mut client).contains(&CALM));
    }
    client.now += limits::FLOOD_SECONDS;
    for _ in 0..limit {
        assert!(!next(&mut client).contains(&CALM));
    }
    client.now += limits::FLOOD_SECONDS - 1;
    assert!(next(&mut client).contains(&CALM));
}

#[test]
fn requests_that_are_given_up() {
    is_bounded(limits::RESETS, |client, number| {
        client.get(2 * number + 1);
        client.say(&frame(RST_STREAM, 0, 2 * number + 1, &[0, 0, 0, 8]))
    });
}

#[test]
fn answers_that_are_given_up_are_none() {
    let mut client = Client::new(Settings::default());
    for number in 0..u32::from(limits::RESETS) * 2 {
        let stream = 2 * number + 1;
        client.get(stream);
        client.answer(stream);
        let said = client.say(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        assert_eq!(said, [Said::Reset(stream, ErrorCode::CANCEL, false)]);
    }
}

#[test]
fn requests_that_have_to_be_reset() {
    is_bounded(limits::STREAM_ERRORS, |client, number| {
        client.say(&frame(HEADERS, END, 2 * number + 1, &request("GET", &[("A", "b")])))
    });
}

#[test]
fn streams_that_have_to_be_reset() {
    is_bounded(limits::STREAM_ERRORS, |client, number| {
        client.post(2 * number + 1);
        client.say(&frame(WINDOW_UPDATE, 0, 2 * number + 1, &[0; 4]))
    });
}

#[test]
fn streams_that_are_too_many() {
    let mut client = Client::new(Settings { max_concurrent_streams: 1, ..Settings::default() });
    client.get(1);
    let said = (0..=u32::from(limits::STREAM_ERRORS))
        .flat_map(|number| client.say(&frame(HEADERS, END, 2 * number + 3, &request("GET", &[]))))
        .collect::<Vec<_>>();
    assert_eq!(said, [CALM]);
}

#[test]
fn settings_again_and_again() {
    is_bounded(limits::SETTINGS, |client, _| client.say(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])));
}

#[test]
fn empty_frames_of_data() {
    is_bounded(limits::EMPTY_FRAMES, |client, number| {
        if number == 0 {
            client.post(1);
        }
        client.say(&frame(DATA, 0, 1, b""))
    });
    // They are counted as well where nobody wants them.
    is_bounded(limits::EMPTY_FRAMES, |client, number| {
        if number == 0 {
            client.post(1);
            client.connection.reset(1, ErrorCode::CANCEL, &mut Vec::new());
        }
        client.say(&frame(DATA, 0, 1, b""))
    });
}

#[test]
fn small_frames_of_data() {
    is_bounded(limits::SMALL_FRAMES, |client, number| {
        if number == 0 {
            client.post(1);
        }
        let said = client.say(&frame(DATA, 0, 1, b"x"));
        client.connection.consumed(1, 1, &mut client.out);
        said
    });
}

/// What comes through a tunnel are messages, which may be small and many.
#[test]
fn small_frames_of_a_tunnel() {
    let mut client = Client::new(Settings { enable_connect_protocol: true, ..Settings::default() });
    let block = [&request("CONNECT", &[])[..], &field(":protocol", "websocket")].concat();
    client.say(&frame(HEADERS, END_HEADERS, 1, &block));
    for _ in 0..limits::SMALL_FRAMES * 2 {
        let said = client.say(&frame(DATA, 0, 1, b"x"));
        assert_eq!(said, [Said::Data(1, b"x".to_vec(), false)]);
        client.out.clear();
    }
    for _ in 0..limits::EMPTY_FRAMES {
        assert_eq!(client.say(&frame(DATA, 0, 1, b"")), []);
    }
    assert_eq!(client.say(&frame(DATA, 0, 1, b"")), [CALM]);
}

#[test]
fn frames_that_bring_nothing() {
    let frames = [
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, 1, 0, &[0; 8]),
        frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        frame(16, 0, 0, &[0, 0, 0, 1]),
        frame(99, 0, 0, b"unknown"),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    ];
    for frame in frames {
        is_bounded(limits::CONTROL_FRAMES, |client, number| {
            if number == 0 {
                client.get(1);
            }
            client.say(&frame)
        });
    }
    is_bounded(limits::CONTROL_FRAMES, |client, number| {
        if number == 0 {
            client.get(1);
            client.connection.reset(1, ErrorCode::CANCEL, &mut Vec::new());
        }
        client.say(&frame(RST_STREAM, 0, 1, &[0; 4]))
    });
}

#[test]
fn a_client_may_open_its_windows_for_all_data_that_it_gets() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    client.answer(1);
    let windows = [0, 1].map(|stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1])).concat();
    for _ in 0..u32::from(limits::CONTROL_FRAMES) {
        assert_eq!(client.send(1, b"x", false), Some(1));
        assert_eq!(client.say(&windows), []);
        client.out.clear();
    }
}

#[test]
fn a_client_may_not_open_its_windows_by_a_byte_at_a_time_for_ever() {
    is_bounded(limits::CONTROL_FRAMES, |client, number| {
        if number == 0 {
            client.say(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
            client.get(1);
            client.answer(1);
            assert_eq!(client.send(1, &[b'x'; 1_000], false), Some(0));
        }
        let said = client.say(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]));
        if said == [Said::Room(1)] {
            assert_eq!(client.send(1, &[b'x'; 1_000], false), Some(1));
        }
        said
    });
}

#[test]
fn answers_are_no_more_than_what_asked_for_them() {
    let malformed = frame(HEADERS, END, 1, &[0x82]);
    for ask in
        [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[]), malformed, frame(DATA, 0, 1, &[0; 16_384])]
    {
        let mut client = Client::new(Settings::default());
        if ask[3] == DATA {
            client.say(&frame(HEADERS, END_HEADERS, 1, &request("POST", &[])));
            client.connection.respond(1, StatusCode::OK, &HeaderMap::new(), true, &mut client.out).unwrap();
            client.connection.reset(1, ErrorCode::NO_ERROR, &mut client.out);
        }
        client.out.clear();
        client.say(&ask);
        assert!(client.out.len() <= 2 * ask.len(), "{ask:?}: {:?}", client.out);
    }
}
