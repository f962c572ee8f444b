//! The access log: who asked for what, and never with which token.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Connection, Hub, Version, within};

/// The lines of the access log so far.
fn lines(hub: &Hub) -> Vec<Value> {
    let all = hub.log();
    let objects = all.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = objects.filter(|line| line["target"] == "tidings::access");
    own.map(|line| line["fields"].clone()).filter(|line| line["path"] != "/metrics").collect()
}

/// Waits for so many lines: they are written after what they are about.
async fn lines_of(hub: &Hub, count: usize) -> Vec<Value> {
    let all = async {
        while lines(hub).len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lines(hub)
    };
    within("lines in the log", all).await
}

async fn subscribers(hub: &Hub, transport: &str, count: usize) {
    let line = format!("tidings_subscribers{{transport=\"{transport}\"}} {count}");
    let counted = async {
        while !hub.get("/metrics").await.text().lines().any(|own| own == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(&line, counted).await;
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path)
}

const TOLD: [&str; 3] = ["--log-level", "info,tidings::access=debug", "--log-json"];

#[tokio::test]
async fn each_request_has_a_line() {
    let hub = Hub::in_memory(&TOLD).await;
    let published = hub.publish("a%2Fb?event=t", "12345").await;
    let request = get("/topics/a%2Fb?since=earliest&access_token=s3cret&x=y");
    let request = request.header("user-agent", "x".repeat(300)).header("x-request-id", "r-1");
    let page = hub.ask(request.body(Full::default()).unwrap()).await;
    hub.get("/topics/a?since=x").await;

    let lines = lines_of(&hub, 3).await;
    let (publish, poll, refused) = (&lines[0], &lines[1], &lines[2]);
    assert_eq!(
        (&publish["method"], &publish["path"], &publish["query"]),
        (&"POST".into(), &"/topics/a%2Fb".into(), &"event=t".into())
    );
    assert_eq!((&publish["status"], &publish["client"]), (&201.into(), &"127.0.0.1".into()));
    assert!(publish["bytes"].as_u64().unwrap() > published.id.len() as u64);
    assert!(publish["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!((&poll["query"], &poll["bytes"]), (&"since=earliest&…&…".into(), &page.body.len().into()));
    assert_eq!((&poll["transport"], &poll["request_id"]), (&"poll".into(), &"r-1".into()));
    assert_eq!(poll["agent"].as_str().unwrap().chars().count(), 201);
    assert_eq!((&refused["status"], &refused["transport"]), (&400.into(), &Value::Null));
}

#[tokio::test]
async fn a_stream_has_a_line_when_it_begins_and_one_when_it_ends() {
    let hub = Hub::in_memory(&TOLD).await;
    for (place, version) in [Version::Http1, Version::Http2].into_iter().enumerate() {
        let mut connection = Connection::open(hub.address(), version).await.unwrap();
        let request = get("/topics/a").header("accept", "text/event-stream");
        let response = connection.send(request.body(Full::default()).unwrap()).await.unwrap();
        let begun = lines_of(&hub, 2 * place + 1).await.pop().unwrap();
        assert_eq!((&begun["message"], &begun["status"]), (&"stream began".into(), &200.into()));
        assert_eq!(begun["transport"], "sse");
        drop((response, connection));
        let ended = lines_of(&hub, 2 * place + 2).await.pop().unwrap();
        assert_eq!((&ended["message"], &ended["path"]), (&"stream ended".into(), &"/topics/a".into()));
    }
}

#[tokio::test]
async fn a_websocket_has_a_line_when_it_begins_and_one_when_it_ends() {
    let hub = Hub::in_memory(&TOLD).await;
    let mut socket = within("a connection", TcpStream::connect(hub.address())).await.unwrap();
    let request = "GET /topics/a?since=latest&access_token=s3cret HTTP/1.1\r\nhost: localhost\r\n\
                   upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let begun = lines_of(&hub, 1).await.pop().unwrap();
    assert_eq!((&begun["message"], &begun["status"]), (&"stream began".into(), &101.into()));
    assert_eq!((&begun["transport"], &begun["query"]), (&"websocket".into(), &"since=latest&…".into()));
    drop(socket);
    let ended = lines_of(&hub, 2).await.pop().unwrap();
    assert_eq!((&ended["message"], &ended["path"]), (&"stream ended".into(), &"/topics/a".into()));
    assert_eq!((&ended["transport"], &ended["status"]), (&"websocket".into(), &101.into()));
}

#[tokio::test]
async fn a_long_poll_has_a_line_each_time_it_is_answered_and_when_its_client_leaves() {
    let hub = Hub::in_memory(&TOLD).await;
    let first = hub.publish("a", "first").await.id;
    let mut connection = Connection::open(hub.address(), Version::Http1).await.unwrap();
    let mut cursor = first.clone();
    let mut cursors = Vec::new();
    for _ in 0..3 {
        // A poll is counted for a moment longer than its answer takes: it could pass for the next one.
        subscribers(&hub, "long-poll", 0).await;
        let request = get(&format!("/topics/a?since={cursor}&wait=50")).body(Full::default()).unwrap();
        let held = connection.send(request);
        let publish = async {
            subscribers(&hub, "long-poll", 1).await;
            hub.publish("a", "next").await.id
        };
        let (response, next) = tokio::join!(held, publish);
        response.unwrap().into_body().collect().await.unwrap();
        cursors.push(std::mem::replace(&mut cursor, next));
    }
    let polls = async |count| {
        let all = async {
            loop {
                let polls: Vec<Value> =
                    lines(&hub).into_iter().filter(|line| line["method"] == "GET").collect();
                if polls.len() == count {
                    return polls;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("lines of polls", all).await
    };
    for (line, cursor) in polls(3).await.iter().zip(&cursors) {
        assert_eq!(line["query"], format!("since={cursor}&wait=50"));
        assert_eq!((&line["status"], &line["transport"]), (&200.into(), &"long-poll".into()));
        assert!(line["bytes"].as_u64().unwrap() > 0);
    }
    subscribers(&hub, "long-poll", 0).await;
    let request = get(&format!("/topics/a?since={cursor}&wait=50")).body(Full::default()).unwrap();
    tokio::select! {
        _ = connection.send(request) => panic!("nothing was published"),
        () = subscribers(&hub, "long-poll", 1) => {}
    }
    drop(connection);
    let given_up = polls(4).await.pop().unwrap();
    assert_eq!((&given_up["message"], &given_up["status"]), (&"request given up".into(), &Value::Null));
}

#[tokio::test]
async fn a_token_is_in_no_line_of_the_log() {
    let hub = Hub::in_memory(&["--log-level", "trace"]).await;
    for version in [Version::Http1, Version::Http2] {
        let mut connection = Connection::open(hub.address(), version).await.unwrap();
        for path in [
            "/topics/a?access_token=s3cret",
            "/topics/a?wait=50ms&access%5Ftoken=s3cret",
            "/topics/a&access_token=s3cret",
            "/topics/a?since=nonsense&access_token=s3cret",
            "/nowhere?access_token=s3cret",
        ] {
            let request = get(path).header("authorization", "Bearer s3cret").header("cookie", "token=s3cret");
            connection.ask(request.body(Full::default()).unwrap()).await.unwrap();
        }
        let request = get("/topics/a?access_token=s3cret").header("accept", "text/event-stream");
        drop(connection.send(request.body(Full::default()).unwrap()).await.unwrap());
    }
    let log = hub.logged("stream ended", 2).await;
    assert!(log.contains("/nowhere"), "{log}");
    let line = log.lines().find(|line| line.contains("s3cret"));
    assert_eq!(line, None);
}

#[tokio::test]
async fn it_is_off_unless_it_is_asked_for() {
    let mut hub = Hub::in_memory(&["--log-json"]).await;
    hub.publish("a", "x").await;
    hub.get("/topics/a").await;
    // At its end it has written everything.
    hub.terminate().await;
    assert!(!hub.log().contains("/topics/a"), "{}", hub.log());
}

/// A client may leave just as its answer begins to wait: whatever the moment, what the log says began has an end there.
#[tokio::test]
async fn a_stream_that_is_reset_as_it_begins_ends_in_the_log_too() {
    let hub = Hub::in_memory(&TOLD).await;
    let mut connection = Connection::open(hub.address(), Version::Http2).await.unwrap();
    for number in 0..200_u32 {
        let request = get("/topics/reset").header("accept", "text/event-stream");
        let request = request.body(Full::default()).unwrap();
        let begins = connection.send(request);
        drop(tokio::time::timeout(Duration::from_micros(u64::from(number) * 5), begins).await);
    }
    subscribers(&hub, "sse", 0).await;
    // The log is written in order, so that its line tells that everything before is there.
    hub.publish("last", "x").await;
    let balanced = async {
        loop {
            let log = hub.logged("/topics/last", 1).await;
            let (began, ended) = (log.matches("stream began").count(), log.matches("stream ended").count());
            if began == ended {
                return began;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    println!("{} streams began and ended", within("every stream to end", balanced).await);
}
