//! Clients that do not keep to RFC 6455, or to anything.

use serde_json::json;
use tidings_websocket::{Opcode, encode_masked};

use crate::support::{Request, Running, Setup, Socket, eventually, upgrade};

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_masked(Opcode::Text, payload, [9, 8, 7, 6], &mut frame);
    frame[0] = first;
    frame
}

#[tokio::test]
async fn each_violation_has_its_code_and_takes_nobody_along() {
    let mut setup = Setup::new();
    setup.http.max_event_bytes = 1_000;
    let hub = setup.start().await;
    let mut bystander = hub.socket("/topics/a").await;
    bystander.subscribed("").await;
    let mut unmasked = Vec::new();
    tidings_websocket::encode(Opcode::Text, b"{}", &mut unmasked);
    let endless: Vec<u8> = std::iter::once(masked(0x01, &[b'x'; 10_000]))
        .chain((0..20).map(|_| masked(0x00, &[b'x'; 10_000])))
        .flatten()
        .collect();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", unmasked, 1_002),
        ("a reserved bit", masked(0xc1, b"{}"), 1_002),
        ("a reserved opcode", masked(0x83, b"{}"), 1_002),
        ("a continuation of nothing", masked(0x80, b"{}"), 1_002),
        ("a long ping", masked(0x89, &[0; 126]), 1_002),
        ("a fragmented ping", masked(0x09, b""), 1_002),
        ("text that is none", masked(0x81, b"\xff"), 1_007),
        ("text that is none, in two parts", [masked(0x01, b"\xe2\x82"), masked(0x80, b"x")].concat(), 1_007),
        ("a binary message", masked(0x82, b"{}"), 1_003),
        ("a large message", masked(0x81, &[b'x'; 200_000]), 1_009),
        ("endless fragments", endless, 1_009),
        ("half a close code", masked(0x88, b"\x03"), 1_002),
        ("a close code that is none", masked(0x88, b"\x03\xed"), 1_002),
    ];
    for (what, bytes, expected) in cases {
        let mut socket = hub.socket("/topics/a").await;
        socket.subscribed("").await;
        socket.wire.send(&bytes).await;
        let (code, reason) = socket.closed().await;
        assert_eq!(code, expected, "{what}: {reason}");
        let name = format!("tidings_websocket_closes_total{{code=\"{expected}\"}}");
        assert!(hub.metric(&name).await > 0);
    }
    hub.waiting("a", 1).await;
    hub.publish("a", "x").await;
    assert_eq!(bystander.news().await["data"], "x");
}

/// Whoever is still sending when it is closed hears why: its connection is not reset under it.
#[tokio::test]
async fn who_sends_far_too_much_is_told_so() {
    let authority = crate::support::Authority::new();
    let mut setup = Setup::new();
    setup.http.max_event_bytes = 1_000;
    setup.tls = Some((authority.issue("hub", 1).open(), tidings_http::Cleartext::Loopback));
    let hub = setup.start().await;
    let request = upgrade("/socket");
    for wire in [hub.connect().await, authority.http1(hub.address).await] {
        let mut socket = Socket::open(wire, &request).await;
        let frame = masked(0x81, &vec![b'x'; 8 << 20]);
        for piece in frame.chunks(64 << 10) {
            socket.wire.send(piece).await;
        }
        let (code, reason) = socket.closed().await;
        assert_eq!(code, 1_009, "{reason}");
        assert_eq!(socket.wire.rest().await, b"");
    }
}

