//! However a stream is cut, it says the same.

mod support;

use proptest::prelude::*;
use support::{parse, stream};
use tidings_event_stream::{Limits, Parser};

fn limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        Just(Limits::default()),
        (0usize..30, 0usize..150).prop_map(|(line, event)| Limits { line, event })
    ]
}

proptest! {
    #[test]
    fn two_chunks_cut_anywhere(stream in stream(), limits in limits()) {
        let whole = parse(Parser::with_limits(limits), [&stream[..]]);
        for at in 0..=stream.len() {
            let (left, right) = stream.split_at(at);
            prop_assert_eq!(&parse(Parser::with_limits(limits), [left, right]), &whole, "cut at {}", at);
        }
    }

    #[test]
    fn any_chunks(stream in stream(), limits in limits(), sizes in prop::collection::vec(0usize..9, 1..50)) {
        let whole = parse(Parser::with_limits(limits), [&stream[..]]);
        let mut rest = &stream[..];
        let mut chunks = Vec::new();
        for size in sizes {
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        chunks.push(rest);
        prop_assert_eq!(parse(Parser::with_limits(limits), chunks), whole);
    }

    #[test]
    fn byte_by_byte(stream in stream(), limits in limits()) {
        let whole = parse(Parser::with_limits(limits), [&stream[..]]);
        prop_assert_eq!(parse(Parser::with_limits(limits), stream.chunks(1)), whole);
    }
}
