//! §2.1: publishing as a stream, item by item as they come.

use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tidings_http::Api;
use tidings_log::{AppendError, LogUnavailable};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Answer, Authority, FaultyLog, Running, Setup, Wire, eventually, tokens, within};

/// A body that goes on, in chunks of HTTP/1.1.
struct Upload(Wire);

// === impl Upload ===

impl Upload {
    async fn begin(hub: &Running, target: &str, fields: &[(&str, &str)]) -> Self {
        Self::over(hub.connect().await, target, fields).await
    }

    async fn over(mut wire: Wire, target: &str, fields: &[(&str, &str)]) -> Self {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head =
            format!("POST {target} HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n{fields}\r\n");
        wire.send(head).await;
        Self(wire)
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.0.send(chunk).await;
    }

    /// Ends the body and gives the answer.
    async fn end(mut self) -> Answer {
        self.0.send("0\r\n\r\n").await;
        self.answer().await
    }

    async fn answer(&mut self) -> Answer {
        within(self.0.answer(false)).await
    }

    /// The next line of an answer that goes on.
    async fn line(&mut self) -> Value {
        serde_json::from_slice(&within(self.0.chunk()).await.expect("a line, not the end")).unwrap()
    }
}

const LINES: &str = "/topics/a?stream=lines";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const SSE: (&str, &str) = ("content-type", "text/event-stream");
const KEY: (&str, &str) = ("idempotency-key", "k");
const ACKNOWLEDGE: (&str, &str) = ("accept", "application/x-ndjson");

/// The end that readers are told.
async fn reason(hub: &Running, topic: &str) -> Option<String> {
    let page = hub.get(&format!("/topics/{topic}?since=latest")).await.json();
    let closed = page.get("closed").is_some();
    closed.then(|| page.get("reason").map_or_else(String::new, |reason| reason.as_str().unwrap().to_owned()))
}

async fn ends(hub: &Running, topic: &str, expected: &str) {
    eventually("the topic ends", async || reason(hub, topic).await.is_some()).await;
    assert_eq!(reason(hub, topic).await.as_deref(), Some(expected));
}

#[tokio::test]
async fn each_item_is_there_as_soon_as_it_has_come() {
    let hub = Running::start().await;
    let mut reader = hub.stream("/topics/a").await;
    for (target, fields, pieces) in [
        ("/topics/a?stream=lines", &[][..], ["one\n", "two\r\n", "three\n"]),
        (
            "/topics/a?stream=lines",
            &[NDJSON],
            ["{\"data\":\"one\"}\n", "\n{\"data\":\"two\"}\n", "{\"data\":\"three\"}\n"],
        ),
        ("/topics/a?stream=chunks", &[], ["one", "two", "three"]),
        (
            "/topics/a",
            &[SSE],
            ["data: one\n\n", ": a comment\nid: 7\nretry: 5\n\ndata: two\n\n", "data: three\n\n"],
        ),
    ] {
        let mut upload = Upload::begin(&hub, target, fields).await;
        let mut ids = Vec::new();
        for (piece, expected) in pieces.iter().zip(["one", "two", "three"]) {
            upload.send(piece).await;
            let event = reader.event().await;
            assert_eq!(event.data.as_deref(), Some(expected), "{target} {piece:?}");
            ids.push(event.id.unwrap());
        }
        let answer = upload.end().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(
            answer.json(),
            json!({"topic": "a", "events": 3, "first": ids[0], "last": ids[2], "closed": false})
        );
    }
    assert_eq!(hub.metric("tidings_published_events_total").await, 12);
    assert_eq!(hub.metric("tidings_published_bytes_total").await, 4 * 11);
    assert_eq!(hub.metric("tidings_stream_items_total").await, 12);
    assert_eq!(hub.metric("tidings_stream_ends_total{reason=\"complete\"}").await, 4);
    assert_eq!(hub.metric("tidings_publishing_streams").await, 0);
}

