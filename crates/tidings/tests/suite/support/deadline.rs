use std::time::Duration;

use tokio::time::timeout;

/// How long a test waits for anything. Far longer than anything takes, even on a busy machine: a test that runs
/// into it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the future gives, which is to come in time.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}
