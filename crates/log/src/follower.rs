use std::sync::Arc;

use tidings_protocol::{Event, Sequence};

use crate::Bounds;

/// What wants every new entry of a log: the hub's recent tail.
///
/// A log has one follower, and calls it from its writer, so a follower does little and never waits.
pub trait Follower: Send + Sync + 'static {
    /// These entries are in the log, as durable as it promises. Called in order, once for each entry, and
    /// before the publisher is told, so that whoever was told finds the event.
    fn appended(&self, entries: &[Arc<Event>]);

    /// The log goes on after this place, and holds no further entry up to and including it: its numbers are left out.
    fn passed(&self, place: Sequence) {
        let _ = place;
    }

    /// Retention has discarded everything before `earliest`.
    fn trimmed(&self, earliest: Sequence);

    /// The log may have lost entries that it had acknowledged, so it goes on in another epoch.
    /// [`Lineage`](tidings_protocol::Lineage) says up to where it is the same log as before. What is given from now on
    /// comes after `bounds.latest`.
    fn renewed(&self, bounds: Bounds);
}
