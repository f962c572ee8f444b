//! Streams whose hub is killed: their topics end, by another hub of the log or by the same one when it is back.

use tidings_engine_servers::{NatsServer, PostgresServer, RedisServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::away::Watcher;
use crate::support::{Hub, within};

const LEASE: [&str; 2] = ["--stream-lease", "1s"];

/// A producer that has sent one item, and lives.
struct Producer(TcpStream);

impl Producer {
    async fn begin(hub: &Hub, topic: &str, query: &str, key: &str) -> Self {
        let mut socket = TcpStream::connect(hub.address()).await.unwrap();
        let key = if key.is_empty() { String::new() } else { format!("Idempotency-Key: {key}\r\n") };
        let host = hub.address();
        let head = format!(
            "POST /topics/{topic}?stream=lines&close=true{query} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n\
             Accept: application/x-ndjson\r\n{key}Transfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut producer = Self(socket);
        producer.hears("\"events\":1").await;
        producer
    }

    async fn hears(&mut self, text: &str) {
        let mut heard = String::new();
        within(text, async {
            while !heard.contains(text) {
                let mut bytes = [0; 1024];
                let count = self.0.read(&mut bytes).await.unwrap();
                assert!(count > 0, "{heard}");
                heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        })
        .await;
    }
}

/// Two hubs, of which one is killed under its producers; and then the other, which is started again alone.
async fn ends_come(log: &str) {
    let (mut one, mut other) = (Hub::over(log, &LEASE).await, Hub::over(log, &LEASE).await);
    let producers = [
        Producer::begin(&one, "left", "", "").await,
        Producer::begin(&one, "waits", "&grace=1s", "k").await,
        Producer::begin(&one, "returns", "&grace=600s", "k").await,
    ];
    let mut elsewhere = Producer::begin(&other, "elsewhere", "", "").await;
    one.kill().await;
    drop(producers);
    for topic in ["left", "waits"] {
        let mut reader = Watcher::from(&other, topic, "earliest").await;
        reader.sees("one").await;
        reader.sees("\"reason\":\"aborted\"").await;
    }
    // Whoever comes back goes on, and ends its topic itself.
    let mut returned = Producer::begin(&other, "returns", "&grace=600s", "k").await;
    returned.0.write_all(b"4\r\ntwo\n\r\n0\r\n\r\n").await.unwrap();
    returned.hears("\"closed\":true").await;
    let page = other.get("/topics/returns?since=earliest").await.json();
    assert_eq!(
        (&page["events"][1]["data"], &page["reason"]),
        (&"two".into(), &serde_json::Value::Null),
        "{page}"
    );
    // What is under way at a hub that lives is nobody else's to end.
    elsewhere.0.write_all(b"4\r\ntwo\n\r\n").await.unwrap();
    elsewhere.hears("\"events\":2").await;

    other.kill().await;
    other.start_again().await;
    let mut reader = Watcher::from(&other, "elsewhere", "earliest").await;
    reader.sees("\"reason\":\"aborted\"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_come_over_redis() {
    let Some(server) = RedisServer::start() else { return };
    ends_come(&format!("redis://127.0.0.1:{}/log", server.port())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_come_over_nats() {
    let Some(server) = NatsServer::start() else { return };
    ends_come(&format!("nats://127.0.0.1:{}/LOG", server.port())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_come_over_postgres() {
    let Some(server) = PostgresServer::start() else { return };
    ends_come(&format!("postgres://postgres@127.0.0.1:{}/postgres", server.port())).await;
}
