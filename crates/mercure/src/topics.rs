//! How topics of Mercure, which are any text, are named here, and back.
//!
//! A topic of Mercure that can be a topic here is that topic, byte for byte. Any other is [`ESCAPED`] and itself, where `%` is `%25`, `*`
//! is `%2A`, and an empty segment at the end is `%`. What is longer than a topic may be has its hash for a name, and its update says what it is.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidings_protocol::{Topic, Update, limits};

/// What the names begin with of topics that could be none.
pub(crate) const ESCAPED: &str = "mercure:";
const LONG: &str = "long:";

/// Whether a text may be a topic of Mercure, or a matcher: it has no control characters.
pub(crate) fn is_text(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// The name of a topic. `None` where it is too long for one.
pub(crate) fn name(topic: &str) -> Option<Cow<'_, str>> {
    let is_own = topic.starts_with(ESCAPED) || Update::ROOTS.iter().any(|root| topic.starts_with(root));
    if !is_own && Topic::new(topic).is_ok() {
        return Some(Cow::Borrowed(topic));
    }
    let mut name = format!("{ESCAPED}{}", escape(topic));
    if name.ends_with('/') {
        name.push('%');
    }
    (name.len() <= limits::TOPIC_BYTES).then_some(Cow::Owned(name))
}

/// A piece of a topic, as it stands in a name that is escaped.
pub(crate) fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('*', "%2A")
}

/// The topic that a name is of.
pub(crate) fn topic(name: &str) -> Cow<'_, str> {
    let Some(escaped) = name.strip_prefix(ESCAPED) else { return Cow::Borrowed(name) };
    let text =
        escaped.strip_suffix("/%").map_or(Cow::Borrowed(escaped), |text| Cow::Owned(format!("{text}/")));
    if text.contains('%') { Cow::Owned(text.replace("%2A", "*").replace("%25", "%")) } else { text }
}

/// A name for an update whose topics do not fit into one.
pub(crate) fn long_name(topic: &str) -> String {
    format!("{ESCAPED}{LONG}{}", URL_SAFE_NO_PAD.encode(digest(&SHA256, topic.as_bytes())))
}

/// Where an update is kept that has these topics: its name, and whether that says what its only topic is.
pub(crate) fn place(topics: &[impl AsRef<str>], private: bool) -> String {
    let canonical = topics.first().map(AsRef::as_ref).unwrap_or_default();
    let (one, more) = match private {
        true => (Update::PRIVATE, Update::PRIVATE_MORE),
        false => (Update::PUBLIC, Update::PUBLIC_MORE),
    };
    let below = |root: &str| {
        let name = format!("{root}{}", name(canonical)?);
        (name.len() <= limits::TOPIC_BYTES).then_some(name)
    };
    let single = if topics.len() == 1 { below(one) } else { None };
    single.or_else(|| below(more)).unwrap_or_else(|| format!("{more}{}", long_name(canonical)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn most_topics_are_their_own_names() {
        for text in
            ["https://example.com/books/1", "books/1", "urn:isbn:1", "a b", "größe", "%2F", "mercure.rocks/x"]
        {
            assert_eq!(name(text).unwrap(), text);
            assert_eq!(topic(text), text);
        }
        for (text, escaped) in [
            ("/books/1", "mercure:/books/1"),
            ("https://example.com/", "mercure:https://example.com/%"),
            ("/", "mercure:/%"),
            ("a/*/50%", "mercure:a/%2A/50%25"),
            ("mercure:x", "mercure:mercure:x"),
            ("mercure.public/x", "mercure:mercure.public/x"),
        ] {
            assert_eq!(name(text).unwrap(), escaped);
            assert_eq!(topic(escaped), text);
        }
    }

    #[test]
    fn an_update_has_a_place_whatever_its_topics() {
        assert_eq!(place(&["https://a.example/1"], true), "mercure.private/https://a.example/1");
        assert_eq!(place(&["/a"], false), "mercure.public/mercure:/a");
        assert_eq!(place(&["a", "b"], false), "mercure.public-more/a");
        let long = "x".repeat(510);
        let name = place(&[&long], true);
        assert!(
            name.starts_with("mercure.private-more/mercure:long:") && Topic::new(&name).is_ok(),
            "{name}"
        );
        assert_ne!(name, place(&[format!("{long}y")], true));
    }

    proptest! {
        /// Whatever the topic: its name is one, says which topic it is of, and is below no root of updates.
        #[test]
        fn a_name_leads_back_to_its_topic(text in "(/|\\*|%|%25|%2A|mercure[.:]|public/|private-more/|long:|[a-zé]| ){1,8}") {
            let name = name(&text).unwrap();
            prop_assert!(Topic::new(&name).is_ok(), "{}", name);
            prop_assert_eq!(topic(&name), &*text);
            prop_assert!(!Update::ROOTS.iter().any(|root| name.starts_with(root)));
            for private in [true, false] {
                prop_assert!(Topic::new(&place(&[&text], private)).is_ok());
            }
        }
    }
}
