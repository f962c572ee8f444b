//! Streams that share a connection of HTTP/2: each gets what it would have got alone, to the byte.

use std::collections::HashMap;

use crate::support::frames::{
    CANCEL, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, WINDOW_UPDATE, frame, get,
};
use crate::support::{H2, Request, Running, Setup, Stream, eventually, within};

const DATA: u8 = 0;
const POST: u8 = 0x83;
const STREAM: [(&str, &str); 1] = [("accept", "text/event-stream")];
/// A client that opens its windows as it reads has these at first.
const WIDE: u32 = 0x7fff_ffff - 65_535;

fn window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

async fn open(frames: &mut Frames, stream: u32, path: &str, fields: &[(&str, &str)]) {
    let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path, fields));
    frames.send(&request).await.unwrap();
}

/// Reads data until each stream has been sent so much, or has ended.
async fn read(
    frames: &mut Frames,
    bodies: &mut HashMap<u32, (Vec<u8>, bool)>,
    until: impl Fn(&HashMap<u32, (Vec<u8>, bool)>) -> bool,
) {
    while !until(bodies) {
        let next = frames.next().await.expect("the connection goes on");
        if next.kind == DATA {
            let (body, ended) = bodies.entry(next.stream).or_default();
            assert!(!*ended);
            body.extend(&next.payload);
            *ended = next.flags & END_STREAM != 0;
        }
        assert_ne!(next.kind, RST_STREAM, "{next:?}");
    }
}

/// All that a stream of HTTP/1.1 says, to the end.
async fn alone(stream: Stream) -> String {
    within(stream.end()).await
}

/// A delay is another for each.
fn without_delays(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with("retry:")).collect()
}

#[tokio::test]
async fn readers_get_what_they_get_over_http_1() {
    // Heartbeats depend on the time.
    let mut setup = Setup::new().heartbeat(std::time::Duration::from_secs(3_600));
    setup.hub.tail_bytes = 64 << 10;
    let mut hub = setup.start().await;
    hub.publish_numbers("b", 0..500).await;
    for number in 0..40 {
        hub.publish(if number % 2 == 0 { "a" } else { "end" }, &format!("{number} {}", "x".repeat(20_000)))
            .await;
    }
    // From the beginning; with a cursor of which nothing is known; with patterns; as lines; what ends by itself.
    let targets = [
        ("/topics/a?since=earliest".to_owned(), "text/event-stream"),
        ("/topics/a?since=00000001-7".to_owned(), "text/event-stream"),
        ("/topics/**?since=earliest".to_owned(), "text/event-stream"),
        ("/topics/a?since=earliest".to_owned(), "application/x-ndjson"),
        ("/topics/end?since=earliest".to_owned(), "text/event-stream"),
        ("/events?topic=a&topic=end&since=earliest".to_owned(), "application/x-ndjson"),
    ];
    let mut streams = Vec::new();
    for (target, accept) in &targets {
        streams.push(hub.open(Request::get(target).accept(accept)).await);
    }
    // One that is read as it comes, and one whose windows are opened a little at a time.
    let mut wide = Frames::connect(hub.address, &[(4, 0x7fff_ffff)]).await;
    wide.send(&window(0, WIDE)).await.unwrap();
    let mut narrow = Frames::narrow(hub.address, &[(4, 0)]).await;
    for (number, (target, accept)) in (0..).zip(&targets) {
        for frames in [&mut wide, &mut narrow] {
            open(frames, 2 * number + 1, target, &[("accept", accept)]).await;
        }
    }
    let count = targets.len() as u64;
    eventually("they are there", async || {
        hub.metric("tidings_subscribers{transport=\"sse\"}").await
            + hub.metric("tidings_subscribers{transport=\"ndjson\"}").await
            == 3 * count
    })
    .await;
    for number in 0..20 {
        hub.publish("a", &format!("live {number}")).await;
        hub.publish("end", &format!("{number} {}", "y".repeat(5_000))).await;
    }
    hub.close_topic("end").await;
    let last = hub.publish("a", "last").await;
    let slow = async {
        let mut bodies = HashMap::new();
        // As many bytes as a stream has had are given room for again, and a few more.
        for number in 0..targets.len() as u32 {
            narrow.send(&window(2 * number + 1, 777)).await.unwrap();
        }
        let is_done = |body: &(Vec<u8>, bool)| body.1 || String::from_utf8_lossy(&body.0).contains(&last);
        while !(bodies.len() == targets.len() && bodies.values().all(is_done)) {
            let next = narrow.next().await.expect("the connection goes on");
            if next.kind != DATA {
                continue;
            }
            let body: &mut (Vec<u8>, bool) = bodies.entry(next.stream).or_default();
            body.0.extend(&next.payload);
            body.1 = next.flags & END_STREAM != 0;
            let more = u32::try_from(next.payload.len()).unwrap() + 7;
            if !next.payload.is_empty() {
                narrow.send(&[window(next.stream, more), window(0, more)].concat()).await.unwrap();
            }
        }
        bodies
    };
    let mut slow = within_long(slow).await;
    let mut fast = HashMap::new();
    read(&mut wide, &mut fast, |bodies| {
        bodies.len() == targets.len()
            && bodies.values().all(|body| body.1 || String::from_utf8_lossy(&body.0).contains(&last))
    })
    .await;
    hub.shut_down();
    for (frames, bodies) in [(&mut wide, &mut fast), (&mut narrow, &mut slow)] {
        let all = targets.len();
        read(frames, bodies, |bodies| bodies.values().filter(|body| body.1).count() == all).await;
    }
    for (number, stream) in (0..).zip(streams) {
        let expected = without_delays(&alone(stream).await);
        assert!(expected.contains("19 yyy") || expected.contains("live 19"), "{expected}");
        for bodies in [&fast, &slow] {
            let body = String::from_utf8(bodies[&(2 * number + 1)].0.clone()).unwrap();
            let body = without_delays(&body);
            let same = body.bytes().zip(expected.bytes()).take_while(|(one, other)| one == other).count();
            let around = |text: &str| {
                let bytes = &text.as_bytes()[same.saturating_sub(50)..(same + 80).min(text.len())];
                String::from_utf8_lossy(bytes).into_owned()
            };
            let shown = (around(&body), around(&expected));
            assert!(body == expected, "{}: after {same} bytes {shown:?}", targets[number as usize].0);
        }
    }
}

