use std::time::{SystemTime, UNIX_EPOCH};

use crate::defaults;
use crate::delivery::page::Page;

/// What shared caches may do with the pages of a poll (RFC 9111).
///
/// Many who poll the same public topic at the same cursor ask for the same URL, so a cache in front of the hub can hold
/// them all with one request. Nothing is hidden by that: what follows a cursor only grows, and a page that is older than
/// the log leads on with its `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caching {
    /// Nothing.
    Private,
    /// They may keep them for so many seconds.
    Public(u32),
}

// === impl Caching ===

impl Caching {
    /// The value of `Cache-Control`.
    pub(crate) fn control(self, page: &Page<'_>) -> String {
        match self {
            Self::Public(_) if page.pull.gap.is_some() => "no-store".into(),
            Self::Public(_) if page.is_empty() => {
                format!("public, max-age={}", defaults::CACHE_EMPTY_SECONDS)
            }
            Self::Public(seconds) => format!("public, max-age={seconds}"),
            Self::Private => "no-store".into(),
        }
    }

    /// What is appended to the `next` of a page that is empty: with the same cursor again, the next poll would be given
    /// the same page by the cache at once, and go round and round.
    pub(crate) fn moment(self) -> Option<u64> {
        match self {
            Self::Public(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(now.as_millis()).ok()
            }
            Self::Private => None,
        }
    }
}
