//! Memory that connections take together, in bytes, and how it is shared out among clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::defaults;
use crate::limit::Limit;
use crate::metrics::Metrics;

/// Memory that all connections have together, for one purpose. However many of them come, and however slowly each
/// sends or takes, there is no more; and no client has more than its share of it.
///
/// What is small has a reserve that what is large cannot take, in all and of each share: so a few large bodies that are
/// slow do not keep everybody's small ones out. Of what is not small, one is always let in, whatever its size.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<BudgetState>);

#[derive(Debug)]
struct BudgetState {
    bytes: usize,
    taken: Mutex<Taken>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Taken {
    all: Sizes,
    by_client: HashMap<Client, Sizes>,
}

/// The bytes of small, medium and large portions.
type Sizes = [usize; 3];

/// For whom memory is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// Whoever shows tokens of this subject.
    Subject(Arc<str>),
    /// An address, or the /64 of one of IPv6.
    Network(IpAddr),
    /// A router that is mounted elsewhere may not know where its requests come from. They are counted for nobody.
    Unknown,
}

/// A part of a budget, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Portion {
    budget: Budget,
    client: Client,
    bytes: usize,
}

/// Why a portion cannot grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// There is no more memory of this budget.
    All,
    /// The client has its share.
    Share,
}

// === impl Client ===

