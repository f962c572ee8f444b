pub(crate) mod bench;
pub(crate) mod endpoint;
pub(crate) mod slow_log;

use std::time::Duration;

use tokio::time::timeout;

pub(crate) use bench::{Answer, Bench};
pub(crate) use endpoint::{Asked, Endpoint};
pub(crate) use slow_log::SlowLog;

/// Waits for something that is to happen at once, for long enough on a loaded machine.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// What a caller got, without the ids.
pub(crate) fn without_ids(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with("id: ")).collect()
}

/// The ids that a caller got.
pub(crate) fn ids(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
}
