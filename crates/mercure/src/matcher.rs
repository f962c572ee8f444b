//! Which topics somebody asks for, or may publish to or read.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidings_protocol::{Selector, Update};
use url::Url;
use urlpattern::{UrlPattern, UrlPatternInit, UrlPatternMatchInput, UrlPatternOptions};

use crate::defaults;
use crate::template::{Part, Template};
use crate::topics::{ESCAPED, escape, is_text, name};

/// How a matcher is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MatchType {
    /// As 0.x has it: a topic, or a URI template.
    Template,
    /// A topic.
    Exact,
    /// A URL pattern.
    UrlPattern,
}

/// A matcher, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Matcher {
    pub(crate) kind: MatchType,
    pub(crate) text: Arc<str>,
}

/// Why a text is no matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidMatcher {
    #[error("it is empty, or has control characters")]
    Text,
    #[error("it has more than {} bytes", defaults::MATCHER_BYTES)]
    Long,
    #[error("it is no URL pattern: {0}")]
    Pattern(String),
    #[error("there are more than {} URL patterns", defaults::URL_PATTERNS)]
    Patterns,
}

/// Matchers, made ready to be compared with topics.
#[derive(Debug, Default)]
pub(crate) struct Matchers {
    any: bool,
    exact: BTreeSet<Arc<str>>,
    templates: Vec<Template>,
    patterns: Vec<(Arc<str>, UrlPattern)>,
}

/// What relative topics and patterns are resolved against, where the hub does not know its own address.
pub(crate) const NOWHERE: &str = "https://hub.invalid/";

// === impl MatchType ===

impl MatchType {
    /// The type of this name: as 1.0 writes it, or its drafts.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "exact" | "Exact" => Some(Self::Exact),
            "urlpattern" | "URLPattern" => Some(Self::UrlPattern),
            _ => None,
        }
    }

    /// Its name, where it has one.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Template => None,
            Self::Exact => Some("exact"),
            Self::UrlPattern => Some("urlpattern"),
        }
    }
}

// === impl Matcher ===

impl Matcher {
    pub(crate) fn new(kind: MatchType, text: &str) -> Result<Self, InvalidMatcher> {
        if text.len() > defaults::MATCHER_BYTES {
            return Err(InvalidMatcher::Long);
        }
        if !is_text(text) {
            return Err(InvalidMatcher::Text);
        }
        Ok(Self { kind, text: text.into() })
    }
}

// === impl Matchers ===

impl Matchers {
    pub(crate) fn new<'a>(
        matchers: impl IntoIterator<Item = &'a Matcher>,
        base: &Url,
    ) -> Result<Self, InvalidMatcher> {
        let mut all = Self::default();
        for Matcher { kind, text } in matchers {
            if &**text == "*" {
                all.any = true;
                continue;
            }
            match kind {
                MatchType::UrlPattern => {
                    if all.patterns.len() == defaults::URL_PATTERNS {
                        return Err(InvalidMatcher::Patterns);
                    }
                    all.patterns.push((Arc::clone(text), pattern(text, base)?));
                    continue;
                }
                MatchType::Template => {
                    if let Some(template) = Template::new(text).filter(|template| !template.is_literal()) {
                        all.templates.push(template);
                    }
                }
                MatchType::Exact => {}
            }
            all.exact.insert(Arc::clone(text));
        }
        Ok(all)
    }

    /// Whether a topic is one of them.
    pub(crate) fn matches(&self, topic: &str, base: &Url) -> bool {
        if self.any || self.exact.contains(topic) || self.templates.iter().any(|own| own.matches(topic)) {
            return true;
        }
        if self.patterns.is_empty() {
            return false;
        }
        let Ok(url) = base.join(topic) else { return false };
        self.patterns
            .iter()
            .any(|(_, pattern)| pattern.test(UrlPatternMatchInput::Url(url.clone())).unwrap_or(false))
    }

    /// Says what they match: equal ones match the same.
    pub(crate) fn key(&self) -> String {
        let mut templates: Vec<_> = self.templates.iter().map(Template::canonical).collect();
        templates.sort_unstable();
        templates.dedup();
        let mut patterns: Vec<_> = self.patterns.iter().map(|(text, _)| &**text).collect();
        patterns.sort_unstable();
        patterns.dedup();
        // No text has a control character.
        let exact: Vec<_> = self.exact.iter().map(|text| &**text).collect();
        [
            if self.any { "*" } else { "" },
            &exact.join("\u{1}"),
            &templates.join("\u{1}"),
            &patterns.join("\u{1}"),
        ]
        .join("\u{2}")
    }

    /// Selectors of everything here that may be matched, and of not much more: a filter decides.
    pub(crate) fn selectors(&self) -> Vec<Selector> {
        if self.any || !self.patterns.is_empty() {
            return vec![Selector::all()];
        }
        let mut texts = Vec::new();
        for text in &self.exact {
            texts.extend(name(text).map(String::from));
        }
        for template in &self.templates {
            match shape(template) {
                Some(shapes) => texts.extend(shapes),
                None => return vec![Selector::all()],
            }
        }
        let roots = ["", Update::PUBLIC, Update::PRIVATE];
        let below = roots.iter().flat_map(|root| texts.iter().map(move |text| format!("{root}{text}")));
        let more = [Update::PUBLIC_MORE, Update::PRIVATE_MORE].map(|root| format!("{root}**"));
        // What is no selector, or too long for one, matches nothing that there could be.
        below.chain(more).filter_map(|text| Selector::new(&text).ok()).collect()
    }
}

