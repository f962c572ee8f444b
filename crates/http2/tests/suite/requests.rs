use http::{HeaderMap, Method, StatusCode, Version};
use tidings_http2::{ErrorCode, Head, Settings, limits};

use crate::support::client::{
    CONTINUATION, DATA, END, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, RST_STREAM, WINDOW_UPDATE,
    field, frame, request, reset, window_update,
};
use crate::support::{Client, Said};

const PRIORITY_UPDATE: u8 = 16;

/// What a request with these fields becomes.
fn ask(block: &[u8]) -> Result<Head, ErrorCode> {
    ask_with(Settings::default(), block)
}

fn ask_with(settings: Settings, block: &[u8]) -> Result<Head, ErrorCode> {
    let mut client = Client::new(settings);
    let said = client.say(&frame(HEADERS, END, 1, block));
    match &said[..] {
        [Said::Request(1, head, true)] => Ok(head.clone()),
        [] => {
            let frames = client.frames();
            assert_eq!((frames.len(), frames[0].kind, frames[0].stream), (1, RST_STREAM, 1));
            Err(ErrorCode(u32::from_be_bytes(frames[0].payload[..].try_into().unwrap())))
        }
        other => panic!("{other:?}"),
    }
}

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

#[test]
fn a_head_is_as_it_was_sent() {
    let head = ask(&request("PUT", &[("accept", "*/*"), ("x", "1"), ("x", "2")])).unwrap();
    assert_eq!(head.method, Method::PUT);
    assert_eq!((head.scheme.as_deref(), head.authority.as_deref()), (Some("https"), Some("hub")));
    assert_eq!((head.path.as_deref(), head.protocol), (Some("/topics/a"), None));
    assert_eq!(head.headers.get_all("x").iter().collect::<Vec<_>>(), ["1", "2"]);
    let request = ask(&request("GET", &[])).unwrap().into_request(()).unwrap();
    assert_eq!(
        (request.uri().to_string(), request.version()),
        ("https://hub/topics/a".into(), Version::HTTP_2)
    );
}

#[test]
fn a_target_is_told_as_it_was_sent_whatever_it_is() {
    let target = |path: &str, authority: Option<&str>| {
        let mut block = fields(&[(":method", "GET"), (":scheme", "https"), (":path", path)]);
        block.extend(authority.map(|authority| field(":authority", authority)).unwrap_or_default());
        ask(&block)
    };
    let head = target("/topics/a#b?c", Some("hub")).unwrap();
    assert!(head.has_fragment());
    assert_eq!((head.path.as_deref(), head.uri().unwrap().path()), (Some("/topics/a#b?c"), "/topics/a"));
    let head = target("/topics/ü", Some("hub")).unwrap();
    assert!(!head.has_fragment());
    assert_eq!(head.path.as_deref(), Some("/topics/ü"));
    assert_eq!(target("/a?b", None).unwrap().uri().unwrap().to_string(), "/a?b");
    assert_eq!(target("*", Some("hub")).unwrap().uri().unwrap().path(), "*");
    for (path, authority) in [("topics/a b", "hub"), ("/", "h ub")] {
        assert_eq!(target(path, Some(authority)), Err(ErrorCode::PROTOCOL_ERROR));
    }
    for (path, authority) in [("/", "hub:port:x"), ("/", "/"), ("no-slash", "hub")] {
        let head = target(path, Some(authority)).unwrap();
        assert_eq!((head.path.as_deref(), head.authority.as_deref()), (Some(path), Some(authority)));
        assert!(head.uri().is_err(), "{path} {authority}");
    }
}

