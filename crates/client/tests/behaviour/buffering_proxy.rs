//! Something on the way holds answers back until they are complete: events come all the same.

use std::net::SocketAddr;
use std::time::Duration;

use tidings_client::{Interruption, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{
    Request, Script, TestHub, begin_stream, client, hold, next_interruption, next_open, next_texts, page,
};

/// Passes a request on to the hub, and its answer back once it is whole.
async fn pass_whole(hub: SocketAddr, head: &str, mut socket: TcpStream) {
    let mut upstream = TcpStream::connect(hub).await.unwrap();
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    upstream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    tokio::select! {
        read = upstream.read_to_end(&mut answer) => drop(read),
        // The client does not pipeline: it can only have gone.
        _ = socket.read(&mut byte) => return,
    }
    drop(socket.write_all(&answer).await);
}

#[tokio::test]
async fn streams_are_replaced_by_long_polls() {
    let hub = TestHub::start().await;
    let address = hub.address;
    let mut proxy =
        Script::start(move |request, socket| async move { pass_whole(address, &request.head, socket).await })
            .await;
    let direct = client(&hub.url());
    direct.publish("a", "0").await.unwrap();
    let subscribe = client(&proxy.url).subscribe(["a"]).first_byte(Duration::from_millis(300));
    let mut subscription = subscribe.stream_again(Duration::from_secs(1)).open().unwrap();

    let (reason, after) = next_interruption(&mut subscription).await;
    assert!(matches!(reason, Interruption::Stalled { .. }) && after.is_zero(), "{reason}");
    assert_eq!(next_open(&mut subscription).await, Transport::LongPoll);
    for text in ["1", "2", "3"] {
        direct.publish("a", text).await.unwrap();
        assert_eq!(next_texts(&mut subscription, 1).await, [text]);
    }

    // After a while, a stream is tried again, and given up again. Nothing is lost on the way.
    assert!(proxy.request().await.wants_stream());
    let mut tried_again = false;
    let mut number = 4;
    while !tried_again {
        direct.publish("a", number.to_string()).await.unwrap();
        assert_eq!(next_texts(&mut subscription, 1).await, [number.to_string()]);
        number += 1;
        tried_again = proxy.requests_so_far().iter().any(Request::wants_stream);
    }
    direct.publish("a", "last").await.unwrap();
    assert_eq!(next_texts(&mut subscription, 1).await, ["last"]);
}

#[tokio::test]
async fn long_polls_that_do_not_get_through_are_replaced_by_short_ones() {
    let server = Script::start(|request, mut socket| async move {
        if request.wants_stream() {
            hold(socket).await;
        } else if request.parameter("wait").is_some() {
            // Cut off, as by a proxy that takes a held request for a dead one.
        } else {
            let number = request.number as u64;
            page(&mut socket, &[number], number).await;
        }
    })
    .await;
    let subscribe = client(&server.url).subscribe(["a"]).first_byte(Duration::from_millis(200));
    let mut subscription = subscribe.interval(Duration::from_millis(10)).open().unwrap();
    assert_eq!(next_open(&mut subscription).await, Transport::LongPoll);
    assert_eq!(next_open(&mut subscription).await, Transport::Poll);
    next_texts(&mut subscription, 3).await;
}

#[tokio::test]
async fn a_hub_that_answers_nothing_is_not_taken_for_a_proxy() {
    let server = Script::start(|request, mut socket| async move {
        match request.number {
            0 => hold(socket).await,
            1 => {}
            _ => {
                begin_stream(&mut socket, "id: q7m2x9-1\n\n").await;
                hold(socket).await;
            }
        }
    })
    .await;
    let subscribe = client(&server.url).subscribe(["a"]).first_byte(Duration::from_millis(200));
    assert_eq!(next_open(&mut subscribe.open().unwrap()).await, Transport::Sse);
}
