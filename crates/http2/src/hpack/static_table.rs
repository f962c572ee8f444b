/// A name and a value; the value is empty where the table has a name alone.
type Entry = (&'static str, &'static str);

/// The static table (RFC 7541 Appendix A). Its first entry has the index 1.
static STATIC_TABLE: [Entry; 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The index after the last one of the table.
pub(super) const END: usize = STATIC_TABLE.len() + 1;

/// The entry with this index, which begins at 1.
pub(super) fn get(index: usize) -> Option<Entry> {
    STATIC_TABLE.get(index.checked_sub(1)?).copied()
}

/// The first entry with this name.
pub(super) fn index_of(name: &str) -> Option<usize> {
    STATIC_TABLE.iter().position(|entry| entry.0 == name).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_index_and_by_name() {
        assert_eq!(
            (get(0), get(1), get(61), get(62)),
            (None, Some((":authority", "")), Some(("www-authenticate", "")), None)
        );
        for index in 1..END {
            let found = index_of(get(index).unwrap().0).unwrap();
            assert!(found <= index);
            assert_eq!(get(found).unwrap().0, get(index).unwrap().0);
        }
        assert_eq!(index_of("x-none"), None);
    }
}
