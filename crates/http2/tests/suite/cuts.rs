//! However what a client sends is cut, it means the same.

use proptest::collection::vec;
use proptest::prelude::*;
use tidings_http2::{PREFACE, Settings};

use crate::support::client::{CONTINUATION, DATA, HEADERS, SETTINGS, field, frame, request};
use crate::support::{Client, Said};

/// A frame that might come, well-formed or not.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![8 => (0..6_u32).prop_map(|number| 2 * number + 1), 1 => 0..12_u32];
    let block = prop_oneof![
        Just(request("GET", &[])),
        Just(request("POST", &[("content-length", "5")])),
        Just(request("GET", &[("x", "y")])[..40].to_vec()),
        Just([&request("GET", &[])[..], b"\x40\x01x\x01y"].concat()),
        Just([&request("GET", &[])[..], b"\xbe"].concat()),
        Just(field("x", "y")),
        vec(any::<u8>(), 0..20),
    ];
    let payload =
        prop_oneof![vec(any::<u8>(), 0..12), Just(vec![0, 0, 0, 1]), Just(vec![0; 8]), Just(vec![0; 300])];
    prop_oneof![
        4 => (stream.clone(), block.clone()).prop_map(|(stream, block)| frame(HEADERS, 5, stream, &block)),
        2 => (stream.clone(), block.clone()).prop_map(|(stream, block)| frame(HEADERS, 4, stream, &block)),
        2 => (stream.clone(), block, any::<u8>()).prop_map(|(stream, block, cut)| {
            let (front, rest) = block.split_at(usize::from(cut).min(block.len()));
            [frame(HEADERS, 1, stream, front), frame(CONTINUATION, 4, stream, rest)].concat()
        }),
        4 => (stream.clone(), 0..2_u8, payload.clone()).prop_map(|(stream, flags, data)| frame(DATA, flags, stream, &data)),
        2 => (stream.clone(), payload.clone()).prop_map(|(stream, data)| frame(DATA, 8, stream, &data)),
        3 => (0..18_u8, 0..3_u8, stream, payload).prop_map(|(kind, flags, stream, data)| frame(kind, flags, stream, &data)),
    ]
}

/// What it means, with the pieces of data put together, and what is answered.
fn meaning(pieces: &[&[u8]]) -> (Vec<Said>, Vec<u8>) {
    let mut client = Client::silent(Settings { initial_window_size: 500, ..Settings::default() });
    let mut said: Vec<Said> = Vec::new();
    for piece in pieces {
        for next in client.say(piece) {
            match (said.last_mut(), next) {
                (Some(Said::Data(stream, bytes, end)), Said::Data(same, more, last))
                    if *stream == same && !*end =>
                {
                    bytes.extend(more);
                    *end = last;
                }
                (Some(Said::Failed(_)), Said::Failed(_)) => {}
                (_, next) => said.push(next),
            }
        }
    }
    (said, client.out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_means_the_same(frames in vec(any_frame(), 1..20), cuts in vec(any::<prop::sample::Index>(), 0..10)) {
        let bytes = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, 1, 0, &[]), &frames.concat()].concat();
        let whole = meaning(&[&bytes]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        pieces.push(&bytes[from..]);
        prop_assert_eq!(meaning(&pieces), whole.clone());
        prop_assert_eq!(meaning(&bytes.chunks(1).collect::<Vec<_>>()), whole.clone());
        // What is answered is bounded by what was said.
        prop_assert!(whole.1.len() <= 2 * bytes.len() + 200);
    }
}
