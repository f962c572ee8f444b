//! The thread that wakes waiting tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};

use tidings_protocol::Topic;

use crate::hub_state::HubState;
use crate::supervisor::panic_message;
use crate::tail::Tail;
use crate::waiters::Waiters;
use crate::{Audience, End, PullLimits};

/// Wakes the tasks that wait, from a thread of its own: the log's writer has the next batch to write.
#[derive(Debug)]
pub(crate) struct TaskWaker {
    state: Arc<TaskWakerState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct TaskWakerState {
    waiting: Arc<Waiters>,
    ended: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

/// How much is taken from the tail at once to find those who wait for it.
const WAKE_LIMITS: PullLimits = PullLimits { events: 1_024, bytes: usize::MAX };

// === impl TaskWaker ===

impl TaskWaker {
    pub(crate) fn start(shared: &Arc<HubState>) -> Self {
        let state = Arc::new(TaskWakerState {
            waiting: Arc::clone(&shared.waiting),
            ended: AtomicBool::new(false),
            thread: std::sync::OnceLock::new(),
        });
        let (own, shared) = (Arc::clone(&state), Arc::clone(shared));
        // Not when the thread gets to run: what was published by then would wake nobody.
        let after = shared.with_tail(Tail::end);
        let run = move || own.run(&shared, after);
        let thread = std::thread::Builder::new().name("tidings-wake".into()).spawn(run);
        if let Err(error) = &thread {
            // Slower, and nobody waits in vain.
            tracing::error!(%error, "failed to start the thread that wakes waiting readers; the log's writer wakes them");
        }
        let thread = thread.ok();
        if let Some(thread) = &thread {
            drop(state.thread.set(thread.thread().clone()));
        }
        Self { state, thread }
    }

    /// Who is told of new entries.
    pub(crate) fn audience(&self) -> Arc<dyn Audience> {
        Arc::clone(&self.state) as Arc<dyn Audience>
    }
}

impl Drop for TaskWaker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

impl TaskWakerState {
    /// Wakes until it is told to end. Whatever fails is begun anew: a hub whose readers nobody wakes seems well, and
    /// keeps them waiting for ever.
    fn run(&self, shared: &HubState, mut after: End) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.wake_all_of(shared, &mut after))) {
            tracing::error!(panic = panic_message(&*panic), "failed to wake waiting readers, all are woken");
            after = shared.with_tail(Tail::end);
            self.waiting.wake_all();
        }
    }

    fn wake_all_of(&self, shared: &HubState, after: &mut End) {
        while !self.ended.load(Ordering::Acquire) {
            let recent = shared.with_tail(|tail| tail.all(after.latest, WAKE_LIMITS));
            match recent.filter(|recent| recent.lineage == after.lineage) {
                Some(recent) if recent.entries.is_empty() => std::thread::park(),
                Some(recent) => {
                    for entry in &recent.entries {
                        self.waiting.wake(entry.event());
                    }
                    after.latest = recent.next;
                }
                // The tail ran ahead of this thread, or is of another log: everyone may have something to read.
                None => {
                    *after = shared.with_tail(Tail::end);
                    self.waiting.wake_all();
                }
            }
        }
    }
}

impl Audience for TaskWakerState {
    fn wake(&self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.thread.get() {
            Some(thread) => thread.unpark(),
            // It could not be started, or is about to be, and then this is one wake-up too many.
            None => self.waiting.wake_all(),
        }
    }

    fn subscribers(&self, topic: &Topic, steps: &mut u64) -> usize {
        self.waiting.subscribers(topic, steps)
    }
}
