use serde_json::json;
use tidings_http::{Api, Auth, HttpConfig};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{MemoryLog, Retention};
use tidings_relay::{RelayConfig, Relays};

use crate::support::{Answer, Bench, Endpoint, SlowLog, ids, within, without_ids};

#[tokio::test]
async fn a_caller_gets_the_same_bytes_and_an_id_in_each_event() {
    let mut bench = Bench::start().await;
    let (mut answer, mut asked) = bench.run().await;
    assert!(asked.head.starts_with("post /v1/chat http/1.1\r\n") && asked.body == b"{}", "{}", asked.head);
    let sent =
        "event: start\ndata:{\"a\":1}\n\n: working\ndata: two\ndata: lines\nextra: x\n\ndata: [DONE]\n\n";
    for piece in sent.as_bytes().chunks(7) {
        asked.send(piece).await;
    }
    asked.finish().await;
    let location = answer.location();
    assert!(answer.rest().await);
    assert_eq!(without_ids(&answer.text), sent);
    assert_eq!(answer.field("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.field("x-request-id"), Some("7"));

    let page = bench.ended(&location).await;
    let events = page["events"].as_array().unwrap();
    let shown: Vec<_> = events.iter().map(|event| (&event["event"], &event["data"])).collect();
    assert_eq!(json!(shown), json!([["start", "{\"a\":1}"], [null, "two\nlines"], [null, "[DONE]"]]));
    let named: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids(&answer.text), named);
    assert_eq!(page.get("reason"), None);
}

#[tokio::test]
async fn lines_of_json_are_the_same_bytes_and_json_in_the_topic() {
    let mut bench = Bench::start().await;
    let request = bench.post("/relay/r/api/chat").body("{}").send();
    let endpoint = async {
        let mut asked = bench.endpoint.asked().await;
        asked.begin("application/x-ndjson").await;
        asked.send("{\"a\":1}\n{\"b\"").await;
        asked.send(":2}\r\n\nno json\n{\"c\":3}").await;
        asked.finish().await;
    };
    let (response, ()) = tokio::join!(request, endpoint);
    let mut answer = Answer::of(response.unwrap());
    let location = answer.location();
    assert!(answer.rest().await);
    assert_eq!(answer.text, "{\"a\":1}\n{\"b\":2}\r\n\nno json\n{\"c\":3}");
    let page = bench.ended(&location).await;
    let data: Vec<_> = page["events"].as_array().unwrap().iter().map(|event| &event["data"]).collect();
    assert_eq!(json!(data), json!([{"a": 1}, {"b": 2}, "no json", {"c": 3}]));
}

/// The lines of an event do not wait for the log, and its end does: what has an id is durable.
#[tokio::test]
async fn the_log_holds_back_no_line_and_each_id() {
    let log = SlowLog::new();
    let mut bench = Bench::over(log.clone(), Auth::open_to_this_machine(), |_| {}).await;
    let (mut answer, mut asked) = bench.run().await;
    asked.send("data: one\n\ndata: two\n\n").await;
    answer.until("data: one\n").await;
    asked.finish().await;
    assert_eq!(answer.text, "data: one\n");
    log.let_append(1);
    answer.until("data: two\n").await;
    assert!(answer.text.starts_with("data: one\nid: "), "{}", answer.text);
    log.let_append(2);
    assert!(answer.rest().await);
    assert_eq!(
        (ids(&answer.text).len(), without_ids(&answer.text)),
        (2, "data: one\n\ndata: two\n\n".to_owned())
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_everybody() {
    let mut bench = Bench::start().await;
    let (mut answer, mut asked) = bench.run().await;
    let location = answer.location();
    asked.send("data: one\n\ndata: tw").await;
    answer.until("\n\n").await;
    drop(asked);
    assert!(!answer.rest().await, "the answer seems whole: {}", answer.text);
    let page = bench.ended(&location).await;
    assert_eq!((page["reason"].as_str(), page["events"].as_array().unwrap().len()), (Some("aborted"), 1));
}

#[tokio::test]
async fn an_answer_without_events_is_whole() {
    let mut bench = Bench::start().await;
    let (mut answer, asked) = bench.run().await;
    asked.finish().await;
    assert!(answer.rest().await && answer.text.is_empty());
    let page = bench.ended(&answer.location()).await;
    assert_eq!((page["events"].as_array().unwrap().len(), page.get("reason")), (0, None));
}

/// A blank line would be an event to clients that have seen an id.
#[tokio::test]
async fn signs_of_life_are_lines_and_no_blocks() {
    let endpoint = Endpoint::start().await;
    let log = MemoryLog::new(Retention::default(), std::time::Duration::from_secs(60));
    let http = HttpConfig { heartbeat: std::time::Duration::from_millis(50), ..HttpConfig::default() };
    let config = RelayConfig::to(endpoint.url());
    let mut bench =
        Bench::to(endpoint, std::sync::Arc::new(log), Auth::open_to_this_machine(), http, config).await;
    let (mut answer, mut asked) = bench.run().await;
    answer.until(":\n:\n").await;
    asked.send("data: one\r\n\r\n").await;
    answer.until("\r\n\r\n:\r\n:\r\n").await;
    asked.finish().await;
    assert!(answer.rest().await);
    let without = answer.text.replace(":\r\n", "").replace(":\n", "");
    let id = ids(&answer.text).remove(0);
    assert_eq!(without, format!("data: one\r\nid: {}\r\n\r\n", id.trim_end()));
}

/// What a caller does not take is read from the log, however much it is: the run goes on meanwhile.
#[tokio::test]
async fn a_caller_who_reads_late_gets_every_event() {
    let mut bench = Bench::start().await;
    let (mut answer, mut asked) = bench.run().await;
    let location = answer.location();
    let filler = "x".repeat(1_000);
    for number in 0..20_000 {
        asked.send(format!("data: {number} {filler}\n\n")).await;
    }
    asked.finish().await;
    bench.ended(&location).await;
    assert!(answer.rest().await);
    let data: Vec<&str> = answer.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let numbers: Vec<usize> =
        data.iter().map(|data| data.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..20_000).collect::<Vec<_>>());
    assert_eq!(ids(&answer.text).len(), 20_000);
}

/// What hubs say among themselves is in no log: a caller who does not take it is cut off, and the run goes on.
#[tokio::test]
async fn a_caller_who_takes_nothing_of_another_hub_is_cut_off() {
    let mut bench = Bench::start().await;
    let (mut answer, mut asked) = bench.run().await;
    let location = answer.location();
    let block = format!("event: tidings.live\ndata: {}\n\n", "x".repeat(60_000));
    for _ in 0..400 {
        asked.send(&block).await;
    }
    asked.send("data: last\n\n").await;
    asked.finish().await;
    assert_eq!(bench.ended(&location).await["events"][0]["data"], "last");
    assert!(!answer.rest().await, "the answer breaks off");
    assert!(answer.text.len() < 20_000_000, "all was kept: {}", answer.text.len());
}

/// A hub that is mounted elsewhere names its topics as they are reached there.
#[tokio::test]
async fn an_answer_says_where_its_topic_is_mounted() {
    let mut endpoint = Endpoint::start().await;
    let relays = Relays::new([("r".to_owned(), RelayConfig::to(endpoint.url()))]).unwrap();
    let log = MemoryLog::new(Retention::default(), std::time::Duration::from_secs(60));
    let hub = Hub::new(std::sync::Arc::new(log), HubConfig::default());
    let api = relays.allow(Api::builder(hub, HttpConfig::default()).open_to_everyone()).build();
    let app = axum::Router::new().nest("/push", api.router_with(relays.router(&api)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = tokio::spawn(client.post(format!("{url}/push/relay/r/x")).body("{}").send());
    let mut asked = endpoint.asked().await.events().await;
    asked.send("data: one\n\n").await;
    let mut answer = Answer::of(within("an answer", request).await.unwrap().unwrap());
    answer.until("\n\n").await;
    let location = answer.location();
    assert!(location.starts_with("/push/topics/relay/r/"), "{location}");
    let topic = client.get(format!("{url}{location}?since=earliest")).send();
    let topic = within("a page", topic).await.unwrap();
    assert!(topic.text().await.unwrap().contains("\"one\""));
}

#[tokio::test]
async fn a_hub_that_shuts_down_ends_what_is_under_way() {
    let mut bench = Bench::start().await;
    let (mut answer, mut asked) = bench.run().await;
    asked.send("data: one\n\n").await;
    answer.until("\n\n").await;
    bench.relays.close().await;
    asked.cancelled().await;
    assert!(!answer.rest().await);
    let page = bench.ended(&answer.location()).await;
    assert_eq!((page["reason"].as_str(), page["events"].as_array().unwrap().len()), (Some("aborted"), 1));
}
