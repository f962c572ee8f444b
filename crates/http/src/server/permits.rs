use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::limit::Limit;
use crate::metrics::{Counted, Metrics, Speaks};
use crate::{Api, ClientAddress, HttpConfig};

/// The connections that a server may have: so many in all, and so many from one address.
#[derive(Debug, Clone)]
pub(crate) struct Permits(Arc<PermitPool>);

#[derive(Debug)]
struct PermitPool {
    free: Semaphore,
    /// Whether it has been counted that there is no room, since there last was.
    is_full: AtomicBool,
    config: Arc<HttpConfig>,
    /// Who has connections. As many as refer to an origin are open.
    origins: Mutex<HashMap<IpAddr, Weak<Origin>>>,
    metrics: Arc<Metrics>,
}

/// The leave of one connection to be open, wherever it is. Dropping it makes room for another; so the connection is
/// closed first.
#[derive(Debug)]
pub(crate) struct Permit {
    origin: Share,
    /// What it is known to speak.
    speaks: Option<Counted>,
}

/// What counts against the limit of an address for as long as it lives.
#[derive(Debug, Clone)]
pub(crate) struct Share(Arc<Origin>);

#[derive(Debug)]
struct Origin {
    permits: Permits,
    /// `None` for those whose connections are not counted.
    network: Option<IpAddr>,
}

// === impl Permits ===

impl Permits {
    pub(crate) fn new(api: &Api) -> Self {
        let most = api.config.max_connections.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(PermitPool {
            free: Semaphore::new(most),
            is_full: AtomicBool::new(false),
            config: Arc::clone(&api.config),
            origins: Mutex::default(),
            metrics: Arc::clone(&api.metrics),
        }))
    }

    /// Waits until there is room for one more connection. Who gives up waiting and begins again is counted once.
    pub(crate) async fn room(&self) -> Option<SemaphorePermit<'_>> {
        let room = match self.0.free.try_acquire() {
            Ok(room) => Some(room),
            Err(_) => {
                if !self.0.is_full.swap(true, Ordering::Relaxed) {
                    self.0.metrics.count_limit(Limit::Connections);
                }
                self.0.free.acquire().await.ok()
            }
        };
        self.0.is_full.store(false, Ordering::Relaxed);
        room
    }

    /// Gives a connection the room that there is for it, unless its address has too many.
    pub(crate) fn admit(&self, room: SemaphorePermit<'_>, from: ClientAddress) -> Option<Permit> {
        let origin = self.share(from)?;
        room.forget();
        self.0.metrics.connections.inc();
        Some(Permit { origin, speaks: None })
    }

    /// Gives a connection the room that there is for it. It counts for no address.
    pub(crate) fn admit_proxy(&self, room: SemaphorePermit<'_>) -> Permit {
        room.forget();
        self.0.metrics.connections.inc();
        Permit { origin: self.uncounted(), speaks: None }
    }

    /// Counts one more for an address, unless it has as many as it may.
    pub(crate) fn share(&self, from: ClientAddress) -> Option<Share> {
        let network = from.network();
        let mut origins = self.0.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(origin) = origins.get(&network)
            && let Some(shared) = origin.upgrade()
        {
            if origin.strong_count() <= self.0.config.max_connections_of(from.address()) {
                return Some(Share(shared));
            }
            drop(origins);
            self.0.metrics.count_limit(Limit::ConnectionsPerAddress);
            return None;
        }
        let origin = Arc::new(Origin { permits: self.clone(), network: Some(network) });
        origins.insert(network, Arc::downgrade(&origin));
        Some(Share(origin))
    }

    fn uncounted(&self) -> Share {
        Share(Arc::new(Origin { permits: self.clone(), network: None }))
    }
}

// === impl Share ===

impl Share {
    /// Whom it counts for, where that is known.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.0.network
    }
}

// === impl Permit ===

impl Permit {
    /// The connection is now counted for whom it is used by.
    pub(crate) fn count_for(&mut self, share: Share) {
        self.origin = share;
    }