#[tokio::test]
async fn events_keep_their_type_and_are_json_where_that_is_asked_for() {
    let hub = Running::start().await;
    let mut upload = Upload::begin(&hub, "/topics/a?data=json&event=delta&close=true", &[SSE]).await;
    upload.send("data: {\"x\":1}\n\nevent: done\ndata: [DONE]\n\ndata: one\ndata: two\n\n").await;
    let answer = upload.end().await.json();
    assert_eq!((&answer["events"], &answer["closed"]), (&json!(3), &json!(true)));
    let events = hub.get("/topics/a").await.json()["events"].clone();
    let shown = |at: usize| (events[at]["event"].as_str().unwrap().to_owned(), events[at]["data"].clone());
    assert_eq!(shown(0), ("delta".into(), json!({"x": 1})));
    assert_eq!(shown(1), ("done".into(), json!("[DONE]")));
    assert_eq!(shown(2), ("delta".into(), json!("one\ntwo")));
    assert_eq!(reason(&hub, "a").await.as_deref(), Some(""), "a clean end");
}

#[tokio::test]
async fn acknowledgements_come_while_it_goes_on() {
    let hub = Running::start().await;
    let mut upload = Upload::begin(&hub, "/topics/a?stream=lines&close=true", &[ACKNOWLEDGE]).await;
    let head = within(upload.0.head()).await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/x-ndjson")));
    for number in 1..=3 {
        upload.send(format!("{number}\n")).await;
        assert_eq!(upload.line().await, json!({"events": number, "last": hub.cursor(number)}));
    }
    upload.send("4").await;
    upload.0.send("0\r\n\r\n").await;
    let mut last = upload.line().await;
    if last.get("topic").is_none() {
        last = upload.line().await;
    }
    let expected =
        json!({"topic": "a", "events": 4, "first": hub.cursor(1), "last": hub.cursor(4), "closed": true});
    assert_eq!(last, expected);
    assert_eq!(within(upload.0.chunk()).await, None);
}

