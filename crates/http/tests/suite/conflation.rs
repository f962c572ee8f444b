//! §3.10: what is pending comes folded, and no more often than it is asked for.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use tidings_http::{Api, HttpConfig};
use tidings_hub::Hub;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{Request, Running, Setup, Stream, Wire, texts, within};

/// A hub that is served on a port of its own, and one more time as a router in another program.
struct Both {
    hub: Running,
    mounted: SocketAddr,
    _api: Api,
}

/// A way to read what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Page,
    LongPoll,
    Stream,
    Lines,
}

const FORMS: [Form; 4] = [Form::Page, Form::LongPoll, Form::Stream, Form::Lines];

impl Both {
    async fn start(setup: Setup) -> Self {
        let http = setup.http.clone();
        let hub = setup.start().await;
        let (mounted, api) = mount(hub.hub.clone(), http).await;
        Self { hub, mounted, _api: api }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.hub.address, self.mounted]
    }
}

async fn mount(hub: Hub, config: HttpConfig) -> (SocketAddr, Api) {
    let api = Api::builder(hub, config).open_to_everyone().build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().merge(api.router()).into_make_service_with_connect_info::<SocketAddr>();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    (address, api)
}

async fn open(address: SocketAddr, request: Request) -> Stream {
    let mut wire = Wire::connect(address).await;
    wire.send(request.bytes()).await;
    Stream::new(wire).await
}

