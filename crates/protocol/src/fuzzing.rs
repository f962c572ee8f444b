//! What the fuzz targets of this crate do with their input. See `fuzz/README.md`.

use crate::{Cursor, Selector, Start, Topic};

/// A cursor is read as it is written, and whatever is read as one begins there by every way.
pub fn cursor(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let since = Start::from_since(text);
    let Ok(cursor) = text.parse::<Cursor>() else {
        assert_eq!(Start::from_last_event_id(text), Start::Foreign(text.to_owned()));
        assert!(!matches!(since, Ok(Start::Cursor(_))));
        return;
    };
    assert_eq!(since, Ok(Start::Cursor(cursor)));
    assert_eq!(Start::from_last_event_id(text), Start::Cursor(cursor));
    let mut written = Vec::new();
    cursor.write(&mut written);
    let written = String::from_utf8(written).expect("a cursor is ASCII");
    assert_eq!(written, cursor.to_string());
    assert_eq!(written.parse(), Ok(cursor));
}

/// Lines are selectors and topics: what one selector covers, it matches.
pub fn selector(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lines = || text.split('\n').take(8);
    let selectors: Vec<_> = lines().filter_map(|line| Selector::new(line).ok()).collect();
    let topics: Vec<_> = lines().filter_map(|line| Topic::new(line).ok()).collect();
    for topic in &topics {
        let own = Selector::from(topic.clone());
        assert!(own.matches(topic) && Selector::all().matches(topic));
        assert_eq!(own.as_topic(), Some(topic));
        for selector in &selectors {
            assert_eq!(selector.covers(&own), selector.matches(topic), "{selector} and {topic}");
        }
    }
    for wide in &selectors {
        assert_eq!(Selector::new(wide.as_str()).as_ref(), Ok(wide));
        assert!(wide.covers(wide) && Selector::all().covers(wide));
        for narrow in selectors.iter().filter(|narrow| wide.covers(narrow)) {
            for topic in topics.iter().filter(|topic| narrow.matches(topic)) {
                assert!(wide.matches(topic), "{wide} covers {narrow}, which matches {topic}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn replay(target: &str, run: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|file| run(&std::fs::read(file).unwrap()));
    }

    #[test]
    fn what_fuzzing_found_holds() {
        replay("cursor", super::cursor);
        replay("selector", super::selector);
    }
}
