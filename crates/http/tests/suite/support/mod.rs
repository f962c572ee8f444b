//! A hub with its server, and clients that see every byte.

mod answer;
mod block;
mod certificates;
mod faulty;
pub(crate) mod frames;
mod h2;
mod renewable;
mod request;
mod running;
mod socket;
mod stream;
pub(crate) mod tokens;
mod wire;

use std::time::Duration;

pub(crate) use answer::{Answer, Head};
pub(crate) use block::Block;
pub(crate) use certificates::{Authority, Pair};
pub(crate) use faulty::FaultyLog;
pub(crate) use h2::{H2, H2Stream};
pub(crate) use renewable::RenewableLog;
pub(crate) use request::Request;
pub(crate) use running::{Running, Setup, texts};
pub(crate) use socket::{Socket, upgrade};
pub(crate) use stream::Stream;
pub(crate) use wire::Wire;

/// No wait of a test is longer, unless it says so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what is sure to come.
#[track_caller]
pub(crate) fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let Ok(value) = tokio::time::timeout(PATIENCE, future).await else {
            panic!("waited for more than {PATIENCE:?} at {caller}");
        };
        value
    }
}

/// Asks again and again until it is so; for what cannot be waited for.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
