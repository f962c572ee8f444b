//! Streams made to be awkward, and the means to feed them.

use proptest::prelude::*;
use tidings_event_stream::{Error, Item, Parser};

/// Bytes in which whatever the format treats specially is common.
pub(crate) fn stream() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(vec![
        &b"\r"[..],
        b"\n",
        b"\r\n",
        b"\n\n",
        b":",
        b" ",
        b": ",
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xEF\xBB",
        b"\xBF",
        b"\xF0\x9F\x98\x80",
        b"\xF0\x9F",
        b"\xFF",
        b"\xC3",
        b"data",
        b"data:",
        b"data: x\n",
        b"id",
        b"id:",
        b"id: 7\n",
        b"event",
        b"event: ",
        b"retry",
        b"retry:",
        b"12",
        b"99999999999999999999",
        b"topic: t\n",
        b"x",
    ])
    .prop_map(<[u8]>::to_vec);
    let any = prop::collection::vec(any::<u8>(), 1..4);
    let bom = prop::option::of(Just(b"\xEF\xBB\xBF".to_vec()));
    (bom, prop::collection::vec(prop_oneof![12 => special, 1 => any], 0..40))
        .prop_map(|(bom, parts)| [bom.unwrap_or_default(), parts.concat()].concat())
}

/// All that can be seen of a parse: the items, the error, and the last event id.
pub(crate) type Seen = (Vec<Item>, Result<(), Error>, String);

/// Feeds the chunks up to the first error.
pub(crate) fn parse<'a>(mut parser: Parser, chunks: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut items = Vec::new();
    let result = chunks.into_iter().try_for_each(|chunk| parser.feed(chunk, |item| items.push(item)));
    (items, result, parser.last_event_id().to_owned())
}
