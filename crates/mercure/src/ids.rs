//! Where the updates are in the log whose publishers chose an id, so that they can be resumed from.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use tidings_hub::{Hub, PullLimits, Subscription};
use tidings_log::ReadError;
use tidings_protocol::{Selection, Selector, Sequence, Start, Update};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::defaults;

/// The places of chosen ids. It is read from the log when it is asked for, so that it holds after a restart and where other hubs
/// publish; and it is bounded: beyond [`defaults::IDS`] the oldest are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Ids(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What is not read yet.
    subscription: Option<Subscription>,
    places: HashMap<u64, Sequence>,
    /// The hashes of the ids, the oldest first.
    order: VecDeque<u64>,
    hasher: RandomState,
}

const LIMITS: PullLimits = PullLimits { events: 4_096, bytes: 4 << 20 };

// === impl Ids ===

impl Ids {
    /// Reads what the log has, so that whoever comes back first need not wait.
    pub(crate) async fn warm(&self, hub: &Hub) -> Result<(), ReadError> {
        self.0.lock().await.catch_up(hub).await
    }

    /// The place of the newest update with an id. `None` where there is none, or where the log could not be read in time.
    pub(crate) async fn place(&self, hub: &Hub, id: &str) -> Result<Option<Sequence>, ReadError> {
        let look = async {
            let mut state = self.0.lock().await;
            state.catch_up(hub).await?;
            let hash = state.hasher.hash_one(id);
            Ok(state.places.get(&hash).copied())
        };
        timeout(defaults::IDS_WAIT, look).await.unwrap_or(Ok(None))
    }
}

// === impl State ===

impl State {
    async fn catch_up(&mut self, hub: &Hub) -> Result<(), ReadError> {
        if self.subscription.is_none() {
            let roots = Update::ROOTS.iter().filter_map(|root| Selector::new(&format!("{root}**")).ok());
            self.subscription = Some(hub.subscribe(Selection::new(roots), Start::Earliest).await?);
        }
        let Self { subscription: Some(subscription), places, order, hasher } = self else { return Ok(()) };
        loop {
            let pull = subscription.pull(LIMITS).await?;
            if pull.gap.is_some() {
                // It begins again with the earliest that there is, perhaps of another history.
                places.clear();
                order.clear();
            }
            for entry in &pull.entries {
                let Some(id) = Update::of(entry.event()).and_then(|update| update.id) else { continue };
                let hash = hasher.hash_one(&*id);
                if places.insert(hash, entry.event().sequence).is_none() {
                    order.push_back(hash);
                }
                if order.len() > defaults::IDS
                    && let Some(oldest) = order.pop_front()
                {
                    places.remove(&oldest);
                }
            }
            if !pull.more {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
}
