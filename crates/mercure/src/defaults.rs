//! The limits of the facade.

use std::time::Duration;

/// The most topics of one update, and the longest list of topics of a token's claim.
pub const TOPICS: usize = 100;
/// The most matchers in a token, in all of its lists.
pub const TOKEN_MATCHERS: usize = 1_000;
/// The longest topic or matcher, in bytes.
pub const MATCHER_BYTES: usize = 4_096;
/// The most URL patterns of one request or token: each is compiled to several regular expressions.
pub const URL_PATTERNS: usize = 20;
/// What the fields of an update beside its data may take of its body, in percent-encoded bytes.
pub const FIELD_BYTES: usize = 64 << 10;
/// The longest id that a publisher may choose, in bytes.
pub const ID_BYTES: usize = 1_024;
/// How many chosen ids can be resumed from: the newest. They take about 20 MB.
pub const IDS: usize = 500_000;
/// How long somebody who comes back waits until the ids before are known, where the hub has just begun.
pub const IDS_WAIT: Duration = Duration::from_secs(10);
/// The most active subscriptions that are listed.
pub const SUBSCRIPTIONS: usize = 100_000;
/// The cookies that may carry a token where none is named: those that the two versions of the protocol recommend.
pub const COOKIES: [&str; 2] = ["mercureAuthorization", "mercureAccessToken"];
