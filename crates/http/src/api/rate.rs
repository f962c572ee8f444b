//! How often somebody may publish.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::request::Parts;
use tidings_protocol::ProblemKind;

use crate::api::auth::Access;
use crate::api::problem::Refusal;
use crate::delivery::memory::Client;
use crate::limit::Limit;
use crate::{Api, ClientAddress, HttpConfig, defaults};

/// The publications that each address and each subject of a token have left.
#[derive(Debug)]
pub(crate) struct Rates {
    address: Option<Rate<IpAddr>>,
    subject: Option<Rate<Client>>,
}

#[derive(Debug)]
struct Rate<K: Clone + Eq + Hash> {
    limiter: RateLimiter<K, DashMapStateStore<K>, DefaultClock>,
    clock: DefaultClock,
    most: NonZeroU32,
    /// Publications since those were forgotten who have all of theirs again.
    since: AtomicU32,
}

// === impl Rates ===

impl Rates {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self {
            address: NonZeroU32::new(config.publish_rate_per_address).map(Rate::new),
            subject: NonZeroU32::new(config.publish_rate_per_subject).map(Rate::new),
        }
    }

    /// Counts a publication, before its body is read.
    pub(crate) fn check(&self, api: &Api, parts: &Parts, access: &Access) -> Result<(), Refusal> {
        self.check_at(api, parts.extensions.get::<ClientAddress>().copied(), access)
    }

    /// Counts a publication that comes from an address, as far as that is known.
    pub(crate) fn check_at(
        &self,
        api: &Api,
        address: Option<ClientAddress>,
        access: &Access,
    ) -> Result<(), Refusal> {
        self.check_counted(api, address, access.counted_as(address))
    }

    /// Counts a publication that comes from an address, and for whoever showed a token.
    pub(crate) fn check_counted(
        &self,
        api: &Api,
        address: Option<ClientAddress>,
        counted: Option<Client>,
    ) -> Result<(), Refusal> {
        if let (Some(rate), Some(client)) = (&self.address, address) {
            let refuse = |wait| refusal(api, Limit::PublishRatePerAddress, "this address", rate.most, wait);
            rate.check(&client.network()).map_err(refuse)?;
        }
        let Some(rate) = &self.subject else { return Ok(()) };
        if let Some(counted) = counted {
            let refuse = |wait| refusal(api, Limit::PublishRatePerSubject, counted.name(), rate.most, wait);
            rate.check(&counted).map_err(refuse)?;
        }
        Ok(())
    }
}

fn refusal(api: &Api, limit: Limit, who: &str, most: NonZeroU32, wait: Duration) -> Refusal {
    api.metrics.count_limit(limit);
    let detail = format!("{who} may publish {most} times a second; put events together into batches");
    let seconds = wait.as_millis().div_ceil(1_000);
    Refusal::new(ProblemKind::TooManyRequests, detail).retry_after(u64::try_from(seconds).unwrap_or(u64::MAX))
}

// === impl Rate ===

impl<K: Clone + Eq + Hash> Rate<K> {
    fn new(most: NonZeroU32) -> Self {
        let clock = DefaultClock::default();
        let limiter = RateLimiter::new(Quota::per_second(most), DashMapStateStore::default(), clock.clone());
        Self { limiter, clock, most, since: AtomicU32::new(0) }
    }

    /// Counts one more; else says how long it is until there may be.
    fn check(&self, key: &K) -> Result<(), Duration> {
        // Whoever comes from ever new addresses is not remembered for ever.
        if self.since.fetch_add(1, Ordering::Relaxed) >= defaults::RATE_TIDY {
            self.since.store(0, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}