#[tokio::test]
async fn a_wrong_item_ends_it_and_what_came_before_stays() {
    let hub = Setup {
        http: tidings_http::HttpConfig { max_event_bytes: 100, ..Setup::new().http },
        ..Setup::new()
    };
    let hub = hub.start().await;
    let long = format!("ok\n{}", "x".repeat(200));
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], u16, &'a str, u64);
    let cases: [Case<'_>; 9] = [
        ("stream=lines", &[], b"ok\n\xff\nlate\n", 400, "invalid-data", 1),
        ("stream=lines", &[], long.as_bytes(), 413, "event-too-large", 1),
        ("stream=chunks", &[], b"ok\xf0\x9f", 400, "invalid-data", 1),
        ("stream=chunks", &[], b"\xff", 400, "invalid-data", 0),
        (
            "stream=lines",
            &[NDJSON],
            b"{\"data\":1}\n{\"data\":2}\n[DONE]\n{\"data\":3}\n",
            400,
            "invalid-data",
            2,
        ),
        ("stream=lines", &[NDJSON], b"{\"data\":1,\"event\":\"tidings.end\"}\n", 400, "invalid-query", 0),
        ("", &[SSE], b"data: ok\n\ndata: \xc3\x28\n\n", 400, "invalid-data", 1),
        ("", &[SSE], b"data: ok\n\nevent: tidings.gap\ndata: x\n\n", 400, "invalid-data", 1),
        ("", &[SSE], b"data: ok\n\n: this is fine\n\n<!doctype html>\n", 200, "", 1),
    ];
    for (number, (query, fields, body, status, name, events)) in cases.into_iter().enumerate() {
        let topic = format!("t{number}");
        let mut upload = Upload::begin(&hub, &format!("/topics/{topic}?close=true&{query}"), fields).await;
        upload.send(body).await;
        let answer = upload.end().await;
        let told = answer.json();
        assert_eq!(told["events"], events, "{number}: {told}");
        assert_eq!(told.get("last").is_some(), events > 0);
        let page = hub.get(&format!("/topics/{topic}")).await.json();
        assert_eq!(page["events"].as_array().unwrap().len() as u64, events, "{number}");
        if status == 200 {
            assert_eq!(reason(&hub, &topic).await.as_deref(), Some(""));
            continue;
        }
        answer.problem(status, name);
        assert_eq!(page["events"].as_array().unwrap().last().map(|event| &event["id"]), told.get("last"));
        assert_eq!(reason(&hub, &topic).await.as_deref(), Some("aborted"), "{number}");
    }
    assert_eq!(hub.metric("tidings_stream_ends_total{reason=\"aborted\"}").await, 8);
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_its_topic_as_aborted() {
    let hub = Running::start().await;
    let mut reader = hub.stream("/topics/a").await;
    let mut upload = Upload::begin(&hub, "/topics/a?stream=lines&close=true", &[]).await;
    upload.send("one\nhalf").await;
    assert_eq!(reader.event().await.data.as_deref(), Some("one"));
    drop(upload);
    let end = reader.event().await;
    assert_eq!(
        (end.event.as_deref(), end.data.as_deref()),
        (Some("tidings.end"), Some("{\"reason\":\"aborted\"}"))
    );
    // What was not to end with it goes on.
    let mut upload = Upload::begin(&hub, "/topics/b?stream=lines", &[]).await;
    upload.send("one\n").await;
    hub.get("/topics/b?since=earliest&wait=30").await.page();
    drop(upload);
    eventually("it has ended", async || hub.metric("tidings_publishing_streams").await == 0).await;
    assert_eq!(reason(&hub, "b").await, None);
    // And so where acknowledgements are under way.
    let mut upload = Upload::begin(&hub, "/topics/c?stream=lines&close=true", &[ACKNOWLEDGE]).await;
    within(upload.0.head()).await;
    upload.send("one\n").await;
    upload.line().await;
    drop(upload);
    ends(&hub, "c", "aborted").await;
}

#[tokio::test]
async fn whoever_ends_the_topic_stops_the_stream_at_once() {
    let hub = Running::start().await;
    for fields in [&[][..], &[KEY]] {
        let topic = format!("a{}", fields.len());
        let target = format!("/topics/{topic}?stream=lines&close=true");
        let mut upload = Upload::begin(&hub, &target, fields).await;
        upload.send("one\n").await;
        hub.get(&format!("/topics/{topic}?since=earliest&wait=30")).await.page();
        hub.ask(crate::support::Request::post(&format!("/topics/{topic}?close=true&reason=stopped"), ""))
            .await
            .id();
        // Nothing more has to come of it.
        let answer = upload.answer().await;
        assert!(answer.problem(409, "topic-closed").contains("stopped"));
        let told = answer.json();
        assert_eq!((&told["events"], &told["reason"]), (&json!(1), &json!("stopped")));
        assert!(told.get("last").is_some());
        assert_eq!(reason(&hub, &topic).await.as_deref(), Some("stopped"));
        // One that has ended before is told so as well.
        let other = Upload::begin(&hub, &target, &[]).await.answer().await;
        other.problem(409, "topic-closed");
        assert_eq!(other.json()["reason"], "stopped");
    }
    let mut upload = Upload::begin(&hub, "/topics/b?stream=lines", &[ACKNOWLEDGE]).await;
    within(upload.0.head()).await;
    upload.send("one\n").await;
    assert_eq!(upload.line().await["events"], 1);
    hub.close_topic("b").await;
    let last = upload.line().await;
    assert_eq!((&last["problem"]["status"], &last["events"]), (&json!(409), &json!(1)));
    assert!(last["problem"].get("reason").is_none(), "a clean end has none");
    assert_eq!(hub.metric("tidings_stream_ends_total{reason=\"stopped\"}").await, 5);
}

