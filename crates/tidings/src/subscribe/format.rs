//! What `--format` says.

use std::str::FromStr;

use tidings_client::Event;

use crate::terminal::harmless;

/// What is printed of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Id,
    Topic,
    Type,
    Time,
    Data,
}

/// The text is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidFormat {
    #[error(
        "`{{{0}}}` is nothing that an event has: there are {{id}}, {{topic}}, {{type}}, {{time}} and {{data}}"
    )]
    Unknown(String),
    #[error("a brace stands alone; `{{{{` and `}}}}` print one")]
    Brace,
}

// === impl Format ===

impl Format {
    /// Without what a terminal would obey, where one shows it.
    pub(super) fn write(&self, event: &Event, is_terminal: bool, out: &mut Vec<u8>) {
        for part in &self.0 {
            let text = match part {
                Part::Text(text) => text.clone(),
                Part::Id => event.id().to_owned(),
                Part::Topic => harmless(event.topic()),
                Part::Type => event.event_type().map(harmless).unwrap_or_default(),
                Part::Time => event.time().to_owned(),
                Part::Data if is_terminal => harmless(&event.text()),
                Part::Data => {
                    out.extend_from_slice(&event.bytes());
                    continue;
                }
            };
            out.extend_from_slice(text.as_bytes());
        }
    }
}

impl FromStr for Format {
    type Err = InvalidFormat;
    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '{' if rest.next_if_eq(&'{').is_some() => plain.push('{'),
                '}' if rest.next_if_eq(&'}').is_some() => plain.push('}'),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(letter) => name.push(letter),
                            None => return Err(InvalidFormat::Brace),
                        }
                    }
                    let part = match name.as_str() {
                        "id" => Part::Id,
                        "topic" => Part::Topic,
                        "type" => Part::Type,
                        "time" => Part::Time,
                        "data" => Part::Data,
                        _ => return Err(InvalidFormat::Unknown(name)),
                    };
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(part);
                }
                '}' => return Err(InvalidFormat::Brace),
                '\\' if rest.next_if_eq(&'n').is_some() => plain.push('\n'),
                '\\' if rest.next_if_eq(&'t').is_some() => plain.push('\t'),
                other => plain.push(other),
            }
        }
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }
}
