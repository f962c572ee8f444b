use std::sync::Arc;

use tidings_protocol::Topic;

use crate::Audience;

/// Who waits, to be asked about many topics.
///
/// Each question goes to the indexes that also find whom an event is for, so it costs what the topic matches, not what
/// everybody waits for. All questions together look at so many segments and selections; what is said beyond that is less than there are.
pub struct Census {
    audiences: Vec<Arc<dyn Audience>>,
    /// How much is looked at still.
    steps: u64,
}

/// How many segments and selections a census looks at before it counts no more; about a second of work.
const STEPS: u64 = 10_000_000;

// === impl Census ===

impl Census {
    pub(crate) fn new(audiences: Vec<Arc<dyn Audience>>) -> Self {
        Self { audiences, steps: STEPS }
    }

    /// How many subscribers would get an event of `topic`.
    pub fn subscribers(&mut self, topic: &Topic) -> usize {
        let Self { audiences, steps } = self;
        audiences.iter().map(|audience| audience.subscribers(topic, steps)).sum()
    }
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").field("steps", &self.steps).finish_non_exhaustive()
    }
}
