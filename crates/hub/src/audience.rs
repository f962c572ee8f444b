use std::sync::Arc;

use tidings_protocol::{Selection, Topic};

/// Somebody who wants to hear of new entries: the tasks that wait on subscriptions, or a thread that owns many
/// connections.
///
/// The hub's writer calls [`wake`](Audience::wake) after each batch, so it returns at once. Wake-ups merge: who
/// is woken reads everything since its last look from [`Hub::recent`](crate::Hub::recent).
pub trait Audience: Send + Sync + 'static {
    /// There are new entries.
    fn wake(&self);

    /// How many subscribers of this audience wait for topics that they name, `topic` among them, and for no pattern.
    fn named(&self, topic: &Topic) -> usize;

    /// The selections with a pattern that subscribers of this audience wait for, and how many wait for each. A
    /// selection may be told of more than once.
    fn patterns(&self) -> Vec<(Arc<Selection>, usize)>;
}