    /// Whom the connection is counted for, where that is known.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.origin.0.network
    }

    /// The connection speaks a protocol.
    pub(crate) fn speaks(&mut self, speaks: Speaks) {
        self.speaks = Some(self.origin.0.permits.0.metrics.speaking(speaks));
    }

    /// The connection is a proxy's again, and counted for nobody.
    pub(crate) fn count_for_nobody(&mut self) {
        self.origin = self.origin.0.permits.uncounted();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let shared = &self.origin.0.permits.0;
        shared.metrics.connections.dec();
        shared.free.add_permits(1);
    }
}

// === impl Origin ===

impl Drop for Origin {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut origins = self.permits.0.origins.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have come from there meanwhile.
        if origins.get(&network).is_some_and(|origin| origin.strong_count() == 0) {
            origins.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;

    fn permits(most: usize) -> Permits {
        with(Some(most))
    }

    fn with(max_connections_per_address: Option<usize>) -> Permits {
        Permits(Arc::new(PermitPool {
            free: Semaphore::new(3),
            is_full: AtomicBool::new(false),
            config: Arc::new(HttpConfig { max_connections_per_address, ..HttpConfig::default() }),
            origins: Mutex::default(),
            metrics: Arc::new(Metrics::new()),
        }))
    }

    fn address(text: &str) -> ClientAddress {
        ClientAddress::new(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_so_many_and_no_more() {
        let permits = permits(2);
        let first = permits.share(address("192.0.2.1")).unwrap();
        let second = permits.share(address("192.0.2.1")).unwrap();
        assert!(permits.share(address("192.0.2.1")).is_none());
        let other = permits.share(address("192.0.2.2")).unwrap();
        drop(first);
        let third = permits.share(address("192.0.2.1")).unwrap();
        assert!(permits.share(address("192.0.2.1")).is_none());
        drop((second, third, other));
        assert!(permits.0.origins.lock().unwrap().is_empty(), "nobody is remembered who has none");
    }

    #[test]
    fn by_default_this_machine_has_as_many_as_it_likes() {
        let permits = with(None);
        let most = defaults::MAX_CONNECTIONS_PER_ADDRESS;
        let taken =
            |from: &str| (0..most + 1).map_while(|_| permits.share(address(from))).collect::<Vec<_>>().len();
        assert_eq!((taken("127.0.0.1"), taken("::1")), (most + 1, most + 1));
        assert_eq!((taken("192.0.2.1"), taken("2001:db8::1")), (most, most));
    }

    #[test]
    fn all_addresses_of_a_small_network_are_one() {
        let permits = permits(1);
        let _first = permits.share(address("2001:db8::1")).unwrap();
        assert!(permits.share(address("2001:db8::ffff:1")).is_none());
        assert!(permits.share(address("2001:db8:0:1::1")).is_some());
    }

    #[tokio::test]
    async fn who_waits_for_room_is_counted_once() {
        let permits = permits(3);
        let mut taken: Vec<_> = (0..3).map(|_| permits.0.free.try_acquire().unwrap()).collect();
        for waits in 1..3 {
            for _ in 0..5 {
                let waiting = permits.room();
                tokio::pin!(waiting);
                assert!(futures_util::poll!(waiting).is_pending());
            }
            assert_eq!(permits.0.metrics.limit(Limit::Connections), waits);
            taken.pop();
            taken.push(permits.room().await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_connection_makes_room_wherever_it_ends() {
        let permits = permits(1);
        let room = permits.room().await.unwrap();
        let mut permit = permits.admit(room, address("192.0.2.1")).unwrap();
        assert_eq!((permits.0.free.available_permits(), permits.0.metrics.connections.get()), (2, 1));
        let room = permits.room().await.unwrap();
        assert!(permits.admit(room, address("192.0.2.1")).is_none());
        assert_eq!(permits.0.free.available_permits(), 2);
        permit.count_for(permits.share(address("192.0.2.2")).unwrap());
        assert!(
            permits.share(address("192.0.2.1")).is_some() && permits.share(address("192.0.2.2")).is_none()
        );
        permit.count_for_nobody();
        assert!(permits.share(address("192.0.2.2")).is_some());
        drop(permit);
        assert_eq!((permits.0.free.available_permits(), permits.0.metrics.connections.get()), (3, 0));
    }
}
