use serde_json::Value;
use tidings_protocol::{Page, Problem};

use super::Block;

/// The status and headers of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) version: String,
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

/// An answer that came whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

// === impl Head ===

impl Head {
    pub(crate) fn new(text: &str) -> Self {
        let mut lines = text.trim_end().split("\r\n");
        let mut first = lines.next().unwrap().splitn(3, ' ');
        let version = first.next().unwrap().to_owned();
        let status = first.next().unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self { version, status, headers: headers.collect() }
    }

    /// The value of a header that is there no more than once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The page of a poll that was answered with 200.
    #[track_caller]
    pub(crate) fn page(&self) -> Page {
        assert_eq!(self.status(), 200, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The id of an event that was published just now.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        assert_eq!(self.status(), 201, "{}", self.text());
        self.json()["id"].as_str().unwrap().to_owned()
    }

    /// The ids of a batch that was published just now.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<String> {
        assert_eq!(self.status(), 201, "{}", self.text());
        let json = self.json();
        json["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// What a stream was answered with that cannot begin now: one that ends, and says when to come back (§3.2).
    #[track_caller]
    pub(crate) fn put_off(&self) -> String {
        assert_eq!(self.status(), 200, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("text/event-stream"));
        assert!(self.header("retry-after").is_some());
        let block = Block::new(self.text());
        assert!((1..=10_000).contains(&block.retry.unwrap()), "{block:?}");
        assert!(block.id.is_none() && block.data.is_none() && block.event.is_none(), "{block:?}");
        self.text().to_owned()
    }

    /// The problem, which must be of this kind and as §4 and RFC 9457 have it. Returns its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, name: &str) -> String {
        assert_eq!(self.status(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!((problem.status, problem.kind), (status, format!("urn:tidings:{name}")));
        assert!(!problem.title.is_empty() && !problem.detail.is_empty());
        problem.detail
    }
}