#[tokio::test]
async fn with_a_key_each_item_is_there_once() {
    let hub = Running::start().await;
    let target = "/topics/a?stream=lines&close=true&grace=60s";
    let mut upload = Upload::begin(&hub, target, &[KEY, ACKNOWLEDGE]).await;
    within(upload.0.head()).await;
    upload.send("1\n2\n").await;
    while upload.line().await["events"] != 2 {}
    drop(upload);
    // From the start, and from what is not acknowledged.
    let mut again = Upload::begin(&hub, target, &[KEY]).await;
    again.send("1\n2\n3\n").await;
    eventually("the third is there", async || hub.read("/topics/a").await.len() == 3).await;
    drop(again);
    let mut rest = Upload::begin(&hub, &format!("{target}&from=2"), &[KEY]).await;
    rest.send("3\n4\n").await;
    let answer = rest.end().await.json();
    let (last, expected) = (hub.cursor(4), json!(2));
    assert_eq!(
        (&answer["events"], &answer["last"], &answer["closed"]),
        (&expected, &json!(last), &json!(true))
    );
    assert_eq!(hub.read("/topics/a").await, ["1", "2", "3", "4"]);
    // The answer was lost: all of it is there already, also the end.
    let mut lost = Upload::begin(&hub, target, &[KEY]).await;
    lost.send("1\n2\n3\n4\n").await;
    let answer = lost.end().await;
    assert_eq!((answer.status(), answer.json()["closed"].clone()), (200, json!(true)), "{}", answer.text());
    assert_eq!(reason(&hub, "a").await.as_deref(), Some(""));
    assert_eq!(hub.metric("tidings_published_events_total").await, 4);
    // An item of its own has its number's key.
    let known = hub.ask(crate::support::Request::post("/topics/a", "2").key("k/2")).await;
    assert_eq!((known.status(), known.json()["id"].clone()), (200, json!(hub.cursor(2))));
    // And another one under a number is refused, as is one more.
    let mut other = Upload::begin(&hub, target, &[KEY]).await;
    other.send("1\nother\n").await;
    let answer = other.end().await;
    answer.problem(422, "idempotency-conflict");
    assert_eq!(answer.json()["events"], 1);
    let mut more = Upload::begin(&hub, target, &[KEY]).await;
    more.send("1\n2\n3\n4\n5\n").await;
    let answer = more.end().await;
    answer.problem(409, "topic-closed");
    assert_eq!(answer.json()["events"], 4);
}

#[tokio::test]
async fn two_producers_with_one_key_are_one_publication() {
    let hub = Running::start().await;
    let target = "/topics/a?stream=lines&close=true";
    let mut one = Upload::begin(&hub, target, &[KEY]).await;
    one.send("1\n2\n").await;
    eventually("two are there", async || hub.read("/topics/a").await.len() == 2).await;
    // One that brings something else does not end what the other publishes.
    let mut wrong = Upload::begin(&hub, target, &[KEY]).await;
    wrong.send("1\nother\nmore\n").await;
    wrong.answer().await.problem(422, "idempotency-conflict");
    // The hub has yet to notice that a connection is gone when its producer comes back.
    let mut two = Upload::begin(&hub, target, &[KEY, ACKNOWLEDGE]).await;
    within(two.0.head()).await;
    two.send("1\n2\n3\n").await;
    while two.line().await["events"] != 3 {}
    drop(one);
    eventually("it is noticed", async || hub.metric("tidings_publishing_streams").await == 1).await;
    assert_eq!(reason(&hub, "a").await, None, "the other one is at work");
    two.send("4\n").await;
    two.0.send("0\r\n\r\n").await;
    while two.line().await.get("closed") != Some(&json!(true)) {}
    assert_eq!(hub.read("/topics/a").await, ["1", "2", "3", "4"]);
    assert_eq!(reason(&hub, "a").await.as_deref(), Some(""));
}

