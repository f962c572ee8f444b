use super::frame::PADDED;
use super::*;
use crate::bench::head::Head;

/// What a listener was told, in words.
#[derive(Debug, Default)]
struct Transcript(Vec<String>);

impl Listener for Transcript {
    type Error = ConnectionError;

    fn head(&mut self, slot: usize, head: &Head<'_>) -> Result<(), ConnectionError> {
        self.0.push(format!("{slot} {} {}", head.status, head.etag.unwrap_or("-")));
        Ok(())
    }

    fn piece(&mut self, slot: usize, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.0.push(format!("{slot} {}", String::from_utf8_lossy(bytes)));
        Ok(())
    }

    fn end(&mut self, slot: usize, _: bool) -> Result<(), ConnectionError> {
        self.0.push(format!("{slot} end"));
        Ok(())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_head(payload.len(), kind, flags, stream, &mut out);
    out.extend_from_slice(payload);
    out
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A connection that has asked over so many slots, and what it has sent.
fn asked(slots: usize) -> (Http2, Vec<u8>) {
    let mut out = Vec::new();
    let mut http2 = Http2::new(slots, &mut out);
    for slot in 0..slots {
        let request =
            b"GET /topics/a HTTP/1.1\r\nHost: hub:1\r\nConnection: keep-alive\r\nCookie: a=1; b=2\r\n\r\n";
        http2.ask(slot, request, true, &mut out);
    }
    (http2, out)
}

/// The kinds, streams and payloads of frames.
fn read(mut bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _, s, t, u, v, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
        frames.push((*kind, u32::from_be_bytes([*s, *t, *u, *v]), payload.to_vec()));
        bytes = rest;
    }
    frames
}

#[test]
fn says_what_a_browser_says() {
    let (_, out) = asked(2);
    let frames = read(out.strip_prefix(PREFACE).unwrap());
    let kinds: Vec<_> = frames.iter().map(|(kind, stream, _)| (*kind, *stream)).collect();
    assert_eq!(kinds, [(SETTINGS, 0), (WINDOW_UPDATE, 0), (HEADERS, 1), (HEADERS, 3)]);
    let (mut decoder, mut fields) = (Decoder::new(4_096), Vec::new());
    for (_, _, block) in &frames[2..] {
        fields.clear();
        decoder.decode(block, |name, value| fields.push(format!("{name}: {value}"))).unwrap();
    }
    let expected = [
        ":method: GET",
        ":authority: hub:1",
        ":scheme: https",
        ":path: /topics/a",
        "cookie: a=1",
        "cookie: b=2",
    ];
    assert_eq!(fields, expected);
    // What is the same stands in the table.
    assert!(frames[3].2.len() < frames[2].2.len());
}

/// Two answers at once, in whatever pieces they come: `:status: 200` is one byte, an etag follows, and padding is passed over.
#[test]
fn answers_are_told_apart_wherever_they_are_cut() {
    let head = [0x88, 0x0f, 0x13, 0x01, b'7'];
    let bytes = [
        frame(SETTINGS, 0, 0, &setting(MAX_CONCURRENT_STREAMS, 100)),
        frame(SETTINGS, ACK, 0, &[]),
        frame(HEADERS, 0, 1, &head[..2]),
        frame(CONTINUATION, END_HEADERS, 1, &head[2..]),
        frame(DATA, 0, 1, b"one"),
        frame(HEADERS, END_HEADERS | PADDED, 3, &[2, 0x88, 0, 0]),
        frame(DATA, PADDED, 3, b"\x03two\0\0\0"),
        frame(PING, 0, 0, b"12345678"),
        frame(DATA, 0, 1, b"more"),
        frame(DATA, END_STREAM, 3, b""),
        frame(77, 0, 0, b"of another time"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x40, 1, b'x', 1, b'y']),
    ]
    .concat();
    let expected = ["0 200 7", "0 one", "1 200 -", "1 two", "0 more", "1 end", "0 end"];
    for cut in 0..=bytes.len() {
        let ((mut http2, _), mut told, mut out) = (asked(2), Transcript::default(), Vec::new());
        http2.take(&bytes[..cut], &mut told, &mut out).unwrap();
        http2.take(&bytes[cut..], &mut told, &mut out).unwrap();
        assert_eq!(told.0, expected, "{cut}");
        assert!(!http2.is_waiting());
        assert_eq!(read(&out), [(SETTINGS, 0, vec![]), (PING, 0, b"12345678".to_vec())], "{cut}");
    }
}

