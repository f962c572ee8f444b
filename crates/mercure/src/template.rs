//! URI templates (RFC 6570), and which texts one could have become.

use std::fmt::Write as _;

/// A URI template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Box<[Part]>);

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Box<str>),
    Expression(Expression),
}

/// What stands between braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    operator: Operator,
    variables: Box<[Variable]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    /// Only where it is written before the value.
    name: Option<Box<str>>,
    most: Option<usize>,
    explode: bool,
}

/// What the first character of an expression says (RFC 6570, appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Simple,
    Reserved,
    Fragment,
    Label,
    Path,
    Parameter,
    Query,
    Continuation,
}

/// Places in a text, up to and including its end.
type Places = Vec<bool>;

// === impl Template ===

impl Template {
    /// Reads a template. `None` where the text is none.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let begin = rest.find(['{', '}']).unwrap_or(rest.len());
            if begin > 0 {
                parts.push(Part::Literal(rest[..begin].into()));
            }
            rest = &rest[begin..];
            let Some(inner) = rest.strip_prefix('{') else {
                // A brace that closes nothing.
                if rest.is_empty() {
                    break;
                }
                return None;
            };
            let (expression, after) = inner.split_once('}')?;
            parts.push(Part::Expression(Expression::new(expression)?));
            rest = after;
        }
        Some(Self(parts.into()))
    }

    /// Whether nothing of it varies.
    pub(crate) fn is_literal(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Whether it could have become a text. It takes time in proportion to the length of both.
    pub(crate) fn matches(&self, text: &str) -> bool {
        // Most that do not match lack a literal, which is soon seen.
        let lacks = |part: &Part| matches!(part, Part::Literal(literal) if !text.contains(&**literal));
        if self.0.iter().any(lacks) {
            return false;
        }
        let text = text.as_bytes();
        let mut places = vec![false; text.len() + 1];
        places[0] = true;
        for part in &self.0 {
            places = match part {
                Part::Literal(literal) => after(text, &places, literal.as_bytes()),
                Part::Expression(expression) => expression.after(text, places),
            };
            if !places.contains(&true) {
                return false;
            }
        }
        places[text.len()]
    }

    /// The template without what does not count for what it matches: the names of most variables.
    pub(crate) fn canonical(&self) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                // A String takes all that is written to it.
                Part::Expression(expression) => drop(write!(text, "{{{expression:?}}}")),
            }
        }
        text
    }
}

// === impl Part ===

impl Part {
    /// Whether it becomes segments of a path, each with its `/`, or nothing.
    pub(crate) fn is_path(&self) -> bool {
        matches!(self, Self::Expression(expression) if expression.operator == Operator::Path)
    }
}

// === impl Expression ===

impl Expression {
    fn new(text: &str) -> Option<Self> {
        let operator = match text.chars().next()? {
            '+' => Operator::Reserved,
            '#' => Operator::Fragment,
            '.' => Operator::Label,
            '/' => Operator::Path,
            ';' => Operator::Parameter,
            '?' => Operator::Query,
            '&' => Operator::Continuation,
            _ => Operator::Simple,
        };
        let list = if operator == Operator::Simple { text } else { &text[1..] };
        let variables = list.split(',').map(|text| Variable::new(text, operator.is_named()));
        Some(Self { operator, variables: variables.collect::<Option<_>>()? })
    }

    /// Whether what it becomes may have a `/`.
    pub(crate) fn may_cross_segments(&self) -> bool {
        matches!(self.operator, Operator::Reserved | Operator::Fragment | Operator::Path)
    }

    /// The places after what it could have become, from those before.
    fn after(&self, text: &[u8], before: Places) -> Places {
        let operator = self.operator;
        let mut starts = after(text, &before, operator.first().as_bytes());
        // Without any value, nothing is written.
        let mut ends = before;
        for variable in &self.variables {
            let mut from = starts.clone();
            loop {
                let done = variable.after(text, &from, operator);
                let next = after(text, &done, operator.separator().as_bytes());
                let is_new = join(&mut ends, &done) | join(&mut starts, &next);
                if !variable.explode || !is_new {
                    break;
                }
                from = next;
            }
        }
        ends
    }
}

// === impl Variable ===