impl Client {
    /// What is counted together, as a refusal says it to whoever showed a token.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Subject(_) => "this subject",
            Self::Network(_) | Self::Unknown => "tokens of one address that name no subject",
        }
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(bytes: usize, metrics: &Arc<Metrics>) -> Self {
        Self(Arc::new(BudgetState { bytes, taken: Mutex::default(), metrics: Arc::clone(metrics) }))
    }

    /// Nothing of it yet.
    pub(crate) fn portion(&self, client: Client) -> Portion {
        Portion { budget: self.clone(), client, bytes: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn free(&self) -> usize {
        self.0.bytes - self.taken().all.iter().sum::<usize>()
    }
}

/// Which of the sizes a portion of so many bytes is of.
fn size(bytes: usize) -> usize {
    usize::from(bytes > defaults::SMALL_BYTES) + usize::from(bytes > defaults::MEDIUM_BYTES)
}

/// Whether there is room for so many bytes in some memory, beside what others have taken of it.
fn fits(bytes: usize, [small, medium, large]: Sizes, memory: usize) -> bool {
    let (most_medium, most_large) = (memory - memory / 8, memory - memory / 4);
    // A single one may take more than its size has.
    let capped = large.min(most_large);
    match size(bytes) {
        0 => small + (medium + capped).min(most_medium) + bytes <= memory,
        _ if medium + large == 0 => true,
        1 => small + medium + capped + bytes <= most_medium,
        _ => small + medium + large + bytes <= most_large,
    }
}

// === impl Portion ===

impl Portion {
    /// Makes it large enough for so many bytes, where there are so many.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Short> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let memory = self.budget.0.bytes;
        let mut taken = self.budget.taken();
        let mut all = taken.all;
        all[size(self.bytes)] -= self.bytes;
        if !fits(bytes, all, memory) {
            return Err(Short::All);
        }
        if self.client != Client::Unknown {
            let mut own = taken.by_client.get(&self.client).copied().unwrap_or_default();
            own[size(self.bytes)] -= self.bytes;
            if !fits(bytes, own, memory / defaults::CLIENT_SHARE) {
                return Err(Short::Share);
            }
            own[size(bytes)] += bytes;
            taken.by_client.insert(self.client.clone(), own);
        }
        all[size(bytes)] += bytes;
        taken.all = all;
        self.bytes = bytes;
        Ok(())
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is more than so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            return;
        }
        let mut taken = self.budget.taken();
        taken.all[size(self.bytes)] -= self.bytes;
        taken.all[size(bytes)] += bytes;
        if self.client != Client::Unknown
            && let Some(own) = taken.by_client.get_mut(&self.client)
        {
            own[size(self.bytes)] -= self.bytes;
            own[size(bytes)] += bytes;
            if *own == Sizes::default() {
                taken.by_client.remove(&self.client);
            }
        }
        self.bytes = bytes;
    }

    /// Counts that there is no memory for something, and says why. `what` is what the budget is for.
    pub(crate) fn explain(&self, short: Short, what: &str) -> String {
        self.budget.0.metrics.count_limit(Limit::BufferedBytes);
        let all = self.budget.0.bytes;
        let detail = match short {
            Short::All => {
                format!("{what} take all of the {all} bytes that the hub has for them (`max-buffered-bytes`)")
            }
            Short::Share => format!(
                "{what} of this client take its share of the hub's memory for them, {} of {all} bytes \
                 (`max-buffered-bytes`)",
                all / defaults::CLIENT_SHARE,
            ),
        };
        format!("{detail}; try again when some of them are done")
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = 64 << 20;
    const SHARE: usize = ALL / defaults::CLIENT_SHARE;
    const LARGE: usize = defaults::MEDIUM_BYTES + 1;

    fn budget() -> Budget {
        Budget::new(ALL, &Arc::new(Metrics::new()))
    }

    fn client(number: u8) -> Client {
        Client::Network([192, 0, 2, number].into())
    }

    /// Takes portions of so many bytes for a client until there is no more.
    fn exhaust(budget: &Budget, client: &Client, bytes: usize) -> (Vec<Portion>, Short) {
        let mut portions = Vec::new();
        loop {
            let mut portion = budget.portion(client.clone());
            match portion.grow(bytes) {
                Ok(()) => portions.push(portion),
                Err(short) => return (portions, short),
            }
        }
    }

    #[test]
    fn a_client_has_its_share_and_what_is_small_has_a_reserve_of_it() {
        let budget = budget();
        let (large, short) = exhaust(&budget, &client(1), LARGE);
        assert_eq!(short, Short::Share);
        assert!(large.len() * LARGE <= SHARE - SHARE / 4 && (large.len() + 1) * LARGE > SHARE - SHARE / 4);
        let (medium, short) = exhaust(&budget, &client(1), LARGE - 1);
        assert!(!medium.is_empty() && short == Short::Share);
        let (small, short) = exhaust(&budget, &client(1), 1_000);
        assert!(small.len() * 1_000 >= SHARE / 8 && short == Short::Share, "{}", small.len());
        assert!(budget.free() >= ALL - SHARE);
        // Others have theirs.
        assert!(!exhaust(&budget, &client(2), LARGE).0.is_empty());
        drop((large, medium, small));
        assert_eq!((budget.free(), budget.taken().by_client.len()), (ALL, 0));
    }

    #[test]
    fn all_clients_together_have_no_more_than_there_is() {
        let budget = budget();
        let taken: Vec<_> = (0..20).map(|number| exhaust(&budget, &client(number), LARGE)).collect();
        assert_eq!(taken.last().unwrap().1, Short::All);
        assert!(budget.free() >= ALL / 4);
        let small: Vec<_> = (0..99).map(|number| exhaust(&budget, &client(number), 1_000)).collect();
        assert!(small.last().unwrap().0.is_empty() && budget.free() < 1_000);
    }

    #[test]
    fn a_portion_grows_and_gives_back() {
        let budget = budget();
        let mut portion = budget.portion(client(1));
        for bytes in [1, 6_000, 100] {
            portion.grow(bytes).unwrap();
        }
        assert_eq!(budget.free(), ALL - 6_000);
        portion.shrink(4_000);
        assert_eq!(budget.free(), ALL - 4_000);
        // One that is alone may be of any size, and what is smaller finds room beside it.
        portion.grow(ALL).unwrap();
        assert_eq!(budget.portion(client(2)).grow(LARGE), Err(Short::All));
        budget.portion(client(1)).grow(LARGE - 1).unwrap();
        budget.portion(client(1)).grow(1_000).unwrap();
        drop(portion);
        budget.portion(client(2)).grow(LARGE).unwrap();
    }

    #[test]
    fn who_is_not_known_has_no_share() {
        let budget = budget();
        let (large, short) = exhaust(&budget, &Client::Unknown, LARGE);
        assert_eq!(short, Short::All);
        assert!(large.len() * LARGE > ALL / 2);
    }
}
