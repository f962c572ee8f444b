use std::any::Any;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use tokio::sync::watch;

/// Misses the threads that a hub cannot do without as soon as one of them ends.
///
/// A thread that [`spawn`](Supervisor::spawn) starts ends in one of three ways: its work is done, it says why it
/// cannot go on, or it panics. The last two are a [`ThreadFailure`]: [`Hub::ready`](crate::Hub::ready) tells it from
/// then on, and whoever waits for [`failed`](Supervisor::failed) hears of it. What the work owns is dropped before
/// that, so its connections are closed by then.
///
/// Clones are the same supervisor. A hub has one ([`Hub::supervisor`](crate::Hub::supervisor)), for whoever serves it too.
///
/// ```
/// use tidings_hub::Supervisor;
///
/// let supervisor = Supervisor::default();
/// let thread = supervisor.spawn("worker", || Err::<(), _>("its socket is gone"))?;
/// thread.join().expect("panics are caught");
/// assert_eq!(
///     supervisor.check().unwrap_err().to_string(),
///     "the thread `worker` has ended: its socket is gone; restart the hub"
/// );
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Supervisor {
    failed: Arc<watch::Sender<Option<ThreadFailure>>>,
}

/// A thread that a hub cannot do without has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the thread `{thread}` has ended: {reason}; restart the hub")]
pub struct ThreadFailure {
    /// Its name.
    pub thread: String,
    /// What it said, or what it panicked with.
    pub reason: String,
}

// === impl Supervisor ===

impl Default for Supervisor {
    fn default() -> Self {
        Self { failed: Arc::new(watch::Sender::new(None)) }
    }
}

impl Supervisor {
    /// Starts a thread that has to go on until its work is done.
    ///
    /// # Errors
    /// Where the system has no thread to give. Whoever asked decides whether the hub can do without.
    pub fn spawn<E: Display>(
        &self,
        name: impl Into<String>,
        work: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let (own, name) = (self.clone(), name.into());
        let thread = name.clone();
        Builder::new().name(name).spawn(move || match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => own.report(&thread, error),
            Err(panic) => own.report(&thread, format!("it panicked: {}", panic_message(&*panic))),
        })
    }

    /// Takes note that something named `thread` has ended and should not have. The first failure is kept.
    pub fn report(&self, thread: &str, reason: impl Display) {
        let failure = ThreadFailure { thread: thread.to_owned(), reason: reason.to_string() };
        tracing::error!(thread, reason = failure.reason, "a thread has ended that the hub cannot do without");
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(failure);
            first
        });
    }

    /// Whether all threads are there, or have done their work.
    ///
    /// # Errors
    /// [`ThreadFailure`] says which is not.
    pub fn check(&self) -> Result<(), ThreadFailure> {
        self.failed.borrow().clone().map_or(Ok(()), Err)
    }

    /// Waits until a thread has failed.
    pub async fn failed(&self) -> ThreadFailure {
        let mut failed = self.failed.subscribe();
        loop {
            let failure = failed.borrow_and_update().clone();
            match failure {
                Some(failure) => return failure,
                // It never closes while this holds a clone.
                None => drop(failed.changed().await),
            }
        }
    }
}

/// What a panic says.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_panic_is_told_after_what_the_thread_owned_is_gone() {
        let supervisor = Supervisor::default();
        let (owned, gone) = mpsc::channel::<()>();
        let thread = supervisor.spawn("frail", move || -> Result<(), String> {
            let _owned = owned;
            std::panic::resume_unwind(Box::new("a cord"))
        });
        let failure = supervisor.failed().await;
        assert_eq!((failure.thread.as_str(), failure.reason.as_str()), ("frail", "it panicked: a cord"));
        assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        thread.unwrap().join().unwrap();
        supervisor.report("another", "later");
        assert_eq!(supervisor.check().unwrap_err(), failure);
    }

    #[test]
    fn a_thread_that_is_done_is_not_missed() {
        let supervisor = Supervisor::default();
        supervisor.spawn("done", || Ok::<_, String>(())).unwrap().join().unwrap();
        assert_eq!(supervisor.check(), Ok(()));
    }
}