fn pattern(text: &str, base: &Url) -> Result<UrlPattern, InvalidMatcher> {
    let invalid = |error: urlpattern::Error| InvalidMatcher::Pattern(error.to_string());
    let init = UrlPatternInit::parse_constructor_string::<regex::Regex>(text, Some(base.clone()));
    UrlPattern::parse(init.map_err(invalid)?, UrlPatternOptions::default()).map_err(invalid)
}

/// The names that a template may match, as selectors: of topics that are their own names, and of others. `None` where it begins
/// with what varies.
fn shape(template: &Template) -> Option<Vec<String>> {
    let mut segments = vec![Some(String::new())];
    let (mut rest, mut ends_before) = (false, false);
    for (place, part) in template.parts().iter().enumerate() {
        match part {
            // Whole segments follow, or nothing.
            Part::Expression(_) if template.parts()[place..].iter().all(Part::is_path) => {
                segments.push(None);
                (rest, ends_before) = (true, true);
                break;
            }
            Part::Literal(text) => {
                for (place, piece) in text.split('/').enumerate() {
                    if place > 0 {
                        segments.push(Some(String::new()));
                    }
                    if let Some(Some(segment)) = segments.last_mut() {
                        segment.push_str(piece);
                    }
                }
            }
            Part::Expression(expression) => {
                if let Some(segment) = segments.last_mut() {
                    *segment = None;
                }
                if expression.may_cross_segments() {
                    rest = true;
                    break;
                }
            }
        }
    }
    // Those that are literal to the end.
    segments.first()?.as_ref()?;
    let written = |escaped: bool, segments: &[Option<String>]| {
        let last = segments.len() - 1;
        let texts = segments.iter().enumerate().map(|(place, segment)| match segment {
            None if rest && place == last => "**".to_owned(),
            None => "*".to_owned(),
            Some(text) if escaped && text.is_empty() && place == last => "%".to_owned(),
            Some(text) if escaped => escape(text),
            Some(text) => text.clone(),
        });
        texts.collect::<Vec<_>>().join("/")
    };
    // A segment that is literally `*` is none of a topic that is its own name.
    let is_wild = segments.iter().flatten().any(|text| text == "*" || text == "**");
    let mut shapes = Vec::new();
    let all = &segments[..];
    for segments in std::iter::once(all).chain(ends_before.then(|| &all[..all.len() - 1])) {
        if !is_wild {
            shapes.push(written(false, segments));
        }
        shapes.push(format!("{ESCAPED}{}", written(true, segments)));
    }
    Some(shapes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::place;
    use proptest::prelude::*;
    use tidings_protocol::{Selection, Topic};

    fn base() -> Url {
        Url::parse(NOWHERE).unwrap()
    }

    fn matchers(kind: MatchType, texts: &[&str]) -> Matchers {
        let matchers: Vec<_> = texts.iter().map(|text| Matcher::new(kind, text).unwrap()).collect();
        Matchers::new(&matchers, &base()).unwrap()
    }

    #[test]
    fn a_template_that_does_not_parse_matches_itself() {
        let own = matchers(MatchType::Template, &["will-not-match}", "a/{b"]);
        assert!(own.matches("will-not-match}", &base()) && own.matches("a/{b", &base()));
        assert!(!own.matches("a/b", &base()));
        let exact = matchers(MatchType::Exact, &["a/{b}"]);
        assert!(exact.matches("a/{b}", &base()) && !exact.matches("a/b", &base()));
    }

    #[test]
    fn url_patterns_match_as_the_standard_says() {
        let own = matchers(MatchType::UrlPattern, &["https://example.com/books/:id", "/users/*"]);
        for (topic, matches) in [
            ("https://example.com/books/1", true),
            ("https://EXAMPLE.com:443/books/1", true),
            ("https://example.com/Books/1", false),
            ("https://example.com/books/1/2", false),
            ("/users/1/2", true),
            ("users/1", true),
            ("urn:x", false),
        ] {
            assert_eq!(own.matches(topic, &base()), matches, "{topic}");
        }
        let bad = Matcher::new(MatchType::UrlPattern, "https://example.com/(").unwrap();
        assert!(matches!(Matchers::new([&bad], &base()), Err(InvalidMatcher::Pattern(_))));
    }

    #[test]
    fn the_key_says_what_is_matched() {
        let key = |texts: &[&str]| matchers(MatchType::Template, texts).key();
        assert_eq!(key(&["a", "b/{c}"]), key(&["b/{c}", "a", "a"]));
        assert_ne!(key(&["a"]), key(&["b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["*"]), key(&["a"]));
    }

    /// Who asks for something else costs an update nothing.
    #[test]
    fn ten_thousand_templates_are_found_through_the_tree() {
        let mut tree = tidings_protocol::SelectorTree::default();
        let all: Vec<_> = (0..10_000)
            .map(|place| match place % 3 {
                0 => format!("https://example.com/users/{place}/{{id}}"),
                1 => format!("https://example.com/{{kind}}/{place}"),
                _ => format!("/rooms/{{room}}/{place}{{/rest*}}"),
            })
            .map(|text| matchers(MatchType::Template, &[&text]))
            .collect();
        for (place, own) in all.iter().enumerate() {
            for selector in own.selectors() {
                tree.insert(&selector, place);
            }
        }
        let topics =
            ["https://example.com/users/9/7", "https://example.com/books/9001", "/rooms/a/3002/b/c", "other"];
        for (topic, wanted) in topics.iter().zip([&[9][..], &[9_001 / 3 * 3 + 1], &[3_002], &[]]) {
            for text in [name(topic).unwrap().into_owned(), place(&[topic], true)] {
                let (mut asked, mut found) = (0, Vec::new());
                tree.matching(&Topic::new(&text).unwrap(), |place| {
                    asked += 1;
                    found.extend(all[*place].matches(topic, &base()).then_some(*place));
                });
                assert_eq!(found, wanted, "{topic}");
                assert!(asked <= 3, "{topic}: {asked} were asked");
            }
        }
        let begun = std::time::Instant::now();
        let rounds = 2_000;
        for _ in 0..rounds {
            let topic = Topic::new("https://example.com/users/9/7").unwrap();
            tree.matching(&topic, |place| assert!(all[*place].matches(topic.as_str(), &base())));
        }
        println!("an update takes {:?}", begun.elapsed() / rounds);
    }

    proptest! {
        /// Whatever is matched is found by the selectors, plain or kept as an update.
        #[test]
        fn selectors_leave_nothing_out(
            template in "(https:/)?(/|a|b|\\*|%25|\\{x\\}|\\{\\+x\\}|\\{/x\\*\\}|\\{\\?x\\}){1,7}",
            topic in "(https:/)?(/|a|b|\\*|%25|,|\\?x=){1,7}",
        ) {
            let own = matchers(MatchType::Template, &[&template]);
            let selection = Selection::new(own.selectors());
            for topic in [&topic, &template] {
                if own.matches(topic, &base()) {
                    let plain = name(topic).unwrap().into_owned();
                    for name in [plain, place(&[topic], true), place(&[topic], false), place(&[topic, topic], true)] {
                        prop_assert!(selection.matches_topic(&Topic::new(&name).unwrap()), "{} {}", template, name);
                    }
                }
            }
        }
    }
}
