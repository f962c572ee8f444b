//! §3.2: streams as `text/event-stream`, to the byte.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Request, Running, Setup};

#[tokio::test]
async fn headers_and_first_block_leave_at_once() {
    let hub = Running::start().await;
    hub.publish("a", "old").await;
    let mut stream = hub.open(Request::stream("/topics/a")).await;
    assert_eq!(stream.head.version, "HTTP/1.1");
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.head.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(stream.head.header("x-accel-buffering"), Some("no"));
    assert_eq!(stream.head.header("content-length"), None);
    stream.expect(&format!("retry: 2000\nid: {}\n\n", hub.cursor(1))).await;
}

#[tokio::test]
async fn an_event_is_as_the_protocol_shows_it() {
    let hub = Running::start().await;
    let mut stream = hub.open(Request::stream("/topics/orders/42")).await;
    stream.expect(&format!("retry: 2000\nid: {}\n\n", hub.cursor(0))).await;
    let carrier = Request::post("/topics/orders/42?event=shipped", "{\"carrier\":\"X\"}").json();
    let id = hub.ask(carrier).await.id();
    stream.expect(&format!("id: {id}\nevent: shipped\ndata: {{\"carrier\":\"X\"}}\n\n")).await;
    let id = hub.publish("orders/42", "plain").await;
    stream.expect(&format!("id: {id}\ndata: plain\n\n")).await;
}

#[tokio::test]
async fn each_line_of_the_data_has_a_data_line() {
    let hub = Running::start().await;
    let mut stream = hub.stream("/topics/a").await;
    for (data, lines) in [
        ("", "data:\n"),
        ("x", "data: x\n"),
        ("one\ntwo", "data: one\ndata: two\n"),
        ("one\rtwo\r\nthree", "data: one\ndata: two\ndata: three\n"),
        ("\n", "data:\ndata:\n"),
        ("x\n", "data: x\ndata:\n"),
        ("\r\r\n\n", "data:\ndata:\ndata:\ndata:\n"),
        (" led by a space", "data:  led by a space\n"),
        (
            "x\n\nid: forged\n\nevent: forged",
            "data: x\ndata:\ndata: id: forged\ndata:\ndata: event: forged\n",
        ),
        ("\u{feff}\u{2028}\u{85}\0", "data: \u{feff}\u{2028}\u{85}\0\n"),
    ] {
        let id = hub.publish("a", data).await;
        stream.expect(&format!("id: {id}\n{lines}\n")).await;
    }
}

#[tokio::test]
async fn json_is_sent_as_it_was_published() {
    let hub = Running::start().await;
    let mut stream = hub.stream("/topics/a").await;
    let id = hub.ask(Request::post("/topics/a", " {\"a\" :1.50} ").json()).await.id();
    stream.expect(&format!("id: {id}\ndata:  {{\"a\" :1.50}} \n\n")).await;
    let id = hub.ask(Request::post("/topics/a", "{\n  \"a\":\r\n1\r}").json()).await.id();
    stream.expect(&format!("id: {id}\ndata: {{\ndata:   \"a\":\ndata: 1\ndata: }}\n\n")).await;
}

#[tokio::test]
async fn bytes_are_sent_as_base64() {
    let hub = Running::start().await;
    let mut stream = hub.stream("/topics/a").await;
    let octets = Request::post("/topics/a", b"\n\xff\0").content("application/octet-stream");
    let id = hub.ask(octets).await.id();
    stream.expect(&format!("id: {id}\ndata: Cv8A\n\n")).await;
}

#[tokio::test]
async fn the_topic_is_named_where_there_may_be_several() {
    let hub = Running::start().await;
    let mut several = Vec::new();
    for target in ["/topics/*", "/topics/**", "/events?topic=a&topic=b", "/events?topic=*"] {
        several.push(hub.stream(target).await);
    }
    let mut single = Vec::new();
    for target in ["/topics/a", "/events?topic=a", "/events?topic=a&topic=a"] {
        single.push(hub.stream(target).await);
    }
    let id = hub.publish_typed("a", "t", "x").await;
    for stream in &mut several {
        stream.expect(&format!("id: {id}\nevent: t\ntopic: a\ndata: x\n\n")).await;
    }
    for stream in &mut single {
        stream.expect(&format!("id: {id}\nevent: t\ndata: x\n\n")).await;
    }
}

#[tokio::test]
async fn an_envelope_has_the_whole_event_in_one_line() {
    let hub = Running::start().await;
    let mut enveloped = hub.stream("/topics/*?envelope=true").await;
    let mut plain = hub.stream("/topics/a?envelope=false").await;
    let receipt = hub.ask(Request::post("/topics/a?event=t", "{\n\"x\":1}").json()).await.json();
    let (id, time) = (receipt["id"].as_str().unwrap(), receipt["time"].as_str().unwrap());
    enveloped
        .expect(&format!(
            "id: {id}\nevent: t\ntopic: a\ndata: {{\"id\":\"{id}\",\"topic\":\"a\",\"event\":\"t\",\"time\":\"{time}\",\
             \"data\":{{ \"x\":1}}}}\n\n"
        ))
        .await;
    plain.expect(&format!("id: {id}\nevent: t\ndata: {{\ndata: \"x\":1}}\n\n")).await;
    hub.publish("a", "one\ntwo").await;
    let object: Value = serde_json::from_str(&enveloped.event().await.data.unwrap()).unwrap();
    assert_eq!(object["data"], "one\ntwo");
    hub.ask(Request::stream("/topics/a?envelope=1")).await.problem(400, "invalid-query");
}

