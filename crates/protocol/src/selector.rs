use std::fmt;
use std::str::FromStr;

use crate::topic::check;
use crate::{InvalidTopic, Topic};

/// A topic, or a pattern of topics (§1): `*` stands for one whole segment, and `**`, as the last segment, for
/// one or more. `**` alone is every topic.
///
/// ```
/// use tidings_protocol::{Selector, Topic};
/// let all: Selector = "orders/**".parse()?;
/// assert!(all.matches(&Topic::new("orders/42/items")?));
/// assert!(!all.matches(&Topic::new("orders")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selector(Form);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Form {
    Topic(Topic),
    Pattern(Box<str>),
}

/// Why a text is not a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelector {
    /// It breaks a rule that topics have as well.
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    /// `**` stands somewhere else than at the end.
    #[error("`**` stands for one or more segments, and only at the end of a selector")]
    InnerRest,
}

// === impl Selector ===

impl Selector {
    /// Checks a text and takes it as a selector.
    ///
    /// # Errors
    /// [`InvalidSelector`] says which rule of §1 the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidSelector> {
        check(text)?;
        let mut wild = false;
        let mut segments = text.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment == "**" && segments.peek().is_some() {
                return Err(InvalidSelector::InnerRest);
            }
            wild |= segment == "*" || segment == "**";
        }
        Ok(Self(if wild { Form::Pattern(text.into()) } else { Form::Topic(Topic::new(text)?) }))
    }

    /// The selector that matches every topic: `**`.
    #[must_use]
    pub fn all() -> Self {
        Self(Form::Pattern("**".into()))
    }

    /// The text of the selector.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Topic(topic) => topic.as_str(),
            Form::Pattern(text) => text,
        }
    }

    /// The one topic that this selector matches, where it is not a pattern.
    #[must_use]
    pub fn as_topic(&self) -> Option<&Topic> {
        match &self.0 {
            Form::Topic(topic) => Some(topic),
            Form::Pattern(_) => None,
        }
    }

    /// Whether events of `topic` belong to this selector.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        self.matches_counting(topic, &mut 0)
    }

    /// As [`matches`](Selector::matches), and adds to `steps` how many segments were compared, for those who have only so
    /// much time.
    #[must_use]
    pub fn matches_counting(&self, topic: &Topic, steps: &mut u64) -> bool {
        match &self.0 {
            Form::Topic(own) => {
                *steps += 1;
                own == topic
            }
            Form::Pattern(pattern) => pattern_matches(pattern, topic.as_str(), steps),
        }
    }

    /// What every topic that matches begins with: the segments before the first wildcard, and the slash after them.
    ///
    /// ```
    /// use tidings_protocol::Selector;
    /// assert_eq!("orders/42/*".parse::<Selector>()?.literal_prefix(), "orders/42/");
    /// assert_eq!("*/42".parse::<Selector>()?.literal_prefix(), "");
    /// # Ok::<(), tidings_protocol::InvalidSelector>(())
    /// ```
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        let text = self.as_str();
        match &self.0 {
            Form::Topic(_) => text,
            Form::Pattern(_) => {
                let literal = text.split_inclusive('/').take_while(|segment| {
                    !segment.starts_with('*') || {
                        let segment = segment.trim_end_matches('/');
                        segment != "*" && segment != "**"
                    }
                });
                &text[..literal.map(str::len).sum()]
            }
        }
    }

    /// Whether every topic that `other` matches is matched by this selector too.
    ///
    /// ```
    /// use tidings_protocol::Selector;
    /// let wide: Selector = "a/**".parse()?;
    /// assert!(wide.covers(&"a/*/c".parse()?));
    /// assert!(!wide.covers(&"**".parse()?));
    /// # Ok::<(), tidings_protocol::InvalidSelector>(())
    /// ```
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let mut own = self.as_str().split('/');
        let mut theirs = other.as_str().split('/');
        loop {
            match (own.next(), theirs.next()) {
                (Some("**"), Some(_)) | (None, None) => return true,
                (None, Some(_)) | (Some(_), None | Some("**")) => return false,
                (Some("*"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                (Some(_), Some(_)) => return false,
            }
        }
    }
}

fn pattern_matches(pattern: &str, topic: &str, steps: &mut u64) -> bool {
    let mut segments = topic.split('/');
    for part in pattern.split('/') {
        *steps += 1;
        match (part, segments.next()) {
            ("**", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(segment)) if part == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

impl FromStr for Selector {
    type Err = InvalidSelector;
    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        Self::new(text)
    }
}

impl From<Topic> for Selector {
    fn from(topic: Topic) -> Self {
        Self(Form::Topic(topic))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn selector(text: &str) -> Selector {
        Selector::new(text).unwrap()
    }

    fn matches(pattern: &str, topic: &str) -> bool {
        selector(pattern).matches(&Topic::new(topic).unwrap())
    }

    #[test]
    fn a_star_is_one_whole_segment() {
        assert!(matches("a/*", "a/b"));
        assert!(matches("*/b", "a/b"));
        assert!(matches("a/*/c", "a//c"));
        assert!(!matches("a/*", "a"));
        assert!(!matches("a/*", "a/b/c"));
        assert!(!matches("a/b*", "a/bc"));
    }

    #[test]
    fn two_stars_are_one_or_more_segments() {
        assert!(matches("**", "a"));
        assert!(matches("**", "a/b/c"));
        assert!(matches("a/**", "a/b/c"));
        assert!(!matches("a/**", "a"));
        assert!(matches("*/**", "a/b"));
        assert!(!matches("*/**", "a"));
        assert_eq!(Selector::new("**/a"), Err(InvalidSelector::InnerRest));
    }

    #[test]
    fn a_plain_selector_is_a_topic() {
        assert_eq!(selector("a/b").as_topic().unwrap().as_str(), "a/b");
        assert!(selector("a/*").as_topic().is_none());
    }

    #[test]
    fn covering_is_matching_of_whole_sets() {
        for (wide, narrow, covers) in [
            ("**", "**", true),
            ("**", "a/*", true),
            ("a/*", "a/**", false),
            ("*/**", "**", false),
            ("**", "*/**", true),
            ("*", "a", true),
            ("a", "*", false),
            ("*/*", "*/b", true),
            ("a/**", "a/*/**", true),
            ("a/*/**", "a/**", false),
            ("*/**", "a/**", true),
        ] {
            assert_eq!(selector(wide).covers(&selector(narrow)), covers, "{wide} over {narrow}");
        }
    }

    proptest! {
        #[test]
        fn what_matches_begins_with_the_literal_prefix(
            pattern in "(a|b\\*|\\*)(/(a|b\\*|\\*)){0,3}(/\\*\\*)?",
            topic in "(a|b\\*)(/(a|b\\*)){0,4}",
        ) {
            let (pattern, topic) = (selector(&pattern), Topic::new(&topic).unwrap());
            if pattern.matches(&topic) {
                prop_assert!(topic.as_str().starts_with(pattern.literal_prefix()), "{pattern} {topic}");
            }
        }

        #[test]
        fn what_is_covered_is_matched(
            wide in "(a|b|\\*)(/(a|b|\\*)){0,2}(/\\*\\*)?",
            narrow in "(a|b|\\*)(/(a|b|\\*)){0,2}(/\\*\\*)?",
            topic in "(a|b)(/(a|b)){0,4}",
        ) {
            let topic = Topic::new(&topic).unwrap();
            let (wide, narrow) = (selector(&wide), selector(&narrow));
            if wide.covers(&narrow) && narrow.matches(&topic) {
                prop_assert!(wide.matches(&topic));
            }
        }
    }
}
