//! What was published, and what became of it.

/// An event, whoever has it still.
pub(super) struct Published {
    pub(super) topic: &'static str,
    pub(super) text: String,
    /// How many had been published when the log lost it.
    pub(super) lost: Option<usize>,
}

/// What the log was given, and in which order; the present one, and those that it was before.
#[derive(Default)]
pub(super) struct History {
    pub(super) all: Vec<Published>,
    /// Of each log, the places in `all` of its events: the first has the sequence number 1.
    pub(super) logs: Vec<Vec<usize>>,
}

// === impl History ===

impl History {
    pub(super) fn concerns(&self, place: usize, selector: &str) -> bool {
        selector == "**" || self.all[place].topic == selector
    }

    pub(super) fn find(&self, text: &str) -> usize {
        self.all.iter().position(|event| event.text == text).expect("an event that nobody published")
    }

    /// Whether the topic of an event has a newer one.
    pub(super) fn is_superseded(&self, place: usize) -> bool {
        let topic = self.all[place].topic;
        self.all[place + 1..].iter().any(|event| event.topic == topic)
    }

    /// The place of what follows a sequence number in the present log, or in whichever of those before.
    pub(super) fn after(&self, sequence: u64, is_present: bool) -> usize {
        let sequence = usize::try_from(sequence).unwrap();
        let logs = if is_present { &self.logs[self.logs.len() - 1..] } else { &self.logs };
        let found = logs.iter().filter_map(|log| log.get(sequence)).min();
        found.copied().unwrap_or(self.all.len())
    }
}