/// More than other tests have, as this one reads a megabyte in small pieces.
async fn within_long<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(120), future).await.expect("it comes in time")
}

#[tokio::test]
async fn a_publication_to_many_streams_of_a_connection_is_one_write() {
    const COUNT: u32 = 100;
    let hub = Running::start().await;
    let mut frames = Frames::connect(hub.address, &[]).await;
    for number in 0..COUNT {
        open(&mut frames, 2 * number + 1, &format!("/topics/{}", ["a", "*"][number as usize % 2]), &STREAM)
            .await;
    }
    hub.waiting("a", COUNT as usize).await;
    let mut bodies = HashMap::new();
    read(&mut frames, &mut bodies, |bodies| bodies.len() == COUNT as usize).await;
    let before = hub.metric("tidings_http2_writes_total").await;
    for number in 1..=3 {
        let text = format!("event {number}");
        hub.publish("a", &text).await;
        let has = |body: &(Vec<u8>, bool)| String::from_utf8_lossy(&body.0).contains(&text);
        read(&mut frames, &mut bodies, |bodies| bodies.values().all(has)).await;
        assert_eq!(hub.metric("tidings_http2_writes_total").await, before + number);
    }
}

#[tokio::test]
async fn streams_go_on_beside_a_large_upload() {
    let hub = Running::start().await;
    let mut frames = Frames::connect(hub.address, &[]).await;
    open(&mut frames, 1, "/topics/a", &STREAM).await;
    hub.waiting("a", 1).await;
    let mut post = get("/topics/b", &[]);
    post[0] = POST;
    frames.send(&frame(HEADERS, END_HEADERS, 3, &post)).await.unwrap();
    let mut bodies = HashMap::new();
    const PIECES: usize = 60;
    for number in 0..PIECES {
        frames.send(&frame(DATA, 0, 3, &[b'x'; 16_384])).await.unwrap();
        let text = format!("event {number}.");
        hub.publish("a", &text).await;
        let has = |body: &(Vec<u8>, bool)| String::from_utf8_lossy(&body.0).contains(&text);
        read(&mut frames, &mut bodies, |bodies| bodies.get(&1).is_some_and(has)).await;
    }
    frames.send(&frame(DATA, END_STREAM, 3, b"")).await.unwrap();
    read(&mut frames, &mut bodies, |bodies| bodies.get(&3).is_some_and(|body| body.1)).await;
    assert!(String::from_utf8_lossy(&bodies[&3].0).contains("\"id\""));
    assert_eq!(hub.read("/topics/b").await, ["x".repeat(PIECES * 16_384)]);
    assert!(!bodies[&1].1);
}

#[tokio::test]
async fn streams_that_are_reset_with_much_to_send_leave_nothing_behind() {
    const COUNT: u32 = 50;
    let hub = Running::start().await;
    let mut frames = Frames::narrow(hub.address, &[(4, 0x7fff_ffff)]).await;
    frames.send(&window(0, WIDE)).await.unwrap();
    for number in 0..COUNT {
        let target = ["/topics/a?since=earliest", "/topics/a"][number as usize % 2];
        open(&mut frames, 2 * number + 1, target, &STREAM).await;
    }
    hub.waiting("a", COUNT as usize).await;
    // Nothing of it is read.
    for number in 0..20 {
        hub.publish("a", &format!("{number} {}", "x".repeat(200_000))).await;
    }
    for number in 0..COUNT {
        frames.send(&frame(RST_STREAM, 0, 2 * number + 1, &CANCEL.to_be_bytes())).await.unwrap();
    }
    // Only when something is read, room is made in which more of what came is read.
    open(&mut frames, 2 * COUNT + 1, "/topics/b", &STREAM).await;
    let mut bodies = HashMap::new();
    read(&mut frames, &mut bodies, |bodies| bodies.contains_key(&(2 * COUNT + 1))).await;
    hub.readers("sse", 1).await;
    hub.waiting("a", 0).await;
    hub.publish("b", "still there").await;
    read(&mut frames, &mut bodies, |bodies| {
        String::from_utf8_lossy(&bodies[&(2 * COUNT + 1)].0).contains("still there")
    })
    .await;
    drop(frames);
    hub.readers("sse", 0).await;
    eventually("it is gone", async || hub.metric("tidings_connections").await == 1).await;
}

