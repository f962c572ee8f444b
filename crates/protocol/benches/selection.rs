//! What it costs to know whether an event concerns a reader.
#![allow(missing_docs, clippy::unwrap_used, reason = "macros and fixed inputs")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tidings_protocol::{Selection, Selector, Topic};

fn matching(c: &mut Criterion) {
    let select = |texts: &[String]| Selection::new(texts.iter().map(|text| Selector::new(text).unwrap()));
    let topic = Topic::new("shops/berlin/orders/42").unwrap();
    let many: Vec<_> = (0..100).map(|number| format!("shops/berlin/orders/{number}")).collect();
    let patterns: Vec<_> = (0..100).map(|number| format!("shops/*/orders/{number}")).collect();
    let mut group = c.benchmark_group("selection");
    for (name, selection) in [
        ("one topic", select(&["shops/berlin/orders/42".into()])),
        ("a segment", select(&["shops/*/orders/42".into()])),
        ("the rest", select(&["shops/**".into()])),
        ("100 topics", select(&many)),
        ("100 patterns", select(&patterns)),
    ] {
        assert!(selection.matches_topic(&topic));
        group.bench_function(name, |b| b.iter(|| black_box(selection.matches_topic(black_box(&topic)))));
    }
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);
