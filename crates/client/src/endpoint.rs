use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use tidings_protocol::Selector;

use crate::BuildError;

/// What stands for itself in a segment of a path: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a hub is, and so where each of its resources is.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    base: Url,
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn new(text: &str) -> Result<Self, BuildError> {
        let invalid = |reason: &str| BuildError::InvalidUrl { reason: reason.to_owned() };
        let base = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(invalid("it begins with http:// or https://"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(invalid("it holds no user name or password; give a token instead"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(invalid("it has no query and no fragment"));
        }
        let segments = || base.path().split('/').filter(|segment| !segment.is_empty());
        if segments().any(|segment| segment == "topics") || segments().next_back() == Some("events") {
            return Err(invalid("it ends before `/topics` and `/events`, which come of themselves"));
        }
        Ok(Self { base })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Whether it is on this machine, where no proxy stands between.
    pub(crate) fn is_loopback(&self) -> bool {
        self.base.host_str().is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        })
    }

    /// Whether a path can name the topic, also where something on the way normalizes paths. URLs take a segment `.` or
    /// `..` for a step, even where it is percent-encoded, and some proxies take several slashes for one.
    pub(crate) fn is_plain(topic: &str) -> bool {
        !topic.split('/').any(|segment| segment.is_empty() || is_step(segment))
    }

    /// `/topics/{topic}`; `None` where no URL can name it.
    ///
    /// A slash that is encoded keeps a segment `.` or `..` inside a longer one, unless a proxy decodes it. The topics `.`
    /// and `..` themselves cannot be helped.
    pub(crate) fn topic(&self, topic: &str) -> Option<Url> {
        let separator = if Self::is_plain(topic) { "/" } else { "%2F" };
        let path: Vec<String> =
            topic.split('/').map(|segment| utf8_percent_encode(segment, SEGMENT).to_string()).collect();
        (!is_step(topic)).then(|| self.join(&format!("topics/{}", path.join(separator))))
    }

    /// `/events`
    pub(crate) fn events(&self) -> Url {
        self.join("events")
    }

    /// Where the union of `selectors` is read.
    pub(crate) fn selectors(&self, selectors: &[Selector]) -> Url {
        if let [selector] = selectors
            && Self::is_plain(selector.as_str())
            && let Some(url) = self.topic(selector.as_str())
        {
            return url;
        }
        let mut url = self.events();
        url.query_pairs_mut().extend_pairs(selectors.iter().map(|selector| ("topic", selector.as_str())));
        url
    }

    /// A resource beside the topics and the events.
    pub(crate) fn at(&self, path: &str) -> Url {
        self.join(path)
    }

    fn join(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }
}

fn is_step(segment: &str) -> bool {
    segment == "." || segment == ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(base: &str) -> Endpoint {
        Endpoint::new(base).unwrap()
    }

    fn selectors(texts: &[&str]) -> Vec<Selector> {
        texts.iter().map(|text| Selector::new(text).unwrap()).collect()
    }

    #[test]
    fn each_segment_of_a_topic_is_encoded() {
        let at = endpoint("http://hub:1/");
        for (topic, url) in [
            ("orders/42", "http://hub:1/topics/orders/42"),
            ("a b/ü?#%2e", "http://hub:1/topics/a%20b/%C3%BC%3F%23%252e"),
            ("a//b", "http://hub:1/topics/a%2F%2Fb"),
            ("a/../b", "http://hub:1/topics/a%2F..%2Fb"),
            ("a\\b", "http://hub:1/topics/a%5Cb"),
        ] {
            assert_eq!(at.topic(topic).unwrap().as_str(), url);
        }
        assert!(at.topic("..").is_none() && at.topic(".").is_none());
    }

    #[test]
    fn a_prefix_of_the_base_is_kept() {
        for base in ["https://example.com/push", "https://example.com/push/"] {
            assert_eq!(endpoint(base).topic("a").unwrap().as_str(), "https://example.com/push/topics/a");
            assert_eq!(endpoint(base).events().as_str(), "https://example.com/push/events");
        }
    }

    #[test]
    fn several_selectors_are_parameters() {
        let at = endpoint("http://hub");
        assert_eq!(at.selectors(&selectors(&["a/*"])).as_str(), "http://hub/topics/a/%2A");
        assert_eq!(
            at.selectors(&selectors(&["a b", "c/**"])).as_str(),
            "http://hub/events?topic=a+b&topic=c%2F**"
        );
        for (selector, parameter) in [("..", ".."), ("a//b", "a%2F%2Fb"), ("a/./b", "a%2F.%2Fb")] {
            let url = format!("http://hub/events?topic={parameter}");
            assert_eq!(at.selectors(&selectors(&[selector])).as_str(), url);
        }
    }

    #[test]
    fn what_is_no_place_of_a_hub_is_refused() {
        for base in [
            "",
            "hub:8080",
            "ftp://hub",
            "http://u:secret@hub",
            "http://hub/?x=1",
            "http://hub/#x",
            "http://hub/topics",
            "http://hub/topics/",
            "http://hub/push/topics/orders",
            "http://hub/events",
        ] {
            let error = Endpoint::new(base).unwrap_err();
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn loopback_is_known() {
        for base in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost"] {
            assert!(endpoint(base).is_loopback(), "{base}");
        }
        for base in ["http://hub", "http://10.0.0.1", "http://[2001:db8::1]"] {
            assert!(!endpoint(base).is_loopback(), "{base}");
        }
    }

    proptest! {
        #[test]
        fn the_path_decodes_to_the_topic(topic in "(\\PC|/|\\.|%){1,20}") {
            prop_assume!(tidings_protocol::Topic::new(&topic).is_ok());
            prop_assume!(!is_step(&topic));
            let url = endpoint("http://hub").topic(&topic).unwrap();
            let path = url.path().strip_prefix("/topics/").unwrap();
            prop_assert_eq!(percent_encoding::percent_decode_str(path).decode_utf8().unwrap(), topic);
        }
    }
}
