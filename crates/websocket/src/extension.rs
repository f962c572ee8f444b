use std::ops::RangeInclusive;

use crate::limits::OFFERS;

/// The name of the one extension that is known (RFC 7692 §7).
pub(crate) const NAME: &str = "permessage-deflate";

/// What windows may have, as powers of two (§7.1.2).
const WINDOW_BITS: RangeInclusive<u8> = 8..=15;

/// What was agreed upon of `permessage-deflate`: neither side takes a context over to the next message (RFC 7692 §7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deflate {
    /// The window that the client asked the server to keep to.
    server_window_bits: Option<u8>,
}

/// A field is not what RFC 6455 §9.1 says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One of the extensions in a field, with its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extension<'a> {
    pub(crate) name: &'a str,
    pub(crate) parameters: Vec<(&'a str, Option<&'a str>)>,
}

// === impl Deflate ===

impl Deflate {
    /// Whether the peer may be given a compressed message that has so many bytes when it is inflated.
    ///
    /// A client may say that it has room for a small window only. A message that is no larger than it refers to nothing
    /// outside of it, so it can have the same compressed bytes as everyone; a larger one is sent as it is.
    #[must_use]
    pub fn takes(self, length: usize) -> bool {
        self.server_window_bits.is_none_or(|bits| length <= 1 << bits)
    }

    /// The first of a client's offers that can be accepted (RFC 7692 §5, §7.1).
    pub(crate) fn choose(offers: &[Extension<'_>]) -> Option<Self> {
        offers.iter().filter(|offer| offer.name.eq_ignore_ascii_case(NAME)).find_map(Self::accept)
    }

    /// An offer that has a parameter which is unknown, or has a value that it cannot have, or comes twice, is declined.
    fn accept(offer: &Extension<'_>) -> Option<Self> {
        let mut agreed = Self { server_window_bits: None };
        for (index, (name, value)) in offer.parameters.iter().enumerate() {
            if offer.parameters[..index].iter().any(|(other, _)| other == name) {
                return None;
            }
            match (*name, *value) {
                (
                    "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                    None,
                ) => {}
                ("client_max_window_bits", Some(bits)) => _ = window_bits(bits)?,
                ("server_max_window_bits", Some(bits)) => {
                    agreed.server_window_bits = Some(window_bits(bits)?);
                }
                _ => return None,
            }
        }
        Some(agreed)
    }

    /// What a server answers. Every client has to be able to leave its context behind (§7.1.1.2).
    pub(crate) fn answer(self) -> String {
        let mut answer = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
        if let Some(bits) = self.server_window_bits {
            answer += &format!("; server_max_window_bits={bits}");
        }
        answer
    }

    /// What a client offers.
    pub(crate) fn offer() -> String {
        Self { server_window_bits: None }.answer()
    }

    /// Whether a server's answer is one to [`offer`](Self::offer). This side never compresses, so what it may do is no matter.
    pub(crate) fn agreed(answer: &Extension<'_>) -> Option<Self> {
        let leaves_context = answer.parameters.contains(&("server_no_context_takeover", None));
        // This was not offered, so it cannot be answered (§7.1.2.2).
        let has_client_window = answer.parameters.iter().any(|(name, _)| *name == "client_max_window_bits");
        let is_ours = answer.name.eq_ignore_ascii_case(NAME) && leaves_context && !has_client_window;
        if is_ours { Self::accept(answer) } else { None }
    }
}

/// Digits alone, without a zero before them (§7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| is_number && WINDOW_BITS.contains(bits))
}

/// The extensions of the values of `Sec-WebSocket-Extensions` (RFC 6455 §9.1). Beyond so many, they are not looked at.
pub(crate) fn extensions<'a>(
    values: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Extension<'a>>, Malformed> {
    let mut all = Vec::new();
    for value in values {
        for element in split(value, ',') {
            let mut parts = split(element, ';').map(|part| part.trim_matches([' ', '\t']));
            let name = parts.next().unwrap_or_default();
            if name.is_empty() && parts.next().is_none() {
                // RFC 9110 §5.6.1.2: empty elements of a list are passed over.
                continue;
            }
            if !is_token(name) {
                return Err(Malformed);
            }
            let parameters = parts.map(parameter).collect::<Result<_, _>>()?;
            all.push(Extension { name, parameters });
            if all.len() == OFFERS {
                return Ok(all);
            }
        }
    }
    Ok(all)
}

fn parameter(text: &str) -> Result<(&str, Option<&str>), Malformed> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim_end_matches([' ', '\t']), Some(value.trim_matches([' ', '\t']))),
        None => (text, None),
    };
    // What is quoted has to be a token, too.
    let value = match value {
        Some(value) if value.starts_with('"') => Some(value[1..].strip_suffix('"').ok_or(Malformed)?),
        value => value,
    };
    if is_token(name) && value.is_none_or(is_token) { Ok((name, value)) } else { Err(Malformed) }
}

/// What lies between separators. A separator within quotes cannot be part of anything that is valid here, so quotes are
/// not looked at: a piece of them is no token.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator)
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{Deflate, extensions};

    /// What is answered to the values of a field; `None` where nothing is.
    fn answer(values: &[&str]) -> Option<String> {
        let offers = extensions(values.iter().copied()).unwrap();
        Deflate::choose(&offers).map(Deflate::answer)
    }

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn offers_are_accepted_without_context() {
        for offer in [
            "permessage-deflate",
            "Permessage-Deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=\"10\" ; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-deflate; unknown, permessage-deflate",
            ", permessage-deflate,,",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(PLAIN), "{offer}");
        }
        assert_eq!(answer(&["x-other; a=b", "permessage-deflate"]).as_deref(), Some(PLAIN));
    }

    #[test]
    fn what_cannot_be_done_is_declined() {
        for offer in [
            "x-other",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=300",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
    }

    #[test]
    fn a_small_window_is_kept_to() {
        let offers = extensions(["permessage-deflate; server_max_window_bits=9"]).unwrap();
        let deflate = Deflate::choose(&offers).unwrap();
        assert_eq!(deflate.answer(), format!("{PLAIN}; server_max_window_bits=9"));
        assert!(deflate.takes(512) && !deflate.takes(513));
        assert!(Deflate::choose(&extensions(["permessage-deflate"]).unwrap()).unwrap().takes(1 << 30));
    }

    #[test]
    fn what_is_no_list_of_extensions_is_told() {
        for field in
            ["a b", "a;", "a; b=", "a; b=\"c", "a; b=\"c;d\"", "a; b=\"\"", "=", "a; =b", ";", "a; b=\"c,d\""]
        {
            assert!(extensions([field]).is_err(), "{field}");
        }
    }
}