#[tokio::test]
async fn a_producer_has_its_grace_to_come_back() {
    let hub = Running::start().await;
    for (grace, returns) in [("30s", true), ("1s", false)] {
        let topic = format!("a/{grace}");
        let target = format!("/topics/{topic}?stream=lines&close=true&grace={grace}");
        let mut upload = Upload::begin(&hub, &target, &[KEY]).await;
        upload.send("1\n").await;
        hub.get(&format!("/topics/{topic}?since=earliest&wait=30")).await.page();
        drop(upload);
        eventually("it is noticed", async || hub.metric("tidings_publishing_streams").await == 0).await;
        if returns {
            assert_eq!(reason(&hub, &topic).await, None);
            let mut back = Upload::begin(&hub, &target, &[KEY]).await;
            back.send("1\n2\n").await;
            assert_eq!(back.end().await.json()["events"], 2);
            assert_eq!(reason(&hub, &topic).await.as_deref(), Some(""));
        } else {
            ends(&hub, &topic, "aborted").await;
            let mut late = Upload::begin(&hub, &target, &[KEY]).await;
            late.send("1\n2\n").await;
            let answer = late.answer().await;
            answer.problem(409, "topic-closed");
        }
    }
}

#[tokio::test]
async fn silence_ends_it() {
    let mut setup = Setup::new();
    setup.http.stream_timeout = Duration::from_millis(700);
    let hub = setup.start().await;
    let mut upload = Upload::begin(&hub, "/topics/a?stream=lines&close=true", &[]).await;
    upload.send("one\n").await;
    // A comment is a sign of life.
    let mut alive = Upload::begin(&hub, "/topics/b?close=true", &[SSE]).await;
    alive.send("data: one\n\n").await;
    let answering = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            alive.send(": still here\n").await;
        }
    };
    let answer = tokio::select! {
        answer = upload.answer() => answer,
        () = answering => unreachable!(),
    };
    assert!(answer.problem(400, "invalid-data").contains("nothing of the body has come"));
    assert_eq!(answer.json()["events"], 1);
    assert_eq!(reason(&hub, "a").await.as_deref(), Some("aborted"));
    assert_eq!(hub.metric("tidings_limits_reached_total{limit=\"stream-timeout\"}").await, 1);
    let told = alive.end().await;
    assert_eq!((told.status(), reason(&hub, "b").await.as_deref()), (200, Some("")), "{}", told.text());
}

#[tokio::test]
async fn what_is_asked_for_is_checked_before_anything_is_taken() {
    let hub = Running::start().await;
    for (target, fields, status, name) in [
        ("/topics/a?stream=words", &[][..], 400, "invalid-query"),
        ("/topics/a?stream=chunks", &[NDJSON], 400, "invalid-query"),
        ("/topics/a?stream=lines", &[SSE], 400, "invalid-query"),
        ("/topics/a?data=xml", &[SSE], 400, "invalid-query"),
        ("/topics/a?stream=lines", &[("content-type", "application/json")], 415, "unsupported-media-type"),
        (
            "/topics/a?stream=chunks",
            &[("content-type", "application/octet-stream")],
            415,
            "unsupported-media-type",
        ),
        ("/topics/a?stream=lines", &[("content-encoding", "gzip")], 415, "unsupported-media-type"),
        ("/topics/a?stream=lines&grace=11m", &[KEY], 400, "invalid-query"),
        ("/topics/a?stream=lines&grace=soon", &[KEY], 400, "invalid-query"),
        ("/topics/a?stream=lines&grace=1s", &[], 400, "invalid-query"),
        ("/topics/a?stream=lines&from=1", &[], 400, "invalid-query"),
        ("/topics/a?stream=lines&from=-1", &[KEY], 400, "invalid-query"),
        ("/topics/a?stream=lines&reason=over", &[], 400, "invalid-query"),
        ("/topics/a?stream=lines&event=tidings.x", &[], 400, "invalid-query"),
        ("/topics/a/*?stream=lines", &[], 400, "invalid-topic"),
    ] {
        let mut upload = Upload::begin(&hub, target, fields).await;
        upload.answer().await.problem(status, name);
    }
    assert_eq!(hub.hub.latest(), 0);
    // A body of which the length is known is as good.
    let request = crate::support::Request::post(LINES, "one\ntwo");
    assert_eq!(hub.ask(request).await.json()["events"], 2);
    let none = hub.ask(crate::support::Request::post(LINES, "")).await;
    assert_eq!(none.json(), json!({"topic": "a", "events": 0, "closed": false}));
}

