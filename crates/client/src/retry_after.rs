use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::defaults::RETRY_CEILING;

/// Reads `Retry-After`: seconds, or a date, which counts from `now`. No time at all names nothing: whoever comes back at
/// once, again and again, is no help to a hub that has too much to do.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let named = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    (!named.is_zero()).then(|| named.min(RETRY_CEILING))
}
