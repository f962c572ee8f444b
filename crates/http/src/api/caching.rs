use tidings_protocol::{Selector, Start};

use crate::Api;
use crate::api::auth::Access;
use crate::api::query::ReadOptions;
use crate::delivery::caching::Caching;

impl Caching {
    /// Only what everybody may read is public; and only what follows a cursor is the same for whoever asks.
    pub(crate) fn of(api: &Api, access: &Access, selectors: &[Selector], options: &ReadOptions) -> Self {
        let seconds = u32::try_from(api.config.cache.as_secs()).unwrap_or(u32::MAX);
        let is_public = matches!(options.start, Some(Start::Cursor(_))) && access.is_public(selectors);
        if seconds > 0 && is_public { Self::Public(seconds) } else { Self::Private }
    }
}