#[tokio::test]
async fn a_log_that_is_slow_holds_it_up() {
    let log = FaultyLog::new(Setup::new().log());
    let hub = tidings_hub::Hub::new(std::sync::Arc::new(log), tidings_hub::HubConfig::default());
    let hub = Setup::new().start_over(hub).await;
    // Far more than is held of a stream, as fast as it can be sent.
    let mut upload = Upload::begin(&hub, LINES, &[]).await;
    let line = format!("{}\n", "x".repeat(1_000));
    for _ in 0..200 {
        upload.send(line.repeat(100)).await;
    }
    let answer = upload.end().await.json();
    assert_eq!(answer["events"], 20_000);
}

#[tokio::test]
async fn a_log_that_takes_no_more_ends_it_with_what_is_there() {
    let log = std::sync::Arc::new(FaultyLog::new(Setup::new().log()));
    let hub = tidings_hub::Hub::new(std::sync::Arc::clone(&log) as _, tidings_hub::HubConfig::default());
    let hub = Setup::new().start_over(hub).await;
    let mut upload = Upload::begin(&hub, "/topics/a?stream=lines&close=true", &[]).await;
    upload.send("one\n").await;
    hub.get("/topics/a?since=earliest&wait=30").await.page();
    log.refuse_appends(Some(AppendError::Unavailable(LogUnavailable { reason: "it rests".into() })));
    upload.send("two\n").await;
    eventually("it has ended", async || hub.metric("tidings_publishing_streams").await == 0).await;
    log.refuse_appends(None);
    let answer = upload.answer().await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.json()["events"], 1);
    ends(&hub, "a", "aborted").await;
    assert_eq!(hub.metric("tidings_stream_ends_total{reason=\"refused\"}").await, 1);
}

#[tokio::test]
async fn a_hub_that_shuts_down_ends_it_with_what_is_there() {
    for (fields, end) in [(&[][..], Some("aborted")), (&[KEY], None)] {
        let mut hub = Running::start().await;
        let grace = if fields.is_empty() { "" } else { "&grace=60s" };
        let target = format!("/topics/a?stream=lines&close=true{grace}");
        let mut upload = Upload::begin(&hub, &target, fields).await;
        upload.send("one\n").await;
        hub.get("/topics/a?since=earliest&wait=30").await.page();
        let inside = hub.hub.clone();
        hub.shut_down();
        let answer = upload.answer().await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.json()["events"], 1);
        hub.ended().await;
        let again = Setup::new().start_over(inside).await;
        assert_eq!(reason(&again, "a").await.as_deref(), end);
    }
}