/// A few bytes can be many large messages. No more of them are taken at once than may wait.
#[tokio::test]
async fn small_frames_of_large_messages_are_taken_one_after_the_other() {
    let mut setup = Setup::new();
    setup.http.max_event_bytes = 64 << 10;
    setup.http.max_buffered_bytes = 8 << 20;
    let hub = setup.start().await;
    // So that the memory is somebody else's, too.
    let mut other = hub.socket("/socket").await;
    other.wire.send(masked(0x01, &vec![b'x'; 70_000])).await;
    let offer = upgrade("/socket").header("sec-websocket-extensions", "permessage-deflate");
    let mut socket = Socket::open(hub.connect().await, &offer).await;
    let message = format!("{{\"ref\":1,\"unknown\":\"{}\"}}", "x".repeat(150_000));
    let packed = tidings_websocket::Deflater::new().compress(message.as_bytes()).unwrap();
    let count = 150;
    socket.wire.send(masked(0xc1, &packed).repeat(count)).await;
    for _ in 0..count {
        assert_eq!(socket.problem(json!(1)).await, "invalid-data");
    }
    other.wire.send(masked(0x80, b"")).await;
    assert_eq!(other.problem(json!(null)).await, "invalid-data");
}

/// What a problem says of a message is no second copy of it.
#[tokio::test]
async fn a_problem_is_short_whatever_it_is_about() {
    let hub = Running::start().await;
    let long = "x".repeat(500_000);
    let mut socket = hub.socket("/socket").await;
    for message in [
        json!({"subscribe": "a", "topics": long, "ref": 1}),
        json!({"subscribe": "a", "topics": [long], "ref": 1}),
        json!({"subscribe": "a", "topics": ["a"], "since": long, "ref": 1}),
        json!({"subscribe": long, "topics": ["a"], "ref": 1}),
        json!({"publish": long, "ref": 1}),
        json!({"publish": {"topic": long, "data": 1}, "ref": 1}),
        json!({"publish": {"topic": "a", "data": 1, "encoding": long}, "ref": 1}),
        json!({"publish": {"topic": "a", "data": 1, "key": long}, "ref": 1}),
        json!({"publish": {"topic": "a", "data": 1, "event": long}, "ref": 1}),
        json!({"token": [long], "ref": 1}),
    ] {
        socket.send(message.clone()).await;
        let told = socket.text().await;
        assert!(told.contains("\"problem\"") && told.len() < 4_000, "{told:.200} for {message:.200}");
    }
    for body in
        [json!([{"topic": "a", "data": 1, "encoding": long}]), json!(long), json!([{"topic": [long]}])]
    {
        let answer = hub.ask(Request::post("/events", body.to_string()).json()).await;
        assert!(answer.status() == 400 && answer.text().len() < 4_000, "{:.200}", answer.text());
    }
}

#[tokio::test]
async fn fragments_with_control_frames_in_between_are_one_message() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/socket").await;
    let message = json!({"publish": {"topic": "a", "data": "ü€"}, "ref": 1}).to_string().into_bytes();
    let third = message.len() / 3;
    let mut bytes = masked(0x01, &message[..third]);
    bytes.extend(masked(0x89, b"between"));
    bytes.extend(masked(0x00, &message[third..2 * third]));
    bytes.extend(masked(0x00, b""));
    bytes.extend(masked(0x80, &message[2 * third..]));
    // However it is cut.
    for piece in bytes.chunks(7) {
        socket.wire.send(piece).await;
    }
    assert_eq!(socket.next().await, tidings_websocket::Message::Pong(b"between".to_vec()));
    assert_eq!(socket.message().await["ref"], 1);
    assert_eq!(hub.read("/topics/a").await, ["ü€"]);
}

#[tokio::test]
async fn who_goes_without_a_word_is_gone() {
    let hub = Running::start().await;
    for bytes in [&b""[..], b"\x81", b"\x81\xfe\x10", b"\x01\x83\0\0\0\0a"] {
        let mut socket = hub.socket("/topics/a").await;
        socket.subscribed("").await;
        socket.wire.send(bytes).await;
        drop(socket);
        hub.waiting("a", 0).await;
        eventually("it is closed", async || hub.metric("tidings_websockets").await == 0).await;
    }
    let name = "tidings_websocket_closes_total{code=\"1006\"}";
    eventually("all are counted", async || hub.metric(name).await == 4).await;
    // A half-close is the end, too.
    let mut socket = hub.socket("/topics/a").await;
    socket.subscribed("").await;
    socket.wire.finish_sending().await;
    socket.wire.rest().await;
    hub.waiting("a", 0).await;
}
