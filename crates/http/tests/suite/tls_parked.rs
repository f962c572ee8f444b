//! TLS connections that wait: nobody can tell them from those in clear.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use tidings_http::Cleartext;
use tidings_protocol::Page;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::support::{Authority, Request, Running, Setup, Stream, Wire, texts, within};

async fn start(authority: &Authority) -> Running {
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Loopback));
    setup.start().await
}

async fn stream(authority: &Authority, hub: &Running, path: &str) -> Stream {
    let mut wire = authority.http1(hub.address).await;
    wire.send(Request::stream(path).bytes()).await;
    let mut stream = Stream::new(wire).await;
    assert!(stream.block().await.retry.is_some());
    stream
}

/// `openssl s_client`, as a client that speaks HTTP by hand.
struct Openssl {
    process: Child,
    output: BufReader<ChildStdout>,
    remarks: BufReader<ChildStderr>,
}

impl Openssl {
    fn connect(hub: &Running, options: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &hub.address.to_string(), "-servername", "hub"]).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("openssl is needed for this test");
        let output = BufReader::new(process.stdout.take().unwrap());
        let remarks = BufReader::new(process.stderr.take().unwrap());
        Self { process, output, remarks }
    }

    async fn send(&mut self, text: &str) {
        let input = self.process.stdin.as_mut().unwrap();
        within(input.write_all(text.as_bytes())).await.unwrap();
        within(input.flush()).await.unwrap();
    }

    async fn reads(&mut self, line: &str) {
        until(&mut self.output, line).await;
    }

    async fn remarks(&mut self, line: &str) {
        until(&mut self.remarks, line).await;
    }
}

/// Reads lines until one is this.
async fn until(output: &mut (impl AsyncBufRead + Unpin), line: &str) {
    let mut so_far = String::new();
    loop {
        let before = so_far.len();
        let count = within(output.read_line(&mut so_far)).await.unwrap();
        assert_ne!(count, 0, "no {line:?} in {so_far}");
        if so_far[before..].trim_end() == line {
            return;
        }
    }
}