/// The first `count` events of what a request for a form is answered with, each with its id.
async fn read(address: SocketAddr, form: Form, target: &str, count: usize) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut found = Vec::new();
    match form {
        Form::Page | Form::LongPoll => {
            let wait = if form == Form::LongPoll { "&wait=30" } else { "" };
            let request = Request::get(&format!("{target}{wait}"));
            let answer = within(Wire::connect(address).await.ask(&request)).await;
            let page: Value = serde_json::from_str(answer.text()).unwrap();
            for event in page["events"].as_array().unwrap() {
                found.push((event["id"].as_str().unwrap().to_owned(), text(&event["data"])));
            }
            assert_eq!(found.len(), count, "{page}");
        }
        Form::Stream => {
            let mut stream = open(address, Request::stream(target)).await;
            while found.len() < count {
                let block = within(stream.block()).await;
                if let (Some(id), Some(data)) = (block.id, block.data) {
                    assert!(!block.event.as_ref().is_some_and(|event| event.starts_with("tidings.")));
                    found.push((id, data));
                }
            }
        }
        Form::Lines => {
            let mut stream = open(address, Request::lines(target)).await;
            while found.len() < count {
                let line = within(stream.line()).await;
                found.push((line["id"].as_str().unwrap().to_owned(), text(&line["data"])));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_is_given_the_newest_of_each_topic_in_every_form() {
    // Memory has all of it, or nearly nothing.
    for tail_bytes in [64 << 20, 16 << 10] {
        let mut setup = Setup::new();
        setup.hub.tail_bytes = tail_bytes;
        let both = Both::start(setup).await;
        let hub = &both.hub;
        for topic in ["x/a", "x/b", "y"] {
            hub.publish_numbers(topic, 0..2_000).await;
        }
        let last = [hub.publish("x/b", "new b").await, hub.publish("x/a", "new a").await];
        hub.publish("y", "new y").await;
        for (address, form) in both.addresses().into_iter().flat_map(|own| FORMS.map(|form| (own, form))) {
            let target = "/topics/x/*?since=earliest&conflate=latest";
            let expected: Vec<_> =
                last.iter().cloned().zip(["new b".to_owned(), "new a".to_owned()]).collect();
            assert_eq!(read(address, form, target, 2).await, expected, "{form:?}, {tail_bytes}");
            let one = read(address, form, "/topics/y?since=earliest&conflate=latest&event=message", 1).await;
            assert_eq!(one[0].1, "new y", "{form:?}, {tail_bytes}");
        }
        // With a limit, each is given once, and what leads on leads on.
        let page = hub.poll("/topics/**?conflate=latest&limit=1").await;
        assert_eq!((texts(&page), page.more), (vec!["new b".to_owned()], true));
        let rest = hub.poll(&format!("/topics/**?conflate=latest&since={}", page.next)).await;
        assert_eq!((texts(&rest), rest.more), (vec!["new a".to_owned(), "new y".to_owned()], false));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_joined_to_a_text_in_every_form() {
    let both = Both::start(Setup::new()).await;
    let hub = &both.hub;
    for token in ["Tokens", " of", " a", "\nmodel", "."] {
        hub.publish("t", token).await;
    }
    let text = hub.publish("t", "..").await;
    let typed = hub.publish_typed("t", "note", "typed").await;
    let json = [1, 2].map(|number| json!({ "number": number }).to_string());
    let mut ids = Vec::new();
    for json in &json {
        ids.push(hub.ask(Request::post("/topics/t", json).json()).await.id());
    }
    let other = hub.publish("u", "another's").await;
    let after = hub.publish("t", "after").await;
    for (address, form) in both.addresses().into_iter().flat_map(|own| FORMS.map(|form| (own, form))) {
        let expected = [
            (text.clone(), "Tokens of a\nmodel...".to_owned()),
            (typed.clone(), "typed".to_owned()),
            (ids[0].clone(), json[0].clone()),
            (ids[1].clone(), json[1].clone()),
            (after.clone(), "after".to_owned()),
        ];
        let found = read(address, form, "/topics/t?since=earliest&conflate=append", 5).await;
        assert_eq!(found, expected, "{form:?}");
        let mut all = expected.to_vec();
        all.insert(4, (other.clone(), "another's".to_owned()));
        assert_eq!(
            read(address, form, "/topics/**?since=earliest&conflate=append", 6).await,
            all,
            "{form:?}"
        );
    }
    // A joined event has its limit.
    hub.publish("long", &"x".repeat(40_000)).await;
    hub.publish("long", &"y".repeat(40_000)).await;
    let page = hub.poll("/topics/long?conflate=append").await;
    assert_eq!(page.events.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_soon_after_a_delivery_is_held_and_then_comes_together() {
    const EVERY: Duration = Duration::from_secs(3);
    let both = Both::start(Setup::new().heartbeat(Duration::from_secs(1))).await;
    let hub = &both.hub;
    for (address, conflate) in
        both.addresses().into_iter().flat_map(|own| ["latest", "append"].map(|how| (own, how)))
    {
        let topic = format!("{}/{conflate}", address.port());
        let mut stream =
            open(address, Request::stream(&format!("/topics/{topic}?conflate={conflate}&every=3"))).await;
        assert!(stream.block().await.retry.is_some());
        let begun = Instant::now();
        hub.publish(&topic, "first").await;
        // Nothing came before it for long.
        assert_eq!(within(stream.event()).await.data.unwrap(), "first");
        for text in ["a", "b", "c"] {
            hub.publish(&topic, text).await;
        }
        let mut signs = 0;
        let block = loop {
            let block = within(stream.block()).await;
            if block.data.is_some() {
                break block;
            }
            signs += 1;
        };
        let expected = if conflate == "latest" { "c" } else { "abc" };
        assert_eq!(block.data.unwrap(), expected);
        assert!(begun.elapsed() >= EVERY, "held for {:?}", begun.elapsed());
        assert!(signs > 0, "no sign of life while it was held");
        // Everything was told, so the end comes behind it, also where it is held.
        hub.publish(&topic, "d").await;
        hub.close_topic(&topic).await;
        assert_eq!(within(stream.event()).await.data.unwrap(), "d");
        assert_eq!(within(stream.event()).await.event.unwrap(), "tidings.end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_with_a_cursor_is_held_no_longer_than_it_waits() {
    let both = Both::start(Setup::new()).await;
    let hub = &both.hub;
    for (address, topic) in both.addresses().into_iter().zip(["a", "b"]) {
        let cursor = hub.publish(topic, "seen").await;
        hub.publish_numbers(topic, 0..10).await;
        for (wait, least) in [("30", 2_000), ("1", 1_000)] {
            let target = format!("/topics/{topic}?since={cursor}&conflate=latest&every=2&wait={wait}");
            let asked = Instant::now();
            let answer = within(Wire::connect(address).await.ask(&Request::get(&target))).await;
            assert_eq!(texts(&answer.page()), ["9"]);
            let held = asked.elapsed();
            assert!(held >= Duration::from_millis(least), "{target} was held for {held:?}");
            assert!(wait != "1" || held < Duration::from_secs(20), "{target} was held for {held:?}");
        }
        // One without a cursor had no delivery before, and a short poll is not held.
        for target in [
            format!("/topics/{topic}?since=earliest&conflate=latest&every=60&wait=60"),
            format!("/topics/{topic}?since={cursor}&conflate=latest&every=60"),
        ] {
            let asked = Instant::now();
            let answer = within(Wire::connect(address).await.ask(&Request::get(&target))).await;
            assert_eq!(texts(&answer.page()), ["9"]);
            assert!(asked.elapsed() < Duration::from_secs(30));
        }
    }
}

/// What a reader has not taken is found again: the bytes are the same, however little memory there is for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_given_what_is_joined_to_the_last_byte() {
    const EVENTS: usize = 400;
    let mut setup = Setup::new();
    setup.http.max_buffered_bytes = 64 << 10;
    setup.hub.tail_bytes = 1 << 20;
    let both = Both::start(setup).await;
    let hub = &both.hub;
    let text = |number: usize| format!("{number}:{}|", "x".repeat(10_000));
    for address in both.addresses() {
        let topic = format!("{}", address.port());
        let request =
            |conflate| Request::stream(&format!("/topics/{topic}?since=latest&conflate={conflate}"));
        let mut slow = Vec::new();
        for conflate in ["append", "latest"] {
            let mut wire = Wire::narrow(address).await;
            wire.send(request(conflate).bytes()).await;
            let mut stream = Stream::new(wire).await;
            assert!(stream.block().await.retry.is_some());
            slow.push(stream);
        }
        for number in 0..EVENTS {
            hub.publish(&topic, &text(number)).await;
        }
        let mut joined = String::new();
        let mut pieces = 0;
        while !joined.ends_with(&text(EVENTS - 1)) {
            joined += &within(slow[0].event()).await.data.unwrap();
            pieces += 1;
        }
        assert!(joined == (0..EVENTS).map(text).collect::<String>(), "something else was joined");
        assert!(pieces < EVENTS, "nothing was joined");
        let mut seen = Vec::new();
        while seen.last() != Some(&(EVENTS - 1)) {
            let data = within(slow[1].event()).await.data.unwrap();
            let (number, _) = data.split_once(':').unwrap();
            let number = number.parse().unwrap();
            assert!(data == text(number) && seen.last().is_none_or(|last| *last < number));
            seen.push(number);
        }
        assert!(seen.len() < EVENTS, "nothing was left out");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let hub = Running::start().await;
    for query in ["conflate=newest", "conflate=", "every=soon", "every=61", "every=", "every=-1"] {
        for accept in ["application/json", "text/event-stream", "application/x-ndjson"] {
            let request = Request::get(&format!("/topics/a?{query}")).accept(accept);
            let problem = hub.ask(request).await;
            problem.problem(400, "invalid-query");
        }
    }
}

#[tokio::test]
async fn subscriptions_of_a_socket_fold_as_streams_do() {
    let hub = Running::start().await;
    for text in ["one ", "two ", "three"] {
        hub.publish("a", text).await;
    }
    let mut socket = hub.socket("/topics/a?since=earliest&conflate=append").await;
    socket.subscribed("").await;
    assert_eq!(socket.news().await["data"], "one two three");
    socket
        .send(json!({"subscribe": "x", "topics": ["a"], "since": "earliest", "conflate": "latest", "every": "2"}))
        .await;
    socket.subscribed("x").await;
    let news = socket.news().await;
    assert_eq!((&news["data"], &news["sub"]), (&json!("three"), &json!("x")));
    socket.send(json!({"subscribe": "y", "topics": ["a"], "conflate": "newest", "ref": 1})).await;
    let refused = socket.news().await;
    assert_eq!((&refused["problem"]["status"], &refused["ref"]), (&json!(400), &json!(1)));
}
