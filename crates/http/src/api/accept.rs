use http::HeaderMap;
use http::header::ACCEPT;
use tidings_protocol::ProblemKind;

use crate::api::problem::Refusal;
use crate::api::query::{Query, shown};
use crate::delivery::frames::Form;

// === impl Form ===

impl Form {
    const ALL: [Self; 3] = [Self::Page, Self::Stream, Self::Lines];

    /// The form that `?as=` names, for clients that cannot set `Accept`; else the one that is accepted most gladly.
    pub(crate) fn of(headers: &HeaderMap, query: Option<&str>) -> Result<Self, Refusal> {
        match Query::new(query).get("as")? {
            None => Self::negotiate(headers),
            Some("json") => Ok(Self::Page),
            Some("sse") => Ok(Self::Stream),
            Some("ndjson") => Ok(Self::Lines),
            Some(other) => {
                Err(Refusal::query(format!("`as` is `sse`, `ndjson` or `json`, not `{}`", shown(other))))
            }
        }
    }

    /// The form that the request accepts most gladly (RFC 9110 §12.5.1); of equals, the earlier in `ALL`.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Self, Refusal> {
        // An empty one names nothing, as if it were absent.
        if headers.get_all(ACCEPT).iter().all(|value| value.as_bytes().trim_ascii().is_empty()) {
            return Ok(Self::Page);
        }
        let values = || headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<Range<'_>> =
            values().flat_map(|value| value.split(',')).filter_map(Range::read).collect();
        let mut best: Option<(u16, u8, Self)> = None;
        for form in Self::ALL {
            // The most specific range that matches says the quality.
            let range =
                ranges.iter().filter(|range| range.matches(form)).max_by_key(|range| range.specificity);
            if let Some(range) = range
                && range.quality > 0
                && best.is_none_or(|(quality, specificity, _)| {
                    (range.quality, range.specificity) > (quality, specificity)
                })
            {
                best = Some((range.quality, range.specificity, form));
            }
        }
        best.map(|(_, _, form)| form).ok_or_else(|| {
            let detail = "accept application/json, text/event-stream or application/x-ndjson";
            Refusal::new(ProblemKind::NotAcceptable, detail)
        })
    }
}

/// A media range with its quality, in thousandths.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    specificity: u8,
    quality: u16,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().ok()).flatten()
        });
        // Any number in range times 1,000 fits.
        let quality = (quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1_000.0) as u16;
        let specificity = u8::from(kind != "*") + u8::from(subtype != "*");
        Some(Self { kind, subtype, specificity, quality })
    }

    fn matches(&self, form: Form) -> bool {
        let (kind, subtype) = form.media_type().split_once('/').unwrap_or_default();
        (self.kind == "*" || self.kind.eq_ignore_ascii_case(kind))
            && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn negotiate(accept: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        Form::negotiate(&headers).ok()
    }

    #[test]
    fn the_form_that_is_accepted_most_gladly_is_chosen() {
        assert_eq!(Form::negotiate(&HeaderMap::new()), Ok(Form::Page));
        for (accept, form) in [
            ("*/*", Some(Form::Page)),
            ("text/event-stream", Some(Form::Stream)),
            ("Text/Event-Stream; charset=utf-8", Some(Form::Stream)),
            ("application/x-ndjson", Some(Form::Lines)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Form::Page)),
            ("text/*", Some(Form::Stream)),
            ("application/json;q=0.5, text/event-stream", Some(Form::Stream)),
            ("text/event-stream, */*", Some(Form::Stream)),
            ("*/*, application/json;q=0", Some(Form::Stream)),
            ("application/json;q=0", None),
            ("text/html", None),
            ("nonsense", None),
            ("", Some(Form::Page)),
        ] {
            assert_eq!(negotiate(accept), form, "{accept:?}");
        }
    }
}