#[test]
fn windows_are_given_back_in_large_steps() {
    let ((mut http2, _), mut told, mut out) = (asked(1), Transcript::default(), Vec::new());
    let mut bytes = frame(SETTINGS, 0, 0, &[]);
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &[0x88]));
    http2.take(&bytes, &mut told, &mut out).unwrap();
    out.clear();
    let data = frame(DATA, 0, 1, &[b'x'; FRAME_BYTES]);
    let mut taken = 0;
    while taken < 2 * CONNECTION_WINDOW {
        http2.take(&data, &mut told, &mut out).unwrap();
        taken += FRAME_BYTES;
    }
    let updates = read(&out);
    assert!(updates.len() < 20, "{}", updates.len());
    for (stream, window) in [(0, CONNECTION_WINDOW), (1, STREAM_WINDOW)] {
        let own = updates.iter().filter(|(kind, of, _)| (*kind, *of) == (WINDOW_UPDATE, stream));
        let given: usize = own.map(|(_, _, payload)| number(payload, 0).unwrap() as usize).sum();
        assert!(taken - given < window, "{stream}");
    }
}

#[test]
fn a_body_goes_as_far_as_there_is_room() {
    let mut sent = Vec::new();
    let mut http2 = Http2::new(1, &mut sent);
    let body = vec![b'x'; 100_000];
    let request = [b"POST /topics/a HTTP/1.1\r\nHost: hub\r\n\r\n", &*body].concat();
    sent.clear();
    http2.ask(0, &request, false, &mut sent);
    let data = |bytes: &[u8]| -> usize {
        read(bytes).iter().filter(|(kind, ..)| *kind == DATA).map(|(_, _, payload)| payload.len()).sum()
    };
    assert_eq!(data(&sent), 65_535);
    // Room for the stream alone is none.
    let mut told = Transcript::default();
    let wide = [
        frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW_SIZE, 80_000)),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0x10, 0]),
    ];
    http2.take(&wide.concat(), &mut told, &mut sent).unwrap();
    assert_eq!(data(&sent), 65_535);
    http2.take(&frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]), &mut told, &mut sent).unwrap();
    assert_eq!(data(&sent), 84_096);
    http2.take(&frame(WINDOW_UPDATE, 0, 1, &[0, 1, 0, 0]), &mut told, &mut sent).unwrap();
    assert_eq!(data(&sent), 100_000);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let settings = frame(SETTINGS, 0, 0, &[]);
    let go_away = |last: u32, code: u32| {
        frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes(), *b"slow"].concat())
    };
    for (bytes, words) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "does not speak HTTP/2"),
        ([settings.clone(), frame(RST_STREAM, 0, 1, &7_u32.to_be_bytes())].concat(), "REFUSED_STREAM"),
        ([settings.clone(), go_away(1, 11)].concat(), "ENHANCE_YOUR_CALM slow"),
        ([settings.clone(), go_away(0, 0)].concat(), "NO_ERROR"),
        (
            frame(SETTINGS, 0, 0, &setting(MAX_CONCURRENT_STREAMS, 1)),
            "takes 1 streams on a connection, fewer",
        ),
        ([settings.clone(), frame(DATA, PADDED, 1, &[5])].concat(), "shorter than it says"),
        ([settings.clone(), frame(HEADERS, END_HEADERS, 1, &[0x80])].concat(), "HPACK"),
        (
            [settings.clone(), frame(HEADERS, 0, 1, &[0x88]), settings.clone()].concat(),
            "not brought to its end",
        ),
        ([settings.clone(), frame(CONTINUATION, END_HEADERS, 1, &[0x88])].concat(), "belongs to none"),
        ([settings.clone(), frame(RST_STREAM, 0, 1, &[0])].concat(), "too short"),
        ([settings, vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]].concat(), "larger than was allowed"),
    ] {
        let (mut http2, _) = asked(2);
        let error = http2.take(&bytes, &mut Transcript::default(), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// The answers that are on their way still come.
#[test]
fn a_connection_that_ends_in_peace_takes_no_more_requests() {
    let ((mut http2, _), mut told) = (asked(1), Transcript::default());
    let bytes = [frame(SETTINGS, 0, 0, &[]), frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])].concat();
    http2.take(&bytes, &mut told, &mut Vec::new()).unwrap();
    assert!(!http2.takes_requests() && http2.is_waiting());
    http2.take(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]), &mut told, &mut Vec::new()).unwrap();
    assert_eq!(told.0, ["0 200 -", "0 end"]);
}