#[test]
fn a_cookie_in_pieces_is_one() {
    let head =
        ask(&request("GET", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")])).unwrap();
    assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
}

#[test]
fn a_cookie_in_very_many_pieces_is_one() {
    let settings = Settings { max_header_list_size: 1 << 20, ..Settings::default() };
    let mut client = Client::new(settings);
    let block = [request("GET", &[]), field("cookie", "x").repeat(25_000)].concat();
    let mut frames: Vec<_> = block.chunks(16_384).map(|piece| frame(CONTINUATION, 0, 1, piece)).collect();
    frames[0] = frame(HEADERS, END_STREAM, 1, &block[..16_384]);
    let last = frames.len() - 1;
    frames[last][4] = END_HEADERS;
    let said = client.say(&frames.concat());
    let [Said::Request(1, head, true)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(head.headers["cookie"].len(), 25_000 * 3 - 2);
}

#[test]
fn malformed_requests_are_reset() {
    let long = "1".repeat(30);
    for field in [
        ("content-length", "1"),
        ("content-length", ""),
        ("content-length", "+0"),
        ("content-length", "0, 0"),
        ("content-length", &long),
        ("te", "gzip"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("x y", "z"),
        ("x:y", "z"),
        ("", "z"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("x", "\r"),
        (":protocol", "websocket"),
        (":path", "/b"),
        (":unknown", "x"),
    ] {
        assert_eq!(ask(&request("GET", &[field])), Err(ErrorCode::PROTOCOL_ERROR), "{field:?}");
    }
    for field in [("content-length", "0"), ("te", "trailers"), ("x", ""), ("x", "\u{fc}"), ("x", " a ")] {
        assert!(ask(&request("GET", &[field])).is_ok(), "{field:?}");
    }
    let differing = request("GET", &[("content-length", "0"), ("content-length", "1")]);
    assert_eq!(ask(&differing), Err(ErrorCode::PROTOCOL_ERROR));
    for method in ["", "GE T", "G\u{e9}T"] {
        assert_eq!(ask(&request(method, &[])), Err(ErrorCode::PROTOCOL_ERROR), "{method}");
    }
}

#[test]
fn connect_has_no_path_and_an_extended_one_has() {
    let with = Settings { enable_connect_protocol: true, ..Settings::default() };
    let plain = fields(&[(":method", "CONNECT"), (":authority", "hub:80")]);
    let head = ask(&plain).unwrap();
    assert_eq!(head.uri().unwrap().to_string(), "hub:80");
    assert_eq!(ask(&request("CONNECT", &[])), Err(ErrorCode::PROTOCOL_ERROR));
    let extended = [&request("CONNECT", &[])[..], &field(":protocol", "websocket")].concat();
    assert_eq!(ask(&extended), Err(ErrorCode::PROTOCOL_ERROR));
    let head = ask_with(with.clone(), &extended).unwrap();
    assert_eq!((head.protocol.as_deref(), head.path.as_deref()), (Some("websocket"), Some("/topics/a")));
    for block in [
        [&plain[..], &field(":protocol", "websocket")].concat(),
        [&request("GET", &[])[..], &field(":protocol", "websocket")].concat(),
        request("CONNECT", &[]),
    ] {
        assert_eq!(ask_with(with.clone(), &block), Err(ErrorCode::PROTOCOL_ERROR));
    }
}

#[test]
fn a_head_that_is_too_large_is_told_and_can_be_answered() {
    let settings = Settings { max_header_list_size: 8 << 10, ..Settings::default() };
    let mut client = Client::new(settings);
    let large = request("POST", &[("x", &"y".repeat(8_200))]);
    assert_eq!(client.say(&frame(HEADERS, END_HEADERS, 1, &large)), [Said::TooLarge(1, false)]);
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    client.connection.respond(1, status, &HeaderMap::new(), true, &mut client.out).unwrap();
    client.connection.reset(1, ErrorCode::NO_ERROR, &mut client.out);
    let frames = client.frames();
    assert_eq!(frames[0].flags, END);
    assert_eq!(frames[1], reset(1, ErrorCode::NO_ERROR));
    // What fits is served, also when it comes in pieces.
    let fits = request("GET", &[("x", &"y".repeat(8_000 - 32 * 5))]);
    let pieces = [
        frame(HEADERS, END_STREAM, 3, &fits[..100]),
        frame(CONTINUATION, 0, 3, &fits[100..5_000]),
        frame(CONTINUATION, END_HEADERS, 3, &fits[5_000..]),
    ];
    assert!(matches!(client.say(&pieces.concat())[..], [Said::Request(3, _, true)]));
    // Many small fields count as much.
    let small = request("GET", &[("x", "y"); 300]);
    assert_eq!(client.say(&frame(HEADERS, END, 5, &small)), [Said::TooLarge(5, true)]);
}

#[test]
fn what_no_head_could_be_ends_the_connection() {
    let settings = Settings { max_header_list_size: 8 << 10, ..Settings::default() };
    // A field of 4,000 bytes that is then named by one byte each.
    let bomb = [&request("GET", &[])[..], b"\x40\x01x\x7f\xa1\x1e", &[b'y'; 4_000], &[0xbe; 8]].concat();
    let mut client = Client::new(settings.clone());
    let failed = [Said::Failed(ErrorCode::ENHANCE_YOUR_CALM)];
    assert_eq!(client.say(&frame(HEADERS, END, 1, &bomb)), failed);
    // A head without an end, large or not.
    let mut client = Client::new(settings.clone());
    let piece = frame(CONTINUATION, 0, 1, &[b'x'; 16_000]);
    let endless = [&frame(HEADERS, 0, 1, &request("GET", &[]))[..], &piece, &piece, &piece].concat();
    assert_eq!(client.say(&endless), failed);
    let mut client = Client::new(settings);
    assert_eq!(client.say(&frame(HEADERS, 0, 1, &request("GET", &[]))), []);
    let empty = frame(CONTINUATION, 0, 1, b"");
    assert_eq!(client.say(&empty.repeat(usize::from(limits::BLOCK_FRAMES) - 1)), []);
    assert_eq!(client.say(&empty), failed);
}

#[test]
fn a_body_comes_in_pieces_without_its_padding() {
    let mut client = Client::new(Settings::default());
    client.post(1);
    assert_eq!(client.say(&frame(DATA, PADDED, 1, b"\x03abcxyz")), [Said::Data(1, b"abc".to_vec(), false)]);
    // A piece that is all padding, and an empty one, are none.
    assert_eq!(client.say(&frame(DATA, PADDED, 1, b"\x02xy")), []);
    assert_eq!(client.say(&frame(DATA, 0, 1, b"")), []);
    let last = frame(DATA, PADDED | END_STREAM, 1, b"\x02defxy");
    assert_eq!(client.say(&last[..12]), [Said::Data(1, b"de".to_vec(), false)]);
    assert_eq!(client.say(&last[12..]), [Said::Data(1, b"f".to_vec(), true)]);
    client.post(3);
    assert_eq!(client.say(&frame(DATA, PADDED | END_STREAM, 3, b"\0")), [Said::Data(3, vec![], true)]);
}

#[test]
fn trailers_end_a_request() {
    let mut client = Client::new(Settings::default());
    client.post(1);
    let [Said::Trailers(1, fields)] = &client.say(&frame(HEADERS, END, 1, &field("x", "y")))[..] else {
        panic!()
    };
    assert_eq!(fields["x"], "y");
    for (stream, flags, block) in
        [(3, END_HEADERS, field("x", "y")), (5, END, field(":path", "/")), (7, END, field("X", "y"))]
    {
        client.post(stream);
        let malformed = [Said::Reset(stream, ErrorCode::PROTOCOL_ERROR, true)];
        assert_eq!(client.say(&frame(HEADERS, flags, stream, &block)), malformed);
    }
    // The body is shorter than it was said to be.
    let block = request("POST", &[("content-length", "3")]);
    client.say(&frame(HEADERS, END_HEADERS, 9, &block));
    client.say(&frame(DATA, 0, 9, b"ab"));
    let short = [Said::Reset(9, ErrorCode::PROTOCOL_ERROR, true)];
    assert_eq!(client.say(&frame(HEADERS, END, 9, &field("x", "y"))), short);
}

/// RFC 8441 §5, RFC 9113 §8.5.
#[test]
fn a_tunnel_goes_both_ways_and_has_data_alone() {
    let mut client = Client::new(Settings { enable_connect_protocol: true, ..Settings::default() });
    let block = [&request("CONNECT", &[])[..], &field(":protocol", "websocket")].concat();
    for stream in [1, 3, 5] {
        client.say(&frame(HEADERS, END_HEADERS, stream, &block));
        client.answer(stream);
    }
    client.frames();
    assert_eq!(client.say(&frame(DATA, 0, 1, b"ab")), [Said::Data(1, b"ab".to_vec(), false)]);
    assert_eq!(client.send(1, b"cd", false), Some(2));
    // Either side may end first.
    assert_eq!(client.say(&frame(DATA, END_STREAM, 1, b"")), [Said::Data(1, vec![], true)]);
    assert_eq!(client.send(1, b"ef", true), Some(2));
    assert_eq!(client.send(3, b"", true), Some(0));
    assert_eq!(client.say(&frame(DATA, END_STREAM, 3, b"g")), [Said::Data(3, b"g".to_vec(), true)]);
    let trailers = frame(HEADERS, END, 5, &field("x", "y"));
    assert_eq!(client.say(&trailers), [Said::Reset(5, ErrorCode::PROTOCOL_ERROR, true)]);
}

#[test]
fn a_body_is_as_long_as_it_says() {
    for (length, pieces, fits) in [
        ("3", &[b"abc".as_slice()][..], true),
        ("3", &[b"a", b"bc"], true),
        ("0", &[b""], true),
        ("3", &[b"ab"], false),
        ("3", &[b"ab", b"cd"], false),
        ("3", &[b"abcd"], false),
    ] {
        let mut client = Client::new(Settings::default());
        client.say(&frame(HEADERS, END_HEADERS, 1, &request("POST", &[("content-length", length)])));
        let mut said = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let end = if number + 1 == pieces.len() { END_STREAM } else { 0 };
            said.extend(client.say(&frame(DATA, end, 1, piece)));
        }
        let is_reset = said.contains(&Said::Reset(1, ErrorCode::PROTOCOL_ERROR, true));
        assert_eq!(is_reset, !fits, "{length} {pieces:?} {said:?}");
    }
}

#[test]
fn what_comes_on_a_stream_that_was_reset_here_is_ignored_and_its_window_given_back() {
    let settings = Settings { connection_window_size: 65_535, ..Settings::default() };
    let mut client = Client::new(settings);
    client.post(1);
    client.connection.reset(1, ErrorCode::CANCEL, &mut client.out);
    assert_eq!(client.frames(), [reset(1, ErrorCode::CANCEL)]);
    // The client had sent this before it knew.
    let late = [
        frame(DATA, 0, 1, &[0; 16_384]),
        frame(DATA, 0, 1, &[0; 16_384]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(HEADERS, END, 1, &field("x", "y")),
    ];
    assert_eq!(client.say(&late.concat()), []);
    assert_eq!(client.frames(), [window_update(0, 32_768)]);
    // It has ended the stream now.
    assert_eq!(client.say(&frame(DATA, 0, 1, b"x")), [Said::Failed(ErrorCode::STREAM_CLOSED)]);
}

#[test]
fn a_stream_that_is_reset_within_a_frame_takes_no_more_of_it() {
    let mut client = Client::new(Settings::default());
    client.post(1);
    let data = frame(DATA, 0, 1, b"abcdef");
    assert_eq!(client.say(&data[..12]), [Said::Data(1, b"abc".to_vec(), false)]);
    client.connection.reset(1, ErrorCode::CANCEL, &mut client.out);
    assert_eq!(client.say(&[&data[12..], &frame(PING, 0, 0, &[1; 8])].concat()), []);
    assert_eq!(client.frames()[1].kind, PING);
}

#[test]
fn what_was_on_its_way_when_a_stream_had_to_be_reset_is_ignored() {
    for mistake in [frame(WINDOW_UPDATE, 0, 1, &[0; 4]), frame(HEADERS, END_HEADERS, 1, &field("x", "y"))] {
        let mut client = Client::new(Settings::default());
        client.post(1);
        let late = frame(DATA, END_STREAM, 1, b"late");
        let said = client.say(&[&mistake[..], &late].concat());
        assert_eq!(said, [Said::Reset(1, ErrorCode::PROTOCOL_ERROR, true)]);
        assert_eq!(client.frames(), [reset(1, ErrorCode::PROTOCOL_ERROR)]);
    }
    // Where the mistake was the last that came, nothing is late.
    let short = request("POST", &[("content-length", "9")]);
    for mistake in [frame(DATA, END_STREAM, 1, b"short"), frame(HEADERS, END, 1, &field("x", "y"))] {
        let mut client = Client::new(Settings::default());
        client.say(&frame(HEADERS, END_HEADERS, 1, &short));
        assert_eq!(client.say(&mistake), [Said::Reset(1, ErrorCode::PROTOCOL_ERROR, true)]);
        assert_eq!(client.say(&frame(DATA, 0, 1, b"late")), [Said::Failed(ErrorCode::STREAM_CLOSED)]);
    }
    // The same of a request that was none.
    let mut client = Client::new(Settings::default());
    let malformed = frame(HEADERS, END_HEADERS, 1, &request("POST", &[("X", "y")]));
    assert_eq!(client.say(&[&malformed[..], &frame(DATA, END_STREAM, 1, b"late")].concat()), []);
    assert_eq!(client.frames(), [reset(1, ErrorCode::PROTOCOL_ERROR)]);
}

#[test]
fn many_streams_that_were_reset_here_are_remembered_for_a_while() {
    let mut client = Client::new(Settings::default());
    let streams: Vec<u32> =
        (0..=u32::try_from(limits::REMEMBERED_RESETS).unwrap()).map(|n| 2 * n + 1).collect();
    for stream in &streams {
        client.post(*stream);
        client.connection.reset(*stream, ErrorCode::REFUSED_STREAM, &mut client.out);
    }
    client.out.clear();
    // The first was forgotten, which costs it an answer, and nobody the connection.
    assert_eq!(client.say(&frame(DATA, 0, 1, b"x")), []);
    assert_eq!(client.frames(), [reset(1, ErrorCode::STREAM_CLOSED)]);
    for stream in &streams[1..] {
        assert_eq!(client.say(&frame(DATA, END_STREAM, *stream, b"x")), []);
    }
    assert_eq!(client.frames(), []);
}

#[test]
fn a_request_goes_on_after_its_answer() {
    let mut client = Client::new(Settings::default());
    client.post(1);
    client.connection.respond(1, StatusCode::OK, &HeaderMap::new(), true, &mut client.out).unwrap();
    assert_eq!(client.say(&frame(DATA, 0, 1, b"a")), [Said::Data(1, b"a".to_vec(), false)]);
    assert_eq!(client.connection.open_streams(), 1);
    assert_eq!(client.say(&frame(DATA, END_STREAM, 1, b"b")), [Said::Data(1, b"b".to_vec(), true)]);
    assert!(client.connection.is_idle());
}

#[test]
fn too_many_streams_are_refused_until_one_ends() {
    let mut client = Client::new(Settings { max_concurrent_streams: 2, ..Settings::default() });
    client.get(1);
    client.get(3);
    assert_eq!(client.say(&frame(HEADERS, END, 5, &request("GET", &[]))), []);
    assert_eq!(client.frames(), [reset(5, ErrorCode::REFUSED_STREAM)]);
    assert_eq!(
        client.say(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        [Said::Reset(1, ErrorCode::CANCEL, false)]
    );
    client.get(7);
}

#[test]
fn a_table_that_was_used_before_the_settings_were_known_is_used_on() {
    let mut client = Client::silent(Settings::default());
    let block = [&request("GET", &[])[..], b"\x40\x01x\x01y"].concat();
    let hello = [
        &tidings_http2::PREFACE[..],
        &frame(4, 0, 0, &[]),
        &frame(HEADERS, END, 1, &block),
        &frame(4, 1, 0, &[]),
        // It obeys, and uses no table.
        &frame(HEADERS, END, 3, &[b"\x20", &request("GET", &[])[..], b"\x40\x01x\x01y"].concat()),
    ];
    assert!(matches!(client.say(&hello.concat())[..], [Said::Request(1, ..), Said::Request(3, ..)]));
    let indexed = [&request("GET", &[])[..], b"\xbe"].concat();
    assert_eq!(client.say(&frame(HEADERS, END, 5, &indexed)), [Said::Failed(ErrorCode::COMPRESSION_ERROR)]);
}

#[test]
fn priorities_are_read_and_mean_nothing() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    let update = |stream: u32| frame(PRIORITY_UPDATE, 0, 0, &[&stream.to_be_bytes()[..], b"u=1, i"].concat());
    assert_eq!(client.say(&[update(1), update(3), frame(PING, 0, 0, &[0; 8])].concat()), []);
    assert_eq!(client.frames()[0].kind, PING);
    assert_eq!(client.say(&update(0)), [Said::Failed(ErrorCode::PROTOCOL_ERROR)]);
    for (stream, payload, code) in
        [(1, &[0, 0, 0, 1][..], ErrorCode::PROTOCOL_ERROR), (0, &[0, 0, 1], ErrorCode::FRAME_SIZE_ERROR)]
    {
        let mut client = Client::new(Settings::default());
        client.get(1);
        assert_eq!(client.say(&frame(PRIORITY_UPDATE, 0, stream, payload)), [Said::Failed(code)]);
    }
}

#[test]
fn keys_come_with_the_events_of_their_streams() {
    let mut client = Client::new(Settings::default());
    client.post(1);
    assert_eq!(client.connection.key(1), Some(0));
    client.connection.set_key(1, 77);
    client.connection.set_key(3, 78);
    assert_eq!((client.connection.key(1), client.connection.key(3)), (Some(77), None));
    assert_eq!(client.connection.streams().collect::<Vec<_>>(), [(1, 77)]);
    let bytes = [frame(DATA, 0, 1, b"a"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])].concat();
    let mut input = &bytes[..];
    let mut keys = Vec::new();
    while let Some(event) = client.connection.receive(&mut input, 0, &mut client.out).unwrap() {
        use tidings_http2::Event::{Data, Reset};
        let (Data { key, .. } | Reset { key, .. }) = event else { panic!("{event:?}") };
        keys.push(key);
    }
    assert_eq!(keys, [77, 77]);
}