impl Variable {
    fn new(text: &str, is_named: bool) -> Option<Self> {
        let (name, explode) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
        let (name, most) = match name.split_once(':') {
            Some((name, most)) => {
                let digits =
                    !most.is_empty() && most.len() < 5 && most.bytes().all(|byte| byte.is_ascii_digit());
                let most = most.parse().ok().filter(|most| digits && *most > 0 && !explode)?;
                (name, Some(most))
            }
            None => (name, None),
        };
        let is_part = |part: &str| {
            let plain = part.replace(|c: char| c.is_ascii_alphanumeric() || c == '_', "");
            !part.is_empty() && (plain.is_empty() || is_encoded(part))
        };
        name.split('.').all(is_part).then(|| Self { name: is_named.then(|| name.into()), most, explode })
    }

    /// The places after its value, with its name where that is written.
    fn after(&self, text: &[u8], before: &Places, operator: Operator) -> Places {
        let Some(name) = self.name.as_ref().filter(|_| !self.explode) else {
            // Of what is exploded, pairs have names of their own.
            return run(
                text,
                before,
                operator.allows_reserved(),
                self.most,
                self.explode || operator.is_named(),
            );
        };
        let named = after(text, before, name.as_bytes());
        let valued = after(text, &named, b"=");
        let mut ends = run(text, &valued, false, self.most, false);
        // `;x` without a value has no `=`.
        join(&mut ends, &named);
        ends
    }
}

/// Whether it is a name with bytes that are percent-encoded.
fn is_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match step(bytes, at, false, false) {
            Some(next) if bytes[at] == b'%' || bytes[at] == b'_' || bytes[at].is_ascii_alphanumeric() => {
                at = next;
            }
            _ => return false,
        }
    }
    true
}

// === impl Operator ===

impl Operator {
    fn first(self) -> &'static str {
        match self {
            Self::Simple | Self::Reserved => "",
            Self::Fragment => "#",
            Self::Label => ".",
            Self::Path => "/",
            Self::Parameter => ";",
            Self::Query => "?",
            Self::Continuation => "&",
        }
    }

    fn separator(self) -> &'static str {
        match self {
            Self::Simple | Self::Reserved | Self::Fragment => ",",
            Self::Query => "&",
            other => other.first(),
        }
    }

    fn is_named(self) -> bool {
        matches!(self, Self::Parameter | Self::Query | Self::Continuation)
    }

    fn allows_reserved(self) -> bool {
        matches!(self, Self::Reserved | Self::Fragment)
    }
}

/// Adds places to others. Says whether there was a new one.
fn join(places: &mut Places, more: &Places) -> bool {
    let mut is_new = false;
    for (place, more) in places.iter_mut().zip(more) {
        is_new |= *more && !*place;
        *place |= more;
    }
    is_new
}

/// The places after a literal.
fn after(text: &[u8], before: &Places, literal: &[u8]) -> Places {
    let mut places = vec![false; text.len() + 1];
    for (at, _) in before.iter().enumerate().filter(|(_, is)| **is) {
        if text[at..].starts_with(literal) {
            places[at + literal.len()] = true;
        }
    }
    places
}

/// The places after a value, which may be empty: of unreserved characters and of what is percent-encoded, and of a list's commas.
fn run(text: &[u8], before: &Places, reserved: bool, most: Option<usize>, pairs: bool) -> Places {
    let mut places = before.clone();
    if let Some(most) = most {
        let mut from = before.clone();
        for _ in 0..most.min(text.len()) {
            let mut next = vec![false; text.len() + 1];
            for at in (0..text.len()).filter(|at| from[*at]) {
                if let Some(end) = step(text, at, reserved, false) {
                    next[end] = true;
                }
            }
            if !join(&mut places, &next) {
                break;
            }
            from = next;
        }
        return places;
    }
    for at in 0..text.len() {
        if !places[at] {
            continue;
        }
        if let Some(end) = step(text, at, reserved, pairs).or_else(|| (text[at] == b',').then_some(at + 1)) {
            places[end] = true;
        }
    }
    places
}

