//! What the fuzz target of this crate does with its input. See `fuzz/README.md`.

use crate::{Encoder, Error, Item, Limits, Parser};

const LIMITS: Limits = Limits { line: 512, event: 2_048 };

/// However a stream is cut into pieces, it says the same; and what it says can be said again. The first byte is the
/// length of the pieces.
pub fn parser(input: &[u8]) {
    let Some((&length, stream)) = input.split_first() else { return };
    let whole = items(stream, stream.len().max(1), LIMITS);
    assert_eq!(items(stream, usize::from(length).max(1), LIMITS), whole);
    for item in whole.0 {
        let Item::Event(event) = item else { continue };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes);
        encoder.id(&event.id).event(&event.event);
        event.fields.iter().for_each(|(name, value)| _ = encoder.field(name, value));
        encoder.data(event.data.as_bytes()).end();
        // What was no UTF-8 has grown.
        let again = items(&bytes, bytes.len(), Limits::default());
        assert_eq!(again, (vec![Item::Event(event)], Ok(())));
    }
}

fn items(stream: &[u8], length: usize, limits: Limits) -> (Vec<Item>, Result<(), Error>) {
    let mut parser = Parser::with_limits(limits);
    let mut items = Vec::new();
    let fed = stream.chunks(length).try_for_each(|piece| parser.feed(piece, |item| items.push(item)));
    (items, fed)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_fuzzing_found_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/event_stream");
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|file| super::parser(&std::fs::read(file).unwrap()));
    }
}
