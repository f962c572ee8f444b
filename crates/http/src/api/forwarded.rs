//! What proxies say of where a request comes from: lists (RFC 9110 §5.6.1) that each of them appends to.

use http::header::FORWARDED;
use http::{HeaderMap, HeaderValue};

use crate::ClientAddress;

/// The hops that the fields of a name tell, the nearest first; `None` is one that does not say whom it was asked by. All
/// lines of a field are one list, in which empty elements say nothing.
pub(crate) fn hops(
    headers: &HeaderMap,
    name: &str,
    elements: fn(&str) -> Vec<Option<ClientAddress>>,
) -> impl Iterator<Item = Option<ClientAddress>> {
    let read = move |value: &HeaderValue| value.to_str().map_or_else(|_| vec![None], elements);
    headers.get_all(name).into_iter().rev().flat_map(move |value| read(value).into_iter().rev())
}

/// The addresses in a line of `X-Forwarded-For`.
pub(crate) fn addresses(line: &str) -> Vec<Option<ClientAddress>> {
    line.split(',').map(str::trim).filter(|element| !element.is_empty()).map(address).collect()
}

/// The addresses in a line of `Forwarded` (RFC 7239), as in `for="[2001:db8::1]:4711";proto=https, for=192.0.2.7`. Where
/// a string in quotes does not end, nothing of its line can be told from what a client wrote.
pub(crate) fn forwarded(line: &str) -> Vec<Option<ClientAddress>> {
    let Some(elements) = split(line, ',') else { return vec![None] };
    elements.into_iter().filter(|element| !element.is_empty()).map(forwarded_for).collect()
}

/// What the elements of the field `Forwarded` say under a name.
pub(crate) fn told<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = String> + 'a {
    let lines = headers.get_all(FORWARDED).into_iter().filter_map(|line| line.to_str().ok());
    let elements = lines.flat_map(|line| split(line, ',').unwrap_or_default());
    elements.filter_map(move |element| value(element, name))
}

fn forwarded_for(element: &str) -> Option<ClientAddress> {
    address(&value(element, "for")?)
}

/// The value that an element has under a name.
fn value(element: &str, name: &str) -> Option<String> {
    let pairs = split(element, ';')?;
    let mut values = pairs.into_iter().filter_map(|pair| {
        let (own, value) = pair.split_once('=')?;
        own.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    });
    // Named twice, it is in doubt.
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    match value.strip_prefix('"') {
        None => Some(value.to_owned()),
        Some(rest) => Some(unescape(rest.strip_suffix('"')?)),
    }
}

/// The parts between separators that are not in quotes, without blanks around them. `None` where quotes do not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    (!is_quoted).then_some(parts)
}

fn unescape(quoted: &str) -> String {
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

/// An address as proxies write it: some of them with a port.
fn address(text: &str) -> Option<ClientAddress> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // An IPv6 address has more than one colon.
        None => {
            text.split_once(':').filter(|(_, port)| !port.contains(':')).map_or(text, |(address, _)| address)
        }
    };
    bare.parse().ok().map(ClientAddress::new)
}
