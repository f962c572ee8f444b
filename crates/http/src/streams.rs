use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::Face;
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::paced::{STALL, Stall};
use crate::server::note_panic;
use crate::socket::Progress;

/// The tasks of the streams of one HTTP/2 connection. They end when the last of its clones is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tasks: Mutex<JoinSet<()>>,
    open: Arc<Open>,
    most: usize,
    idle_timeout: Duration,
    write_timeout: Duration,
    metrics: Arc<Metrics>,
    progress: Arc<Progress>,
}

/// How many there are, and since when there have been none.
#[derive(Debug)]
struct Open {
    count: AtomicUsize,
    idle: Mutex<Instant>,
}

/// One that is open for as long as this lives.
#[derive(Debug)]
struct Opened(Arc<Open>);

/// A stream that is given up when its client takes nothing of it for the write timeout. Nothing else would notice:
/// the body of a stream whose window is closed is never polled, and its connection is well.
struct Watched<F> {
    stream: Pin<Box<F>>,
    stall: Arc<Stall>,
    write_timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    metrics: Arc<Metrics>,
    progress: Arc<Progress>,
    _opened: Opened,
}

// === impl Streams ===

impl Streams {
    pub(crate) fn new(face: &Face, progress: Arc<Progress>) -> Self {
        Self(Arc::new(Shared {
            tasks: Mutex::default(),
            open: Arc::new(Open { count: AtomicUsize::new(0), idle: Mutex::new(Instant::now()) }),
            most: face.config.max_streams_per_connection as usize,
            idle_timeout: face.config.idle_timeout,
            write_timeout: face.config.write_timeout,
            metrics: Arc::clone(&face.metrics),
            progress,
        }))
    }

    /// Comes when no stream has been open for the idle timeout.
    pub(crate) async fn idle(&self) {
        loop {
            let since = *self.0.open.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let none = self.0.open.count.load(Ordering::Acquire) == 0;
            if none && since.elapsed() >= self.0.idle_timeout {
                return;
            }
            let from = if none { since } else { Instant::now() };
            sleep_until(from + self.0.idle_timeout).await;
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let shared = &self.0;
        if shared.open.count.fetch_add(1, Ordering::AcqRel) + 1 == shared.most {
            shared.metrics.count_limit(Limit::StreamsPerConnection);
        }
        let stall = Arc::new(Stall::default());
        let watched = Watched {
            stream: Box::pin(stream),
            stall: Arc::clone(&stall),
            write_timeout: shared.write_timeout,
            deadline: None,
            metrics: Arc::clone(&shared.metrics),
            progress: Arc::clone(&shared.progress),
            _opened: Opened(Arc::clone(&shared.open)),
        };
        let mut tasks = shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            note_panic(ended);
        }
        tasks.spawn(STALL.scope(stall, watched));
    }
}

// === impl Watched ===

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let own = &mut *self;
        if own.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = own.stall.since() else {
            own.deadline = None;
            return Poll::Pending;
        };
        // While the connection itself is full, a stream may have to wait for its turn. Its deadline is another.
        let due = own.progress.last_full().map_or(since, |full| full.max(since)) + own.write_timeout;
        let deadline = own.deadline.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if deadline.deadline() != due {
            deadline.as_mut().reset(due);
        }
        if deadline.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        tracing::debug!("gave up a stream that took no byte for the write timeout");
        own.metrics.slow_closes.inc();
        own.metrics.count_limit(Limit::WriteTimeout);
        Poll::Ready(())
    }
}

// === impl Opened ===

impl Drop for Opened {
    fn drop(&mut self) {
        *self.0.idle.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}
