//! The subjects of a stream, and how topics become subjects.
//!
//! | subject | holds |
//! |---|---|
//! | `STREAM.topic.TOPIC` | events of one topic |
//! | `STREAM.end.TOPIC` | the last events of a topic, or only its end |
//! | `STREAM.batch` | events of several topics, published together |
//! | `STREAM.void` | the number of a message that counts for nothing |
//! | `STREAM.epoch` | no event, but the epoch of the log: from here on it is another one |
//! | `STREAM.mark` | nothing: whoever wrote it wanted to know that the stream has come so far |
//!
//! A slash becomes a dot. What NATS does not take in a subject, and `%`, becomes a percent sign and two hexadecimal
//! digits for each byte; an empty segment becomes `%`.

use tidings_protocol::Topic;

/// The subjects of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subjects(String);

// === impl Subjects ===

impl Subjects {
    pub(crate) fn new(stream: &str) -> Self {
        Self(stream.to_owned())
    }

    /// All of them.
    pub(crate) fn all(&self) -> String {
        format!("{}.>", self.0)
    }

    pub(crate) fn topic(&self, topic: &Topic) -> String {
        format!("{}.topic.{}", self.0, escape(topic.as_str()))
    }

    pub(crate) fn end(&self, topic: &Topic) -> String {
        format!("{}.end.{}", self.0, escape(topic.as_str()))
    }

    pub(crate) fn ends(&self) -> String {
        format!("{}.end.>", self.0)
    }

    pub(crate) fn batch(&self) -> String {
        format!("{}.batch", self.0)
    }

    pub(crate) fn void(&self) -> String {
        format!("{}.void", self.0)
    }

    pub(crate) fn epoch(&self) -> String {
        format!("{}.epoch", self.0)
    }

    pub(crate) fn mark(&self) -> String {
        format!("{}.mark", self.0)
    }

    /// The topic of a subject that is one topic's.
    pub(crate) fn topic_of(&self, subject: &str) -> Option<Topic> {
        let rest = subject.strip_prefix(&*self.0)?.strip_prefix('.')?;
        let tokens = rest.strip_prefix("topic.").or_else(|| rest.strip_prefix("end."))?;
        unescape(tokens)
    }
}

fn escape(topic: &str) -> String {
    let mut subject = String::with_capacity(topic.len() + 8);
    for (place, segment) in topic.split('/').enumerate() {
        if place > 0 {
            subject.push('.');
        }
        if segment.is_empty() {
            subject.push('%');
        }
        for character in segment.chars() {
            if matches!(character, '.' | '*' | '>' | '%') || character.is_whitespace() {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    subject.push_str(&format!("%{byte:02X}"));
                }
            } else {
                subject.push(character);
            }
        }
    }
    subject
}

fn unescape(subject: &str) -> Option<Topic> {
    let segments = subject.split('.').map(|token| {
        let token = if token == "%" { "" } else { token };
        percent_encoding::percent_decode_str(token).decode_utf8()
    });
    let segments: Vec<_> = segments.collect::<Result<_, _>>().ok()?;
    Topic::new(&segments.join("/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_topic_has_a_subject_of_its_own() {
        let subjects = Subjects::new("LOG");
        let long = "ü".repeat(256);
        let deep = vec!["a"; 256].join("/");
        let topics = [
            "a",
            "a/b",
            "a.b",
            "a//b",
            "a b",
            "%",
            "%2E",
            "a/%/b",
            "größe/α",
            "a\u{a0}b\u{3000}",
            "*a/>/b*",
            &long,
            &deep,
        ];
        let mut seen = std::collections::HashSet::new();
        for text in topics {
            let topic = Topic::new(text).unwrap();
            for subject in [subjects.topic(&topic), subjects.end(&topic)] {
                assert_eq!(subjects.topic_of(&subject), Some(topic.clone()), "{subject}");
                let plain = subject.split('.').all(|token| !token.is_empty() && token != ">" && token != "*");
                assert!(plain && !subject.contains(char::is_whitespace), "{subject}");
                assert!(seen.insert(subject));
            }
        }
        assert_eq!(subjects.topic(&"orders/42".parse().unwrap()), "LOG.topic.orders.42");
        assert_eq!(subjects.topic_of("LOG.batch"), None);
        assert_eq!(subjects.topic_of("LOGS.topic.a"), None);
    }
}