const SUITES: [&[&str]; 6] = [
    &["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
    &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"],
    &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
    &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
    &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
    &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_suite_is_spoken_by_what_waits() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    for (number, suite) in SUITES.iter().enumerate() {
        let mut client = Openssl::connect(&hub, suite);
        client
            .send(&format!(
                "GET /topics/s{number} HTTP/1.1\r\nHost: hub\r\nAccept: text/event-stream\r\n\r\n"
            ))
            .await;
        hub.waiting(&format!("s{number}"), 1).await;
        for event in ["one", "two"] {
            hub.publish(&format!("s{number}"), event).await;
            client.reads(&format!("data: {event}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_waits_follows_its_client_to_new_keys() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    for (number, suite) in SUITES[..3].iter().enumerate() {
        let mut client = Openssl::connect(&hub, &[suite, &["-msg"][..]].concat());
        let topic = format!("s{number}");
        client
            .send(&format!("GET /topics/{topic} HTTP/1.1\r\nHost: hub\r\nAccept: text/event-stream\r\n\r\n"))
            .await;
        hub.waiting(&topic, 1).await;
        hub.publish(&topic, "before").await;
        client.reads("data: before").await;
        // With an answer, and without.
        for (number, command) in ["K\n", "k\n", "K\n", "K\n"].into_iter().enumerate() {
            client.send(command).await;
            client.remarks("KEYUPDATE").await;
            if command == "K\n" {
                client.reads("<<< TLS 1.3, Handshake [length 0005], KeyUpdate").await;
            }
            hub.publish(&topic, &format!("after {number}")).await;
            client.reads(&format!("data: after {number}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_is_asked_again_stays_where_it_waits() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    let mut wire = authority.http1(hub.address).await;
    let mut next = hub.cursor(hub.hub.latest());
    for number in 0..20 {
        wire.send(Request::get(&format!("/topics/a?wait=60&since={next}")).bytes()).await;
        hub.waiting("a", 1).await;
        hub.publish("a", &number.to_string()).await;
        let page: Page = wire.answer(false).await.page();
        assert_eq!(texts(&page), [number.to_string()]);
        next = page.next.clone();
        hub.waiting("a", 0).await;
    }
    assert_eq!(hub.metric("tidings_repeated_polls_total").await, 19);
    // Another request is one like any other, and the connection is of use for it.
    assert_eq!(wire.ask(&Request::get("/healthz")).await.text(), "ok\n");
    let id = wire.ask(&Request::post("/topics/a", "last")).await.id();
    assert!(!id.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_sent_ahead_of_an_answer_are_all_answered() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    let mut wire = authority.http1(hub.address).await;
    let next = hub.cursor(hub.hub.latest());
    wire.send(Request::get(&format!("/topics/a?wait=60&since={next}")).bytes()).await;
    hub.waiting("a", 1).await;
    wire.send(Request::get("/healthz").bytes()).await;
    wire.send(Request::get("/topics/b").bytes()).await;
    hub.publish("a", "x").await;
    assert_eq!(texts(&wire.answer(false).await.page()), ["x"]);
    assert_eq!(wire.answer(false).await.text(), "ok\n");
    assert_eq!(wire.answer(false).await.page().events.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_that_it_ends_is_let_go_at_once() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    // With close_notify, whose socket stays open; with close_notify and the end of the socket; and with that alone.
    for way in 0..3 {
        let mut open = authority.connect(hub.address, "http/1.1").await;
        within(open.write_all(&Request::stream("/topics/a").bytes())).await.unwrap();
        hub.waiting("a", 1).await;
        match way {
            0 => {
                let (socket, session) = open.get_mut();
                session.send_close_notify();
                let mut last = Vec::new();
                while session.wants_write() {
                    session.write_tls(&mut last).unwrap();
                }
                within(socket.write_all(&last)).await.unwrap();
                hub.waiting("a", 0).await;
            }
            1 => {
                within(open.shutdown()).await.unwrap();
                hub.waiting("a", 0).await;
            }
            _ => {
                drop(open);
                hub.waiting("a", 0).await;
            }
        }
    }
}

/// The kernel has nothing to tell of an end that was read with the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_with_its_request_that_it_ends_is_let_go_too() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    for request in [Request::stream("/topics/a"), Request::get("/topics/a?wait=600")] {
        let mut open = authority.connect(hub.address, "http/1.1").await;
        let (socket, session) = open.get_mut();
        session.writer().write_all(&request.bytes()).unwrap();
        session.send_close_notify();
        let mut said = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut said).unwrap();
        }
        within(socket.write_all(&said)).await.unwrap();
        // Its socket stays open on this side.
        within(socket.read_to_end(&mut Vec::new())).await.unwrap();
        hub.waiting("a", 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_not_the_clients_ends_its_connection_alone() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    let mut other = stream(&authority, &hub, "/topics/a").await;
    let forged: [&[u8]; 5] = [
        // It does not authenticate; of a type that is none; too long; not allowed any more; and plain.
        &[&[23, 3, 3, 0, 40][..], &[7; 40]].concat(),
        &[99, 3, 3, 0, 1, 1],
        &[23, 3, 3, 0xff, 0xff],
        &[20, 3, 3, 0, 1, 1],
        &[21, 3, 3, 0, 2, 2, 40],
    ];
    for bytes in forged {
        let mut open = authority.connect(hub.address, "http/1.1").await;
        within(open.write_all(&Request::stream("/topics/a").bytes())).await.unwrap();
        hub.waiting("a", 2).await;
        within(open.get_mut().0.write_all(bytes)).await.unwrap();
        let mut rest = Vec::new();
        let ended = within(open.read_to_end(&mut rest)).await;
        // The client is told why.
        let error = ended.unwrap_err().to_string();
        assert!(error.contains("received fatal alert"), "{error}");
        hub.waiting("a", 1).await;
        hub.publish("a", "x").await;
        assert_eq!(other.event().await.data.unwrap(), "x");
    }
    // Half a record is waited for, and goes with its client.
    let mut open = authority.connect(hub.address, "http/1.1").await;
    within(open.write_all(&Request::stream("/topics/a").bytes())).await.unwrap();
    hub.waiting("a", 2).await;
    within(open.get_mut().0.write_all(&[23, 3, 3, 0x40, 0, 1, 2, 3])).await.unwrap();
    hub.publish("a", "y").await;
    let mut answer = vec![0; 1 << 10];
    assert_ne!(within(open.read(&mut answer)).await.unwrap(), 0);
    drop(open);
    hub.waiting("a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sends_on_its_stream_is_left_with_the_kernel_but_for_a_little() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    let open = authority.connect(hub.address, "http/1.1").await;
    let (reads, mut writes) = tokio::io::split(open);
    within(writes.write_all(&Request::stream("/topics/a").bytes())).await.unwrap();
    hub.waiting("a", 1).await;
    // More than any kernel takes that nobody reads.
    let sending = tokio::spawn(async move { writes.write_all(&vec![b'x'; 256 << 20]).await.is_ok() });
    let mut reads = BufReader::new(reads);
    for number in 0..50 {
        hub.publish("a", &number.to_string()).await;
        until(&mut reads, &format!("data: {number}")).await;
    }
    assert!(!sending.is_finished());
    sending.abort();
    drop(reads);
    assert!(sending.await.is_err());
    hub.waiting("a", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_in_clear_and_encrypted_get_the_same_bytes() {
    let authority = Authority::new();
    let mut setup = Setup::new();
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Loopback));
    setup.hub.tail_bytes = 1 << 20;
    setup.http.heartbeat = Duration::from_secs(3_600);
    let hub = setup.start().await;
    let path = format!("/topics/a?since={}", hub.cursor(0));
    let mut readers = Vec::new();
    for request in [Request::stream(&path), Request::lines(&path)] {
        for number in 0..6 {
            let mut wire = match number % 3 {
                0 => Wire::narrow(hub.address).await,
                1 => authority.http1(hub.address).await,
                _ => authority.narrow_http1(hub.address).await,
            };
            wire.send(request.bytes()).await;
            readers.push(wire);
        }
    }
    hub.waiting("a", 12).await;
    // So much that none of their sockets takes all of it, in pieces that end at no record's end.
    for number in 0..400 {
        hub.publish("a", &format!("{number} {}", "x".repeat(number * 97 % 30_000))).await;
    }
    hub.publish("a", "the end").await;
    let mut bodies = Vec::new();
    let mut open = Vec::new();
    for (number, wire) in readers.into_iter().enumerate() {
        let mut stream = Stream::new(wire).await;
        let mut body = String::new();
        let mut has_end = number >= 6;
        // All of it comes, also where nothing follows that would push it on.
        while !has_end {
            let text = stream.text().await;
            has_end = text.contains("data: the end");
            body += &text;
        }
        bodies.push(body);
        open.push(stream);
    }
    hub.close_topic("a").await;
    for (body, stream) in bodies.iter_mut().zip(open) {
        *body += &stream.end().await;
    }
    let (streams, lines) = bodies.split_at(6);
    for same in [streams, lines] {
        assert!(same[0].contains("the end") && same[0].contains("399 "));
        assert!(same.iter().all(|body| *body == same[0]), "they got different bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_a_stream_and_polls() {
    let authority = Authority::new();
    let hub = start(&authority).await;
    let curl = |topic: &str, more: &[&str]| {
        let url = format!("https://127.0.0.1:{}/topics/{topic}", hub.address.port());
        let mut command = Command::new("curl");
        command.args(["-sSNk", "--http1.1", "--max-time", "60"]);
        command.args(more).arg(&url).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("curl is needed for this test")
    };
    for (number, version) in ["--tlsv1.3", "--tls-max"].into_iter().enumerate() {
        let topic = format!("c{number}");
        let mut more = vec![version];
        if version == "--tls-max" {
            more.push("1.2");
        }
        more.extend(["-H", "Accept: text/event-stream"]);
        let client = curl(&topic, &more);
        hub.waiting(&topic, 1).await;
        hub.publish(&topic, "one").await;
        hub.publish(&topic, "two").await;
        hub.close_topic(&topic).await;
        let output = within(client.wait_with_output()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("data: one") && text.contains("data: two"), "{text}");
        hub.waiting(&topic, 0).await;
    }
}
