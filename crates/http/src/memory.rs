use std::sync::Arc;

use tidings_protocol::ProblemKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::problem::Refusal;

/// Memory that all connections have together, for one purpose. However many of them come, and however slowly each
/// sends or takes, there is no more.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A part of a budget, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Portion {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    units: usize,
}

/// What is counted at once, in bytes.
const UNIT: usize = 1 << 10;

// === impl Budget ===

impl Budget {
    pub(crate) fn new(bytes: usize, metrics: &Arc<Metrics>) -> Self {
        let units = (bytes / UNIT).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), metrics: Arc::clone(metrics) }
    }

    /// Nothing of it yet.
    pub(crate) fn portion(&self) -> Portion {
        Portion { budget: self.clone(), held: None, units: 0 }
    }
}

// === impl Portion ===

impl Portion {
    /// Makes it large enough for so many bytes, where there are so many.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let units = bytes.div_ceil(UNIT);
        let Some(more) = units.checked_sub(self.units).filter(|more| *more > 0) else { return Ok(()) };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(taken) = Arc::clone(&self.budget.free).try_acquire_many_owned(more) else {
            self.budget.metrics.count_limit(Limit::BufferedBytes);
            let detail = "too much is on its way to or from the hub at this moment";
            return Err(Refusal::new(ProblemKind::Unavailable, detail));
        };
        match &mut self.held {
            Some(held) => held.merge(taken),
            held => *held = Some(taken),
        }
        self.units = units;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_more_than_there_is() {
        let budget = Budget::new(10 << 10, &Arc::new(Metrics::new()));
        let (mut first, mut second) = (budget.portion(), budget.portion());
        first.grow(1).unwrap();
        first.grow(6_000).unwrap();
        first.grow(100).unwrap();
        assert_eq!(budget.free.available_permits(), 4);
        assert!(second.grow(5_000).is_err());
        second.grow(4_096).unwrap();
        assert!(second.grow(4_097).is_err() && first.grow(6_145).is_err());
        drop(first);
        second.grow(10_240).unwrap();
        drop(second);
        assert_eq!(budget.free.available_permits(), 10);
    }
}