/// The end of the character of a value that begins at a place.
fn step(text: &[u8], at: usize, reserved: bool, pairs: bool) -> Option<usize> {
    let byte = text[at];
    match byte {
        b'%' => {
            let digits = text.get(at + 1..at + 3)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 3)
        }
        b'-' | b'.' | b'_' | b'~' => Some(at + 1),
        b'=' if pairs => Some(at + 1),
        _ if byte.is_ascii_alphanumeric() => Some(at + 1),
        _ if reserved && b":/?#[]@!$&'()*+,;=".contains(&byte) => Some(at + 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(template: &str, text: &str) -> bool {
        Template::new(template).unwrap().matches(text)
    }

    /// The examples of RFC 6570, sections 1.2 and 3.2: with var=value, hello="Hello World!", path=/foo/bar, x=1024, y=768, empty="",
    /// list=(red,green,blue), keys=[(semi,;),(dot,.),(comma,,)].
    #[test]
    fn what_the_rfc_expands_is_matched() {
        for (template, text) in [
            ("{var}", "value"),
            ("{hello}", "Hello%20World%21"),
            ("{+var}", "value"),
            ("{+hello}", "Hello%20World!"),
            ("{+path}/here", "/foo/bar/here"),
            ("here?ref={+path}", "here?ref=/foo/bar"),
            ("X{#var}", "X#value"),
            ("X{#hello}", "X#Hello%20World!"),
            ("map?{x,y}", "map?1024,768"),
            ("{x,hello,y}", "1024,Hello%20World%21,768"),
            ("{+path,x}/here", "/foo/bar,1024/here"),
            ("X{.x,y}", "X.1024.768"),
            ("{/var,x}/here", "/value/1024/here"),
            ("{;x,y,empty}", ";x=1024;y=768;empty"),
            ("{?x,y,empty}", "?x=1024&y=768&empty="),
            ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
            ("{var:3}", "val"),
            ("{var:30}", "value"),
            ("{list}", "red,green,blue"),
            ("{list*}", "red,green,blue"),
            ("{keys}", "semi,%3B,dot,.,comma,%2C"),
            ("{keys*}", "semi=%3B,dot=.,comma=%2C"),
            ("{/list*}", "/red/green/blue"),
            ("{/list*,path:4}", "/red/green/blue/%2Ffoo"),
            ("{;list}", ";list=red,green,blue"),
            ("{;keys*}", ";semi=%3B;dot=.;comma=%2C"),
            ("{?list*}", "?list=red&list=green&list=blue"),
            ("{?keys}", "?keys=semi,%3B,dot,.,comma,%2C"),
            ("X{.keys*}", "X.semi=%3B.dot=..comma=%2C"),
            ("{x,empty}", "1024,"),
            ("X{.undef}", "X"),
            ("https://example.com/books/{id}", "https://example.com/books/1"),
            ("https://example.com/books/{id}", "https://example.com/books/"),
            (
                "/.well-known/mercure/subscriptions{/topic}{/subscriber}",
                "/.well-known/mercure/subscriptions/a%2Fb/urn%3Auuid%3A1",
            ),
        ] {
            assert!(matches(template, text), "{template} {text}");
        }
    }

    #[test]
    fn what_it_cannot_become_is_not() {
        for (template, text) in [
            ("{var}", "a/b"),
            ("{var}", "a b"),
            ("{var}", "%2"),
            ("{var}", "é"),
            ("{var:3}", "valu"),
            ("https://example.com/books/{id}", "https://example.com/books/1/reviews"),
            ("https://example.com/books/{id}", "https://example.com/book/1"),
            ("{?x}", "?y=1"),
            ("{;x}", "x=1"),
            ("{/a}", "/b/c"),
            ("a{b}c", "ab"),
        ] {
            assert!(!matches(template, text), "{template} {text}");
        }
    }

    #[test]
    fn some_texts_are_none() {
        for text in [
            "{",
            "}",
            "a}",
            "{a",
            "{}",
            "{+}",
            "{a b}",
            "{a:0}",
            "{a:x}",
            "{a:10000}",
            "{a:3*}",
            "{a..b}",
            "{{a}}",
            "{!a}",
            "{a,}",
        ] {
            assert_eq!(Template::new(text), None, "{text}");
        }
        assert!(Template::new("https://a.example/").unwrap().is_literal());
    }

    #[test]
    fn long_ones_take_no_long_time() {
        let template = Template::new(&"{a}{b*}".repeat(400)).unwrap();
        let begun = std::time::Instant::now();
        assert!(!template.matches(&format!("{}/", "a".repeat(2_000))));
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    }

    #[test]
    fn the_names_of_variables_do_not_count() {
        let canonical = |text: &str| Template::new(text).unwrap().canonical();
        assert_eq!(canonical("a/{b}"), canonical("a/{c}"));
        assert_ne!(canonical("a/{b}"), canonical("a/{+b}"));
        assert_ne!(canonical("a{?b}"), canonical("a{?c}"));
    }
}
