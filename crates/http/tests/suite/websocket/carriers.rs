//! Whatever carries a socket: TLS, HTTP/2, another program's connections; and compression.

use serde_json::json;
use tidings_http::{Api, Cleartext, HttpConfig};
use tokio::net::TcpListener;

use crate::support::{Authority, H2, Running, Setup, Socket, Wire, eventually, upgrade, within};

/// What is done with a socket to `/topics/a`. `publish` publishes to it.
async fn exercise(mut socket: Socket, publish: impl AsyncFn(&str) -> String) {
    socket.subscribed("").await;
    let id = publish("x").await;
    let event = socket.news().await;
    assert_eq!((&event["id"], &event["data"]), (&json!(id), &json!("x")));
    socket.send(json!({"subscribe": "n", "topics": ["a"], "since": "-1"})).await;
    socket.subscribed("n").await;
    assert_eq!(socket.news().await, {
        let mut named = event.clone();
        named["sub"] = json!("n");
        named
    });
    let large = "large ".repeat(50_000);
    socket.send(json!({"publish": {"topic": "a", "data": large}, "ref": 1})).await;
    let mut seen = [socket.news().await, socket.news().await, socket.news().await];
    seen.sort_by_key(|message| (message["ref"].as_u64(), message["sub"].is_string()));
    assert_eq!((&seen[0]["data"], &seen[1]["data"]), (&json!(large), &json!(large)));
    assert_eq!(seen[2]["ref"], 1);
    socket.send(json!({"unsubscribe": "n"})).await;
    assert_eq!(socket.news().await, json!({"unsubscribed": "n"}));
    socket.send_close(1_000, "").await;
    assert_eq!(socket.ends().await.0, 1_000);
}

#[tokio::test]
async fn a_socket_over_tls_is_like_any_other() {
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Loopback));
    let hub = setup.start().await;
    let socket = Socket::open(authority.http1(hub.address).await, &upgrade("/topics/a")).await;
    exercise(socket, async |text| hub.publish("a", text).await).await;
    hub.waiting("a", 0).await;
    // A slow one, whose records are cut anywhere.
    let wire = authority.narrow_http1(hub.address).await;
    let mut slow = Socket::open(wire, &upgrade("/topics/b")).await;
    slow.subscribed("").await;
    slow.send(json!({"subscribe": "n", "topics": ["b"]})).await;
    slow.subscribed("n").await;
    let large = "x".repeat(100_000);
    for number in 0..40 {
        hub.publish("b", &format!("{number} {large}")).await;
    }
    let mut next = [0; 2];
    while next != [40; 2] {
        let message = slow.news().await;
        let place = usize::from(message["sub"].is_string());
        assert_eq!(message["data"].as_str().unwrap(), format!("{} {large}", next[place]));
        next[place] += 1;
    }
    hub.publish("b", "after").await;
    assert_eq!(slow.news().await["data"], "after");
}

#[tokio::test]
async fn a_socket_over_http2_is_like_any_other() {
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Loopback));
    let hub = setup.start().await;
    for mut connection in [H2::connect(hub.address).await, authority.http2(hub.address).await] {
        let socket = connection.socket("/topics/a").await;
        assert!(socket.head.header("sec-websocket-accept").is_none());
        exercise(socket, async |text| hub.publish("a", text).await).await;
        let mut stream = connection.stream("/topics/b").await;
        let mut other = connection.socket("/topics/b").await;
        other.subscribed("").await;
        hub.publish("b", "for both").await;
        assert_eq!(stream.event().await.data.as_deref(), Some("for both"));
        assert_eq!(other.news().await["data"], "for both");
        // More than the windows let through at once, both ways.
        let large = "x".repeat(900_000);
        for number in 0..4 {
            other.send(json!({"publish": {"topic": "b", "data": large}, "ref": number})).await;
        }
        let (mut events, mut answers) = (0, 0);
        while events < 4 || answers < 4 {
            let message = other.news().await;
            if message.get("ref").is_some() {
                answers += 1;
            } else {
                assert_eq!(message["data"], large);
                events += 1;
            }
        }
        drop(other);
        hub.waiting("b", 1).await;
        drop(stream);
        hub.waiting("b", 0).await;
    }
}