#[tokio::test]
async fn a_connection_that_is_lost_takes_all_of_its_streams_with_it() {
    let hub = Running::start().await;
    for frames in [vec![0; 9], frame(99, 0, 0, &[0; 20_000]), frame(DATA, 0, 1, b"x").repeat(2)] {
        let mut connection = Frames::connect(hub.address, &[]).await;
        for (number, path) in (0..).zip(["/topics/a", "/topics/*", "/topics/a?wait=60"]) {
            let fields = if number < 2 { &STREAM[..] } else { &[] };
            open(&mut connection, 2 * number + 1, path, fields).await;
        }
        hub.waiting("a", 3).await;
        // Some of these are no frames, and some are on streams that the client has ended.
        drop(connection.send(&frames).await);
        if frames[3] != 0 || frames.len() == 9 {
            while connection.next().await.is_some() {}
        } else {
            let reset = connection.until(RST_STREAM).await.unwrap();
            assert_eq!(reset.stream, 1);
            drop(connection);
        }
        hub.waiting("a", 0).await;
        hub.readers("sse", 0).await;
        hub.readers("long-poll", 0).await;
        eventually("it is gone", async || hub.metric("tidings_connections").await == 1).await;
    }
}

#[tokio::test]
async fn a_held_poll_is_answered_as_over_http_1() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    let target = format!("/topics/a?wait=60&since={}", hub.cursor(0));
    let alone = tokio::spawn(hub.get(&target));
    let held = h2.send("GET", &target, &[], "");
    let publish = async {
        hub.waiting("a", 2).await;
        hub.publish("a", "x").await;
    };
    let (response, ()) = tokio::join!(held, publish);
    let expected = within(alone).await.unwrap();
    for name in ["content-type", "cache-control", "etag", "content-length", "vary", "x-content-type-options"]
    {
        let value = response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(value, expected.header(name), "{name}");
    }
    assert!(!response.headers().contains_key("connection"));
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, expected.body);
    let late = h2.ask("GET", "/topics/a?since=latest&wait=50ms", &[], "").await;
    assert_eq!(late.0, 200);
}

#[tokio::test]
async fn a_path_has_no_fragment() {
    let hub = Running::start().await;
    let mut frames = Frames::connect(hub.address, &[]).await;
    for (stream, path) in [(1, "/topics/a#b"), (3, "/topics/a?since=latest#"), (5, "/healthz#")] {
        open(&mut frames, stream, path, &[]).await;
        let head = frames.until(HEADERS).await.unwrap();
        // The entry of HPACK's table for 400.
        assert_eq!((head.stream, head.payload[0] & 0x7f), (stream, 12), "{path}");
        let body = frames.until(DATA).await.unwrap();
        assert!(String::from_utf8_lossy(&body.payload).contains("%23"), "{path}");
    }
}

/// A poll that was answered over HTTP/2 is gone at once, and so may be the last of those that asked for the same. What the
/// hub kept for others who do must not be given to whoever asks for something else next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_of_many_topics_at_once_get_no_page_of_another() {
    const TOPICS: usize = 3;
    const EVENTS: usize = 4_000;
    let hub = Setup::new().start().await;
    let start = hub.publish("start", "x").await;
    let readers: Vec<_> = (0..12)
        .map(|reader| {
            let (address, topic, mut cursor) = (hub.address, reader % TOPICS, start.clone());
            tokio::spawn(async move {
                let mut connection = H2::connect(address).await;
                let mut seen = topic;
                while seen < EVENTS {
                    let target = format!("/topics/t{topic}?wait=5s&since={cursor}");
                    let (status, body) = connection.ask("GET", &target, &[], "").await;
                    assert_eq!(status, 200, "{body}");
                    let page: serde_json::Value = serde_json::from_str(&body).unwrap();
                    for event in page["events"].as_array().unwrap() {
                        assert_eq!(event["topic"], format!("t{topic}"), "{target}: {page}");
                        assert_eq!(event["data"], seen.to_string(), "{target}: {page}");
                        seen += TOPICS;
                    }
                    page["next"].as_str().unwrap().clone_into(&mut cursor);
                }
            })
        })
        .collect();
    for number in 0..EVENTS {
        hub.publish(&format!("t{}", number % TOPICS), &number.to_string()).await;
    }
    for reader in readers {
        within(reader).await.unwrap();
    }
}
