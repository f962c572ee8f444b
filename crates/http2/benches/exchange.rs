//! What the state machine costs: events given to streams that wait, requests taken, heads written.
#![allow(missing_docs, reason = "macros")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, StatusCode};
use tidings_http2::{Connection, ErrorCode, Event, PREFACE, Settings, StreamId};

const EVENT: &[u8] = b"id: 0123456789abcdef-1234567890\ndata: {\"message\":\"one hundred bytes are what an event has here, about\"}\n\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., high, low] = payload.len().to_be_bytes();
    [&[0, high, low, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A request as a browser makes it: without Huffman codes and tables, which clients of either kind use.
fn request(stream: StreamId) -> Vec<u8> {
    let mut block = b"\x82\x87\x04\x09/topics/a\x01\x0bhub.example".to_vec();
    for (name, value) in [
        ("accept", "text/event-stream"),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
        ("cache-control", "no-cache"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-mode", "cors"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140"),
    ] {
        for text in [name, value] {
            if text == name {
                block.push(0);
            }
            block.push(u8::try_from(text.len()).unwrap_or(0));
            block.extend(text.as_bytes());
        }
    }
    frame(1, 5, stream, &block)
}

fn connection() -> Connection {
    let mut connection = Connection::new(Arc::new(Settings::default()), &mut Vec::new());
    // Its client has wide windows.
    let settings = frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let window = frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    let hello = [&PREFACE[..], &settings, &frame(4, 1, 0, &[]), &window].concat();
    receive(&mut connection, &hello);
    connection
}

fn receive(connection: &mut Connection, mut input: &[u8]) -> Option<StreamId> {
    let mut asked = None;
    while let Ok(Some(event)) = connection.receive(&mut input, 0, &mut Vec::new()) {
        if let Event::Request { stream, .. } = black_box(event) {
            asked = Some(stream);
        }
    }
    asked
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache, no-transform"),
        ("vary", "accept"),
        ("x-content-type-options", "nosniff"),
        ("date", "Mon, 30 Nov 2026 20:00:00 GMT"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn deliveries(c: &mut Criterion) {
    let mut group = c.benchmark_group("deliver");
    for streams in [1, 100] {
        let mut connection = connection();
        for number in 0..streams {
            receive(&mut connection, &request(2 * number + 1));
            connection
                .respond(2 * number + 1, StatusCode::OK, &headers(), false, &mut Vec::new())
                .unwrap_or(());
        }
        let mut out = Vec::with_capacity(64 << 10);
        group.throughput(Throughput::Elements(streams.into()));
        group.bench_function(format!("an event to {streams} streams"), |bencher| {
            bencher.iter(|| {
                out.clear();
                for number in 0..streams {
                    let stream = 2 * number + 1;
                    if connection.send(stream, black_box(EVENT), false, &mut out).is_ok_and(|sent| sent > 0) {
                        continue;
                    }
                    // Its windows are used up after some million events.
                    for stream in [0, stream] {
                        receive(&mut connection, &frame(8, 0, stream, &0x3fff_ffff_u32.to_be_bytes()));
                    }
                }
                out.len()
            });
        });
    }
    group.finish();
}

fn requests(c: &mut Criterion) {
    let mut connection = connection();
    let mut stream = 1;
    let headers = headers();
    let mut out = Vec::new();
    c.bench_function("a request and the head of its answer", |bencher| {
        bencher.iter(|| {
            out.clear();
            if stream > 1 << 30 {
                (connection, stream) = (self::connection(), 1);
            }
            let request = request(stream);
            receive(&mut connection, &request);
            connection.respond(stream, StatusCode::OK, black_box(&headers), false, &mut out).unwrap_or(());
            connection.reset(stream, ErrorCode::CANCEL, &mut out);
            stream += 2;
            out.len()
        });
    });
}

criterion_group!(benches, deliveries, requests);
criterion_main!(benches);
