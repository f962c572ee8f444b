use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::delivery::memory::Client;

/// Turns at work that is done for few requests at once. A client waits for its own requests first and only then for those
/// of others, with one request at a time: so nobody waits behind a hundred of somebody else.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<TurnQueues>);

#[derive(Debug)]
struct TurnQueues {
    all: Arc<Semaphore>,
    clients: Mutex<HashMap<Client, Weak<Semaphore>>>,
}

/// A turn, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Turn {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

/// Clients that are remembered before those are forgotten that want nothing any more.
const CLIENTS: usize = 1_024;

// === impl Turns ===

impl Turns {
    pub(crate) fn new(at_once: usize) -> Self {
        Self(Arc::new(TurnQueues { all: Arc::new(Semaphore::new(at_once)), clients: Mutex::default() }))
    }

    /// Waits for a turn; `None` where there are none any more.
    pub(crate) async fn next(&self, client: Client) -> Option<Turn> {
        let own = self.of(client).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.0.all).acquire_owned().await.ok()?;
        Some(Turn { _all: all, _own: own })
    }

    fn of(&self, client: Client) -> Arc<Semaphore> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = clients.get(&client).and_then(Weak::upgrade) {
            return own;
        }
        if clients.len() >= CLIENTS {
            clients.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(1));
        clients.insert(client, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn nobody_waits_behind_a_hundred_of_another() {
        let turns = Turns::new(1);
        let (many, one) = (Client::Subject("many".into()), Client::Subject("one".into()));
        let first = turns.next(many.clone()).await.unwrap();
        let mut others: Vec<_> = (0..100).map(|_| Box::pin(turns.next(many.clone()))).collect();
        for other in &mut others {
            assert!(other.as_mut().now_or_never().is_none());
        }
        let mut own = Box::pin(turns.next(one));
        assert!(own.as_mut().now_or_never().is_none());
        drop(first);
        // It came after all of them, and is the next but none.
        let own = own.now_or_never().flatten();
        assert!(own.is_some());
        drop(own);
        for other in others {
            drop(other.await.unwrap());
        }
    }

    #[test]
    fn clients_that_want_nothing_are_forgotten() {
        let turns = Turns::new(1);
        for number in 0..10 * CLIENTS {
            drop(turns.of(Client::Subject(number.to_string().into())));
        }
        assert!(turns.0.clients.lock().unwrap().len() <= CLIENTS);
    }
}
