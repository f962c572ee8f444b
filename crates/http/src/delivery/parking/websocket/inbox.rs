use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::delivery::memory::Portion;

/// The messages of a socket's client that wait for the task that serves them, in their order. The shard bounds them.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    messages: Vec<String>,
    /// The memory that they are counted in, where their socket is gone: they are served all the same.
    memory: Option<Portion>,
}

// === impl Inbox ===

impl Inbox {
    pub(crate) fn push(&self, message: String) {
        self.lock().messages.push(message);
    }

    /// Takes out what has come.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().messages)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    /// Keeps the memory of what is under way until that is served.
    pub(crate) fn keep(&self, memory: Portion) {
        self.lock().memory = Some(memory);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
