//! Many at once.

use serde_json::json;

use crate::support::{Request, Running, Stream, Wire, texts, within};

const READERS: usize = 200;
const EVENTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_readers_gets_each_event_once_and_in_order() {
    let hub = Running::start().await;
    let targets = ["/topics/a", "/topics/*", "/events?topic=a&topic=b", "/topics/a?event=message"];
    let mut readers = Vec::new();
    for number in 0..READERS {
        let target = targets[number % targets.len()];
        let mut stream = match number % 5 {
            0 => hub.open(Request::lines(target)).await,
            _ => hub.stream(target).await,
        };
        readers.push(tokio::spawn(async move {
            for expected in 0..EVENTS {
                let data = match number % 5 {
                    0 => stream.line().await["data"].as_str().unwrap().to_owned(),
                    _ => stream.event().await.data.unwrap(),
                };
                assert_eq!(data, expected.to_string());
            }
            stream
        }));
    }
    hub.waiting("a", READERS).await;
    let mut wire = hub.connect().await;
    let mut number = 0;
    while number < EVENTS {
        if number % 20 == 0 {
            let lines: String =
                (number..number + 10).map(|n| json!({"data": n.to_string()}).to_string() + "\n").collect();
            wire.ask(&Request::post("/topics/a", lines).ndjson()).await.ids();
            number += 10;
        } else {
            wire.ask(&Request::post("/topics/a", number.to_string())).await.id();
            number += 1;
        }
    }
    let mut streams = Vec::new();
    for reader in readers {
        streams.push(within(reader).await.unwrap());
    }
    // Nobody has anything more to read: the next is the next.
    hub.publish("a", "last").await;
    for (number, stream) in streams.iter_mut().enumerate() {
        let data = match number % 5 {
            0 => stream.line().await["data"].as_str().unwrap().to_owned(),
            _ => stream.event().await.data.unwrap(),
        };
        assert_eq!(data, "last");
    }
}

/// Reads over whatever transport is next, leaving each one after a few events.
async fn restless(address: std::net::SocketAddr, from: usize, total: usize) -> Vec<String> {
    let (mut seen, mut cursor, mut way) = (Vec::new(), "earliest".to_owned(), from);
    while seen.len() < total {
        way += 1;
        let mut wire = Wire::connect(address).await;
        match way % 3 {
            0 => {
                let request = Request::get(&format!("/topics/a?wait=20&limit=17&since={cursor}"));
                let page = wire.ask(&request).await.page();
                seen.extend(texts(&page));
                cursor = page.next;
            }
            1 => {
                wire.send(Request::stream(&format!("/topics/a?since={cursor}")).bytes()).await;
                let mut stream = Stream::new(wire).await;
                stream.block().await;
                for _ in 0..11.min(total - seen.len()) {
                    let block = stream.event().await;
                    cursor = block.id.unwrap();
                    seen.extend(block.data);
                }
            }
            _ => {
                wire.send(Request::lines(&format!("/topics/a?since={cursor}")).bytes()).await;
                let mut stream = Stream::new(wire).await;
                for _ in 0..7.min(total - seen.len()) {
                    let line = stream.line().await;
                    cursor = line["id"].as_str().unwrap().to_owned();
                    seen.push(line["data"].as_str().unwrap().to_owned());
                }
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_and_go_while_others_publish_miss_nothing() {
    let hub = Running::start().await;
    let (address, total) = (hub.address, 4 * 100);
    let readers: Vec<_> = (0..20).map(|from| tokio::spawn(restless(address, from, total))).collect();
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            tokio::spawn(async move {
                let mut wire = Wire::connect(address).await;
                for number in 0..100 {
                    let text = format!("{publisher}/{number}");
                    wire.ask(&Request::post("/topics/a", text)).await.id();
                }
            })
        })
        .collect();
    for publisher in publishers {
        within(publisher).await.unwrap();
    }
    let expected = hub.read("/topics/a?limit=10000").await;
    assert_eq!(expected.len(), total);
    for reader in readers {
        assert_eq!(within(reader).await.unwrap(), expected);
    }
    hub.readers("sse", 0).await;
    hub.readers("ndjson", 0).await;
    hub.readers("long-poll", 0).await;
    hub.waiting("a", 0).await;
}
