//! What encoding a block and parsing a stream cost.
#![allow(missing_docs, clippy::unwrap_used, reason = "macros and fixed inputs")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidings_event_stream::{Encoder, Parser};

const DATA: &[u8] = &[b'x'; 100];
const BLOCKS: usize = 10_000;
/// About what a read brings on a busy connection.
const READ_BYTES: usize = 64 << 10;

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let mut out = Vec::new();
    group.bench_function("a block of 100 bytes", |b| {
        b.iter(|| {
            out.clear();
            Encoder::new(&mut out).id("q7m2x9-1042").data(black_box(DATA)).end();
        });
    });
    group.finish();
}

fn parse(c: &mut Criterion) {
    let mut stream = Vec::new();
    for number in 0..BLOCKS {
        Encoder::new(&mut stream).id(&format!("q7m2x9-{number}")).data(DATA).end();
    }
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    for (name, bytes) in [("whole reads", READ_BYTES), ("reads of 1,000 bytes", 1_000)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let (mut parser, mut items) = (Parser::new(), 0);
                for read in stream.chunks(bytes) {
                    parser.feed(read, |_| items += 1).unwrap();
                }
                assert_eq!(items, BLOCKS);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode, parse);
criterion_main!(benches);
