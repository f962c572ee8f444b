//! A crowd that polls one public topic, behind a cache.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Hub, Proxy};

const CROWD: usize = 10_000;
const EVENTS: usize = 3;
/// The most requests that the hub sees of all of it: one for each event and for each wait that ends without one, and a
/// few while the crowd comes.
const HANDFUL: usize = 40;
/// Longer than the rest of the suite allows: everybody comes and goes several times.
const PATIENCE: Duration = Duration::from_secs(120);

/// The cache of `docs/operations.md`, with a page that tells how many requests it has under way.
async fn cache(hub: &Hub) -> Option<Proxy> {
    let hub = hub.address();
    Proxy::nginx(move |place| {
        let (listen, folder) = (place.listen, place.folder.display());
        format!(
            "proxy_cache_path {folder}/cache keys_zone=tidings:10m;
             map \"$http_authorization$arg_access_token$http_cookie\" $tidings_own {{ \"\" \"\"; default 1; }}
             map $http_accept $tidings_stream {{ default \"\"; ~*(event-stream|ndjson) 1; }}
             server {{
                 listen {listen} backlog=16384;
                 location = /under-way {{ stub_status; }}
                 location / {{
                     proxy_pass http://{hub};
                     proxy_read_timeout 75s;
                     proxy_cache tidings;
                     proxy_cache_bypass $tidings_own $tidings_stream;
                     proxy_no_cache $tidings_own $tidings_stream;
                     proxy_cache_lock on;
                     proxy_cache_lock_timeout 75s;
                     proxy_cache_lock_age 75s;
                 }}
             }}"
        )
    })
    .await
}

/// A connection that asks one thing after the other.
struct Poller(BufReader<TcpStream>);

impl Poller {
    async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::with_capacity(2 << 10, TcpStream::connect(address).await.unwrap()))
    }

    async fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: hub\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let (mut line, mut length) = (String::new(), None);
        self.0.read_line(&mut line).await.unwrap();
        assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            let field = line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            length = field.map(|(_, value)| value.trim().parse().unwrap()).or(length);
        }
        let mut body = vec![0; length.expect("a length")];
        self.0.read_exact(&mut body).await.unwrap();
        String::from_utf8(body).unwrap()
    }
}

/// Polls until it has had every event, each once and in order.
async fn poll(address: SocketAddr, mut cursor: String, had: watch::Sender<usize>) {
    let mut poller = Poller::connect(address).await;
    let mut count = 0;
    while count < EVENTS {
        let page = poller.get(&format!("/topics/crowd?wait=45&since={cursor}")).await;
        let page: Value = serde_json::from_str(&page).unwrap();
        assert_eq!(page["gap"], Value::Null);
        for event in page["events"].as_array().unwrap() {
            assert_eq!(event["data"], count.to_string());
            count += 1;
            had.send_modify(|had| *had += 1);
        }
        cursor = page["next"].as_str().unwrap().to_owned();
    }
}

/// How many requests nginx has under way, beside the one that asks.
async fn under_way(address: SocketAddr) -> usize {
    let mut poller = Poller::connect(address).await;
    // "Reading: 0 Writing: 10001 Waiting: 0"
    let status = poller.get("/under-way").await;
    let writing = status.split("Writing: ").nth(1).unwrap().split(' ').next().unwrap();
    writing.parse::<usize>().unwrap() - 1
}

/// How often the hub was asked for events of the topic. The hub writes its log in order and aside from what it does: so the
/// line of a request that is made now tells that those of all before it are there.
async fn asked(hub: &Hub) -> usize {
    hub.get("/topics/counted").await;
    let log = hub.logged("path=\"/topics/counted\"", 1).await;
    log.lines().filter(|line| line.contains("method=GET path=\"/topics/crowd\"")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_who_poll_behind_a_cache_cost_the_hub_a_handful_of_requests() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let hub = Hub::in_memory(&["--cache", "60s", "--log-level", "debug"]).await;
    let Some(proxy) = cache(&hub).await else { return };
    let address = proxy.address();
    let drill = async {
        let begin = hub.publish("crowd", "before").await.id;
        let (had, mut count) = watch::channel(0);
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            crowd.spawn(poll(address, begin.clone(), had.clone()));
        }
        for event in 0..EVENTS {
            while under_way(address).await < CROWD {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            hub.publish("crowd", event.to_string()).await;
            count.wait_for(|had| *had == CROWD * (event + 1)).await.unwrap();
        }
        while let Some(polled) = crowd.join_next().await {
            polled.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, drill).await.expect("everybody has every event");
    let asked = asked(&hub).await;
    println!("{CROWD} who poll had {EVENTS} events each, and the hub was asked {asked} times");
    assert!((EVENTS..=HANDFUL).contains(&asked), "the hub was asked {asked} times");
}

/// The proof of the other side: what needs a token, or may not be kept, costs a request each time.
#[tokio::test]
async fn what_is_private_is_asked_of_the_hub_each_time() {
    let hub = Hub::in_memory(&["--log-level", "debug"]).await;
    let Some(proxy) = cache(&hub).await else { return };
    let begin = hub.publish("crowd", "x").await.id;
    let mut poller = Poller::connect(proxy.address()).await;
    for _ in 0..5 {
        poller.get(&format!("/topics/crowd?since={begin}")).await;
    }
    assert_eq!(asked(&hub).await, 5);
}