#[tokio::test]
async fn a_token_says_who_may() {
    let hub = tokens::hub().await;
    let close = |close: &[&str]| {
        tokens::bearer(&tokens::sign(&tokens::with(tokens::claims(&["a"], &["a"]), "close", json!(close))))
    };
    let publisher = close(&[]);
    let mut upload = Upload::begin(&hub, LINES, &[("authorization", &publisher)]).await;
    upload.send("one\n").await;
    assert_eq!(upload.end().await.json()["events"], 1);
    let other = "/topics/b?stream=lines";
    Upload::begin(&hub, other, &[("authorization", &publisher)])
        .await
        .answer()
        .await
        .problem(403, "forbidden");
    Upload::begin(&hub, other, &[]).await.answer().await.problem(401, "unauthorized");
    // Whoever may only end a topic stops it, and streams nothing.
    let claims = json!({"exp": tokens::moment(600), "tidings": {"close": ["a"]}});
    let stopper = tokens::bearer(&tokens::sign(&claims));
    Upload::begin(&hub, LINES, &[("authorization", &stopper)]).await.answer().await.problem(403, "forbidden");
    let mut upload =
        Upload::begin(&hub, "/topics/a?stream=lines&close=true", &[("authorization", &publisher)]).await;
    upload.send("two\n").await;
    let stop = crate::support::Request::post("/topics/a?close=true&reason=stopped", "");
    hub.ask(stop.header("authorization", &stopper)).await.id();
    assert_eq!(upload.answer().await.json()["reason"], "stopped");
}

/// A body of HTTP/2 that goes on.
async fn http2(
    socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    target: &str,
) -> (mpsc::UnboundedSender<&'static str>, tokio::task::JoinHandle<(u16, Value)>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let pieces = unfold(receiver, async |mut receiver: mpsc::UnboundedReceiver<&'static str>| {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(piece))), receiver))
    });
    let request =
        http::Request::post(format!("http://hub{target}")).body(StreamBody::new(Box::pin(pieces))).unwrap();
    let (mut asking, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let answer = tokio::spawn(async move {
        let response = within(asking.send_request(request)).await.unwrap();
        let status = response.status().as_u16();
        let body = within(response.into_body().collect()).await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    });
    (sender, answer)
}

#[tokio::test]
async fn it_goes_on_over_http_2_tls_and_in_other_programs() {
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), tidings_http::Cleartext::Nobody));
    let encrypted = setup.start().await;
    let plain = Running::start().await;
    for (hub, is_encrypted) in [(&plain, false), (&encrypted, true)] {
        let target = "/topics/two?stream=lines&close=true";
        let (body, answer) = if is_encrypted {
            http2(authority.connect(hub.address, "h2").await, target).await
        } else {
            http2(TcpStream::connect(hub.address).await.unwrap(), target).await
        };
        let topic = "two".parse().unwrap();
        let mut reader = hub
            .hub
            .subscribe(tidings_protocol::Selection::new([topic]), tidings_protocol::Start::Earliest)
            .await
            .unwrap();
        for piece in ["one\n", "two\n"] {
            body.send(piece).unwrap();
            let pull = within(reader.next(tidings_hub::PullLimits::default())).await.unwrap();
            assert_eq!(pull.entries[0].event().data, piece.trim_end());
        }
        drop(body);
        let (status, told) = within(answer).await.unwrap();
        assert_eq!((status, &told["events"], &told["closed"]), (200, &json!(2), &json!(true)));
    }
    let mut upload = Upload::over(authority.http1(encrypted.address).await, LINES, &[]).await;
    upload.send("one\n").await;
    assert_eq!(upload.end().await.json()["events"], 1);

    let api = Api::builder(Setup::new().hub(), Setup::new().http).open_to_everyone().build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().nest("/push", api.router());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let target = "/push/topics/a?stream=lines&close=true";
    let mut upload = Upload::over(Wire::connect(address).await, target, &[ACKNOWLEDGE]).await;
    within(upload.0.head()).await;
    upload.send("one\n").await;
    assert_eq!(upload.line().await["events"], 1);
    drop(upload);
    let topic: tidings_protocol::Topic = "a".parse().unwrap();
    let mut reader = api
        .hub()
        .subscribe(tidings_protocol::Selection::new([topic.into()]), tidings_protocol::Start::Earliest)
        .await
        .unwrap();
    let mut pull = within(reader.next(tidings_hub::PullLimits::default())).await.unwrap();
    while !pull.ended {
        pull = within(reader.next(tidings_hub::PullLimits::default())).await.unwrap();
    }
    assert_eq!(pull.reason.unwrap().as_str(), "aborted");
}
