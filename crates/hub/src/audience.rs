use tidings_protocol::Topic;

/// Somebody who wants to hear of new entries: the tasks that wait on subscriptions, or a thread that owns many
/// connections.
///
/// The hub's writer calls [`wake`](Audience::wake) after each batch, so it returns at once. Wake-ups merge: who
/// is woken reads everything since its last look from [`Hub::recent`](crate::Hub::recent).
pub trait Audience: Send + Sync + 'static {
    /// There are new entries.
    fn wake(&self);

    /// How many subscribers of this audience would get an event of `topic`, each once. What is looked at for that takes
    /// `steps`; when none are left, the answer is less than there are.
    fn subscribers(&self, topic: &Topic, steps: &mut u64) -> usize;
}