#[tokio::test]
async fn a_socket_of_a_router_in_another_program_is_like_any_other() {
    let api = Api::builder(Setup::new().hub(), HttpConfig::default()).open_to_everyone().build();
    let app = axum::Router::new().nest("/push", api.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    let publish = async |text: &str| {
        let request = crate::support::Request::post("/push/topics/a", text);
        Wire::connect(address).await.ask(&request).await.id()
    };
    let socket = Socket::open(Wire::connect(address).await, &upgrade("/push/topics/a")).await;
    exercise(socket, publish).await;
    let topic = "a".parse().unwrap();
    eventually("it is gone", async || api.hub().subscribers(&topic) == 0).await;
    // One that goes without a word.
    let mut socket = Socket::open(Wire::connect(address).await, &upgrade("/push/topics/a")).await;
    socket.subscribed("").await;
    drop(socket);
    eventually("it is gone", async || api.hub().subscribers(&topic) == 0).await;
    // A slow one.
    let mut slow = Socket::open(Wire::narrow(address).await, &upgrade("/push/topics/a")).await;
    slow.subscribed("").await;
    let large = "x".repeat(100_000);
    for number in 0..40 {
        publish(&format!("{number} {large}")).await;
    }
    for number in 0..40 {
        assert_eq!(slow.news().await["data"].as_str().unwrap(), format!("{number} {large}"));
    }
    // It ends with the program.
    api.drain();
    assert_eq!(slow.ends().await.0, 1_001);
    within(api.closed()).await;
}

/// A client of another program's connection that neither takes nor sends anything is let go of at the write timeout.
#[tokio::test]
async fn a_socket_of_a_router_in_another_program_is_not_kept_for_who_takes_nothing() {
    let config = HttpConfig { write_timeout: std::time::Duration::from_secs(1), ..HttpConfig::default() };
    let api = Api::builder(Setup::new().hub(), config).open_to_everyone().build();
    let app = api.router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    let mut stuck = Socket::open(Wire::narrow(address).await, &upgrade("/topics/a")).await;
    stuck.subscribed("").await;
    let large = "x".repeat(1_000_000);
    for _ in 0..8 {
        let request = crate::support::Request::post("/topics/a", &large);
        Wire::connect(address).await.ask(&request).await.id();
    }
    let topic = "a".parse().unwrap();
    eventually("it is gone", async || api.hub().subscribers(&topic) == 0).await;
    api.drain();
    within(api.closed()).await;
}

#[tokio::test]
async fn events_are_compressed_once_for_everybody() {
    let hub = Running::start().await;
    let offer = |target: &str, offer: &str| upgrade(target).header("sec-websocket-extensions", offer);
    let mut plain = hub.socket("/topics/a").await;
    let mut packed =
        Socket::open(hub.connect().await, &offer("/topics/*", "permessage-deflate; client_max_window_bits"))
            .await;
    let small = "permessage-deflate; server_max_window_bits=9";
    let mut small = Socket::open(hub.connect().await, &offer("/topics/a", small)).await;
    let agreed = packed.head.header("sec-websocket-extensions").unwrap();
    assert!(
        agreed.contains("permessage-deflate") && agreed.contains("server_no_context_takeover"),
        "{agreed}"
    );
    assert!(small.head.header("sec-websocket-extensions").unwrap().contains("server_max_window_bits=9"));
    for socket in [&mut plain, &mut packed, &mut small] {
        socket.subscribed("").await;
        socket.send(json!({"subscribe": "with \"quotes\"", "topics": ["a"]})).await;
        socket.subscribed("with \"quotes\"").await;
        socket.bytes = 0;
    }
    let data =
        json!({"list": (0..200).map(|n| json!({"number": n, "text": "all the same"})).collect::<Vec<_>>()});
    for _ in 0..3 {
        let request = crate::support::Request::post("/topics/a", data.to_string()).json();
        hub.ask(request).await.id();
        let mut expected = [plain.news().await, plain.news().await];
        expected.sort_by_key(|message| message["sub"].is_string());
        for socket in [&mut packed, &mut small] {
            let mut own = [socket.news().await, socket.news().await];
            own.sort_by_key(|message| message["sub"].is_string());
            assert_eq!(own, expected);
        }
    }
    assert!(packed.bytes * 4 < plain.bytes, "{} {}", packed.bytes, plain.bytes);
    // It is larger than the window of this one.
    assert!(small.bytes >= plain.bytes, "{} {}", small.bytes, plain.bytes);
    // What the client compresses is understood, and a bomb is not.
    let mut deflater = tidings_websocket::Deflater::new();
    let message = json!({"publish": {"topic": "b", "data": "y".repeat(1_000)}, "ref": 1}).to_string();
    let compressed = deflater.compress(message.as_bytes()).unwrap();
    packed.send_frame(tidings_websocket::Opcode::Text, "{}").await;
    assert_eq!(packed.problem(json!(null)).await, "invalid-data");
    let mut frame = Vec::new();
    tidings_websocket::encode_masked(tidings_websocket::Opcode::Text, &compressed, [1, 2, 3, 4], &mut frame);
    frame[0] |= 0x40;
    packed.wire.send(&frame).await;
    while packed.news().await["ref"] != 1 {}
    let bomb = deflater.compress(&vec![b' '; 100 << 20]).unwrap();
    let mut frame = Vec::new();
    tidings_websocket::encode_masked(tidings_websocket::Opcode::Text, &bomb, [1, 2, 3, 4], &mut frame);
    frame[0] |= 0x40;
    drop(packed.wire.try_send(&frame).await);
    assert_eq!(packed.closed().await.0, 1_009);
}
