//! Events as JSON objects (§3.1), written straight into bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Cursor, EndReason, Epoch, Event, Format, Gap};

/// Appends the event as the JSON object of §3.1, JSON data byte for byte as it was published.
pub fn write_object(event: &Event, epoch: Epoch, out: &mut Vec<u8>) {
    write_with(event, epoch, out, |data, out| out.extend_from_slice(data));
}

/// Appends the event as one line of §3.3, with its line feed. Line breaks between the tokens of JSON data
/// become spaces; inside a JSON string there can be none.
pub fn write_line(event: &Event, epoch: Epoch, out: &mut Vec<u8>) {
    write_with(event, epoch, out, |data, out| {
        out.extend(data.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    });
    out.push(b'\n');
}

/// Appends `{"gap": …}` as a line of its own (§3.3).
pub fn write_gap_line(gap: &Gap, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"gap\":");
    write_json(gap, out);
    out.extend_from_slice(b"}\n");
}

/// Appends `{"end": {"id": …}}` as a line of its own, with the `reason` of an end that was no clean one (§3.3).
pub fn write_end_line(cursor: Cursor, reason: Option<&EndReason>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"end\":{\"id\":\"");
    cursor.write(out);
    out.push(b'"');
    if let Some(reason) = reason {
        out.extend_from_slice(b",\"reason\":");
        write_json(reason, out);
    }
    out.extend_from_slice(b"}}\n");
}

fn write_with(event: &Event, epoch: Epoch, out: &mut Vec<u8>, json: impl FnOnce(&[u8], &mut Vec<u8>)) {
    out.reserve(event.data.len() + event.topic.as_str().len() + 96);
    out.extend_from_slice(b"{\"id\":\"");
    Cursor::new(epoch, event.sequence).write(out);
    out.extend_from_slice(b"\",\"topic\":");
    write_json(event.topic.as_str(), out);
    if let Some(event_type) = &event.event_type {
        out.extend_from_slice(b",\"event\":");
        write_json(event_type.as_str(), out);
    }
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(event.time.to_string().as_bytes());
    match event.format {
        Format::Json if event.format.check(&event.data).is_ok() => {
            out.extend_from_slice(b"\",\"data\":");
            json(&event.data, out);
        }
        // Something else may have written to the log: JSON that is none must not take the events beside it along.
        Format::Text | Format::Json => {
            out.extend_from_slice(b"\",\"data\":");
            // Text that was checked to be UTF-8, so this is the data itself, but for what nobody checked.
            write_json(&*String::from_utf8_lossy(&event.data), out);
        }
        Format::Binary => {
            out.extend_from_slice(b"\",\"encoding\":\"base64\",\"data\":\"");
            out.extend_from_slice(STANDARD.encode(&event.data).as_bytes());
            out.push(b'"');
        }
    }
    out.push(b'}');
}

fn write_json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    // Strings and maps with string keys always serialize, and a Vec takes all that is written to it.
    drop(serde_json::to_writer(out, value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Closing, EventType, GapReason, Timestamp, Topic};
    use bytes::Bytes;

    fn event(format: Format, data: &'static [u8]) -> Event {
        Event {
            sequence: 7,
            time: Timestamp::from_millis(1),
            topic: Topic::new("a/\"b\"").unwrap(),
            event_type: Some(EventType::new("t").unwrap()),
            format,
            data: Bytes::from_static(data),
            closing: Closing::No,
            expires: None,
        }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_is_written_in_its_own_way() {
        let epoch = "q7m2x9".parse().unwrap();
        let head = r#"{"id":"q7m2x9-7","topic":"a/\"b\"","event":"t","time":"1970-01-01T00:00:00.001Z","#;
        assert_eq!(
            text(|out| write_object(&event(Format::Json, b"{\"x\":\n1}"), epoch, out)),
            format!("{head}\"data\":{{\"x\":\n1}}}}")
        );
        assert_eq!(
            text(|out| write_line(&event(Format::Json, b"{\"x\":\r\n1}"), epoch, out)),
            format!("{head}\"data\":{{\"x\":  1}}}}\n")
        );
        assert_eq!(
            text(|out| write_line(&event(Format::Text, b"a\nb\"\xc2\x85"), epoch, out)),
            format!("{head}\"data\":\"a\\nb\\\"\u{85}\"}}\n")
        );
        assert_eq!(
            text(|out| write_object(&event(Format::Binary, b"\xff\x00"), epoch, out)),
            format!("{head}\"encoding\":\"base64\",\"data\":\"/wA=\"}}")
        );
    }

    #[test]
    fn json_that_is_none_becomes_text() {
        let epoch = "q7m2x9".parse().unwrap();
        for (data, shown) in [(&b"{\n"[..], "{\n"), (b"", ""), (b"1 2", "1 2"), (b"\xff", "\u{fffd}")] {
            for write in [write_object, write_line] {
                let line = text(|out| write(&event(Format::Json, data), epoch, out));
                let object: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!(object["data"], shown);
                assert!(!line.trim_end().contains('\n'), "{line}");
            }
        }
    }

    #[test]
    fn gap_and_end_stand_alone() {
        let gap = Gap { reason: GapReason::Expired, since: "x".into(), resumed: "q7m2x9-1".into() };
        assert_eq!(
            text(|out| write_gap_line(&gap, out)),
            "{\"gap\":{\"reason\":\"expired\",\"since\":\"x\",\"resumed\":\"q7m2x9-1\"}}\n"
        );
        let cursor = "q7m2x9-9".parse().unwrap();
        assert_eq!(text(|out| write_end_line(cursor, None, out)), "{\"end\":{\"id\":\"q7m2x9-9\"}}\n");
        assert_eq!(
            text(|out| write_end_line(cursor, Some(&EndReason::aborted()), out)),
            "{\"end\":{\"id\":\"q7m2x9-9\",\"reason\":\"aborted\"}}\n"
        );
    }
}