#[tokio::test]
async fn silence_is_broken_by_heartbeats() {
    let hub = Setup::new().heartbeat(Duration::from_millis(50)).start().await;
    let mut stream = hub.stream("/topics/a").await;
    stream.expect(":\n\n:\n\n:\n\n").await;
    let id = hub.publish("a", "x").await;
    let event = stream.event().await;
    assert_eq!(event.id, Some(id));
    stream.expect(":\n\n").await;
}

#[tokio::test]
async fn a_heartbeat_tells_that_the_cursor_has_moved() {
    let hub = Setup::new().heartbeat(Duration::from_millis(100)).start().await;
    let mut stream = hub.stream("/topics/a?event=t").await;
    hub.publish("b", "other topic").await;
    let moved = hub.publish("a", "other type").await;
    loop {
        let text = stream.text().await;
        if text == format!(":\nid: {moved}\n\n") {
            break;
        }
        // One that left before, or between the two.
        assert!(text == ":\n\n" || text == format!(":\nid: {}\n\n", hub.cursor(1)), "{text:?}");
    }
    stream.expect(":\n\n").await;
}

#[tokio::test]
async fn a_client_may_wish_for_another_interval() {
    let hub = Running::start().await;
    let mut stream = hub.stream("/topics/a?heartbeat=1").await;
    let asked = tokio::time::Instant::now();
    stream.expect(":\n\n").await;
    assert!(asked.elapsed() < Duration::from_secs(10));
    let hub = Setup::new().heartbeat(Duration::from_millis(20)).start().await;
    // The shortest is a second, whatever is asked for.
    for wish in ["60", "0", "0.001"] {
        let asked = tokio::time::Instant::now();
        let mut stream = hub.stream(&format!("/topics/a?heartbeat={wish}")).await;
        if wish != "60" {
            stream.expect(":\n\n").await;
            assert!(asked.elapsed() >= Duration::from_millis(900), "{wish}");
            continue;
        }
        let early = tokio::time::timeout(Duration::from_millis(300), stream.text()).await;
        assert!(early.is_err(), "{early:?}");
    }
    for wish in ["often", "", "-1"] {
        hub.ask(Request::stream(&format!("/topics/a?heartbeat={wish}"))).await.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn the_delay_for_coming_back_is_the_hubs_to_choose() {
    let mut setup = Setup::new();
    setup.http.retry = Duration::from_millis(250);
    let hub = setup.start().await;
    hub.open(Request::stream("/topics/a")).await.expect("retry: 250\nid: ").await;
}

#[tokio::test]
async fn no_value_breaks_out_of_its_field() {
    let hub = Running::start().await;
    let mut stream = hub.stream("/topics/**").await;
    let topic = "a%C2%A0:%20b%EF%BB%BF";
    let id = hub.publish_typed(topic, ":%20x%E2%80%A8", "data: y").await;
    let block = "event: : x\u{2028}\ntopic: a\u{a0}: b\u{feff}\ndata: data: y\n\n";
    stream.expect(&format!("id: {id}\n{block}")).await;
}

#[tokio::test]
async fn a_stream_is_never_longer_silent_for_being_large() {
    let hub = Running::start().await;
    let data = "0123456789abcde\n".repeat(65_536);
    let id = hub.publish("a", &data).await;
    let mut stream = hub.stream("/topics/a?since=earliest").await;
    let block = stream.event().await;
    assert_eq!(block.id, Some(id));
    assert_eq!(block.data.unwrap(), data);
}

#[tokio::test]
async fn many_events_arrive_in_order_while_they_are_published() {
    let hub = Running::start().await;
    let mut from_start = hub.stream("/topics/a?since=earliest").await;
    let mut wire = hub.connect().await;
    let mut ids = Vec::new();
    for batch in 0..40 {
        let lines: String = (0..50).map(|n| json!({"data": batch * 50 + n}).to_string() + "\n").collect();
        ids.extend(wire.ask(&Request::post("/topics/a", lines).ndjson()).await.ids());
    }
    for (number, id) in ids.into_iter().enumerate() {
        let block = from_start.event().await;
        assert_eq!((block.data.unwrap(), block.id.unwrap()), (number.to_string(), id));
    }
}

#[tokio::test]
async fn a_stream_that_its_client_leaves_is_gone() {
    let hub = Running::start().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(hub.stream("/topics/a").await);
    }
    hub.readers("sse", 5).await;
    hub.waiting("a", 5).await;
    drop(streams);
    hub.readers("sse", 0).await;
    hub.waiting("a", 0).await;
}

#[tokio::test]
async fn head_of_a_stream_has_no_body_and_ends() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let head = wire.ask(&Request::new("HEAD", "/topics/a").accept(accept)).await;
        assert_eq!((head.status(), head.header("content-type")), (200, Some(accept)));
    }
    assert_eq!(wire.ask(&Request::get("/healthz")).await.text(), "ok\n");
    hub.readers("sse", 0).await;
}

#[tokio::test]
async fn a_stream_over_http_1_0_ends_with_its_connection() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    wire.send("GET /topics/a HTTP/1.0\r\naccept: text/event-stream\r\n\r\n").await;
    let head = wire.head().await;
    assert_eq!((head.status, head.is_chunked()), (200, false));
    hub.waiting("a", 1).await;
    hub.publish("a", "x").await;
    hub.close_topic("a").await;
    let (one, two) = (hub.cursor(1), hub.cursor(2));
    let expected = format!(
        "retry: 2000\nid: {}\n\nid: {one}\ndata: x\n\nevent: tidings.end\nid: {two}\ndata: {{}}\n\n",
        hub.cursor(0)
    );
    assert_eq!(String::from_utf8(wire.rest().await).unwrap(), expected);
}
