//! HTTP/2 connections that make work for nothing. What they may cost is bounded, and others are served meanwhile.

use crate::support::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY, HEADERS, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, frame, get,
};
use crate::support::{H2, Running};

/// Somebody else is served.
async fn serves_others(hub: &Running) {
    let mut h2 = H2::connect(hub.address).await;
    assert_eq!(h2.ask("POST", "/topics/other", &[], "x").await.0, 201);
}

/// The connection ends, and the client is told why.
async fn is_calmed(mut flood: Frames) {
    let end = flood.until(GOAWAY).await.expect("it is told before the connection ends");
    assert_eq!(end.code(), ENHANCE_YOUR_CALM);
    while flood.next().await.is_some() {}
}

#[tokio::test]
async fn requests_that_are_reset_at_once() {
    let hub = Running::start().await;
    let mut flood = Frames::connect(hub.address, &[]).await;
    let block = get("/topics/a?wait=60", &[]);
    for batch in 0..100 {
        let mut bytes = Vec::new();
        for number in 0..100 {
            let stream = 2 * (batch * 100 + number) + 1;
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        if flood.send(&bytes).await.is_err() {
            break;
        }
    }
    is_calmed(flood).await;
    serves_others(&hub).await;
    hub.readers("long-poll", 0).await;
}

#[tokio::test]
async fn requests_that_have_to_be_reset() {
    let hub = Running::start().await;
    let mut flood = Frames::connect(hub.address, &[]).await;
    // A request that is none, again and again: each is the client's mistake, which the hub resets.
    let block = [&get("/topics/a", &[])[..], &[0, 1, b'A', 1, b'x']].concat();
    for batch in 0..200 {
        let mut bytes = Vec::new();
        for number in 0..100 {
            let stream = 2 * (batch * 100 + number) + 1;
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        }
        if flood.send(&bytes).await.is_err() {
            break;
        }
    }
    assert!(flood.until(GOAWAY).await.is_some());
    serves_others(&hub).await;
}

#[tokio::test]
async fn a_head_that_never_ends() {
    let hub = Running::start().await;
    let mut flood = Frames::connect(hub.address, &[]).await;
    flood.send(&frame(HEADERS, END_STREAM, 1, &get("/healthz", &[]))).await.unwrap();
    let more = frame(CONTINUATION, 0, 1, &get("/healthz", &[("x", &"y".repeat(10_000))])[7..]);
    for _ in 0..1_000 {
        if flood.send(&more).await.is_err() {
            break;
        }
    }
    assert!(flood.until(GOAWAY).await.is_some());
    serves_others(&hub).await;
}

#[tokio::test]
async fn empty_pieces_of_a_head() {
    let hub = Running::start().await;
    let mut flood = Frames::connect(hub.address, &[]).await;
    flood.send(&frame(HEADERS, END_STREAM, 1, &get("/healthz", &[]))).await.unwrap();
    let many = frame(CONTINUATION, 0, 1, &[]).repeat(1_000);
    for _ in 0..100 {
        if flood.send(&many).await.is_err() {
            break;
        }
    }
    assert!(flood.until(GOAWAY).await.is_some());
    serves_others(&hub).await;
}

#[tokio::test]
async fn a_head_that_is_small_on_the_wire_and_large_in_memory() {
    let hub = Running::start().await;
    let mut flood = Frames::connect(hub.address, &[]).await;
    // A field of 4,000 bytes that goes into the table, and is then named by one byte, 10,000 times.
    let mut block = get("/healthz", &[]);
    block.extend([0x40, 1, b'x', 127, 0xa1, 0x1e]);
    block.extend(vec![b'y'; 4_000]);
    block.extend(vec![0xbe; 10_000]);
    flood.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await.unwrap();
    is_calmed(flood).await;
    serves_others(&hub).await;
}

/// What has to be acknowledged, from a client that takes no acknowledgement: they may not pile up.
async fn are_not_kept(bytes: &[u8]) {
    let hub = Running::start().await;
    let before = resident();
    let mut flood = Frames::connect(hub.address, &[]).await;
    let mut sent = 0;
    // Either it is cut off, or it is not read on. The kernel's buffers take some.
    while sent < 256 << 20 {
        let sending = tokio::time::timeout(std::time::Duration::from_millis(500), flood.send(bytes)).await;
        match sending {
            Ok(Ok(())) => sent += bytes.len(),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    serves_others(&hub).await;
    let grown = resident().saturating_sub(before);
    // Other tests have memory of this process too.
    assert!(grown < 128 << 20, "{sent} bytes of frames took {grown} bytes of memory");
}

#[tokio::test]
async fn settings_again_and_again() {
    are_not_kept(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]).repeat(1_000)).await;
}

#[tokio::test]
async fn pings_again_and_again() {
    are_not_kept(&frame(PING, 0, 0, &[7; 8]).repeat(1_000)).await;
}

#[tokio::test]
async fn windows_that_are_opened_wide() {
    let hub = Running::start().await;
    let mut flood = Frames::connect(hub.address, &[]).await;
    for _ in 0..3 {
        drop(flood.send(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())).await);
    }
    assert!(flood.until(GOAWAY).await.is_some());
    serves_others(&hub).await;
}

#[tokio::test]
async fn a_prelude_and_nonsense() {
    let hub = Running::start().await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[255; 100], &frame(99, 255, 7, &[1; 50])] {
        let mut flood = Frames::connect(hub.address, &[]).await;
        drop(flood.send(bytes).await);
        drop(flood.send(&frame(HEADERS, END_HEADERS, 2, &[0xff; 20])).await);
        while flood.next().await.is_some() {}
    }
    serves_others(&hub).await;
}

/// The memory of this process, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}
