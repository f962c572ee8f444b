use std::sync::{Mutex, MutexGuard, PoisonError};

/// The messages of a socket's client that wait for the task that serves them, in their order. The shard bounds them.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<Vec<String>>);

// === impl Inbox ===

impl Inbox {
    pub(crate) fn push(&self, message: String) {
        self.lock().push(message);
    }

    /// Takes out what has come.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
