//! A hub that advises a client which polls to take a stream.

use std::time::Duration;

use tidings_client::Transport;

use crate::support::{Request, Script, begin_stream, client, event, hold, next_open, next_texts, reply};

/// A page with one event and a word to its reader.
async fn page_with_advice(socket: &mut tokio::net::TcpStream, sequence: u64, advice: &str) {
    let body = format!(
        r#"{{"events":[{}],"next":"q7m2x9-{sequence}","more":false,"advice":{advice}}}"#,
        event(sequence)
    );
    reply(socket, "200 OK\ncontent-type: application/json", &body).await;
}

/// A server whose first streams come to nothing, and that gives this advice to everyone who polls.
async fn server(advice: &'static str, failing: usize) -> Script {
    Script::start(move |request, mut socket| async move {
        let number = request.number as u64;
        if !request.wants_stream() {
            page_with_advice(&mut socket, number, advice).await;
        } else if request.number < failing {
            hold(socket).await;
        } else {
            begin_stream(&mut socket, &format!("id: q7m2x9-{number}\n\n")).await;
            hold(socket).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_client_that_may_choose_follows_it_at_once() {
    let mut server = server(r#"{"transport":"stream","detail":"9 events came"}"#, 1).await;
    let subscribe = client(&server.url).subscribe(["a"]).first_byte(Duration::from_millis(200));
    let mut subscription = subscribe.stream_again(Duration::from_secs(3_600)).open().unwrap();
    assert_eq!(next_open(&mut subscription).await, Transport::LongPoll);
    assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);
    assert_eq!(next_open(&mut subscription).await, Transport::Sse);
    let asked: Vec<_> = server.requests_so_far().iter().map(Request::wants_stream).collect();
    assert_eq!(asked, [true, false, true]);
}

#[tokio::test]
async fn a_stream_that_fails_again_is_not_tried_for_each_word() {
    let mut server = server(r#"{"transport":"stream","detail":"9 events came"}"#, usize::MAX).await;
    let subscribe = client(&server.url).subscribe(["a"]).first_byte(Duration::from_millis(200));
    let mut subscription = subscribe.stream_again(Duration::from_secs(3_600)).open().unwrap();
    next_texts(&mut subscription, 10).await;
    let streams = server.requests_so_far().iter().filter(|request| request.wants_stream()).count();
    assert_eq!(streams, 2);
}

#[tokio::test]
async fn what_is_not_understood_is_passed_over() {
    for advice in [r#"{"transport":"pigeon"}"#, "null", r#""stream""#] {
        let mut server = server(advice, usize::MAX).await;
        let subscribe = client(&server.url).subscribe(["a"]).first_byte(Duration::from_millis(200));
        let mut subscription = subscribe.stream_again(Duration::from_secs(3_600)).open().unwrap();
        next_texts(&mut subscription, 5).await;
        let streams = server.requests_so_far().iter().filter(|request| request.wants_stream()).count();
        assert_eq!(streams, 1, "{advice}");
    }
}

#[tokio::test]
async fn a_transport_that_was_asked_for_is_kept() {
    let mut server = server(r#"{"transport":"stream","detail":"9 events came"}"#, 0).await;
    let subscribe = client(&server.url).subscribe(["a"]).transport(Transport::Poll);
    let mut subscription = subscribe.interval(Duration::from_millis(5)).open().unwrap();
    next_texts(&mut subscription, 5).await;
    assert!(!server.requests_so_far().iter().any(Request::wants_stream));
}
