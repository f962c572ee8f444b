use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use http::Method;
use hyper::rt::{Sleep, Timer};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::delivery::parking::DISCARD_BYTES;
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::system::sending::send_now;
use crate::{Api, defaults, system::vanishing};

/// A connection that is watched: one that takes no byte for the write timeout fails, and what was read of it is
/// counted for the deadline of the next request's head.
///
/// The deadline is kept here because nothing above can: a body whose connection takes no bytes is never polled.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: TcpStream,
    write_timeout: Duration,
    stalled: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Whether the kernel took more at the last deadline, and may take more still.
    offers: bool,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
}

/// What the deadline of a request's head needs to know of its connection.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bytes_read: AtomicU64,
    /// Whether a request was served on it already.
    served: AtomicBool,
    /// Whether everything that was to be written is with the kernel.
    flushed: AtomicBool,
    /// Answers that are under way, from their request to the end of their body.
    answers: AtomicUsize,
    /// Those of them that wait for events.
    waits: AtomicUsize,
    /// Those of them that are looked for, and change nothing.
    reads: AtomicUsize,
    /// Whether something may have been written that is not with the kernel.
    unsent: AtomicBool,
    /// Who is to be woken when the end of what the client sends may be told.
    ended: AtomicWaker,
}

/// An answer that is under way, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Answering {
    progress: Arc<Progress>,
    /// Whether it is looked for still, and changes nothing.
    reads: bool,
}

/// How long the end of what a client sends is put off.
#[derive(Debug)]
pub(crate) struct Patience {
    progress: Arc<Progress>,
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Says to a handler how to tell that its answer waits for events.
#[derive(Debug, Clone)]
pub(crate) struct Attention(Arc<Progress>);

/// An answer that waits for events, for as long as this lives: a client that has left ends it.
#[derive(Debug)]
pub(crate) struct Waits(Arc<Progress>);

/// A timer for hyper's deadline on request heads that is kinder to connections between two requests: these may
/// be idle for longer than a head may take to arrive.
#[derive(Debug, Clone)]
pub(crate) struct HeadTimer {
    progress: Arc<Progress>,
    idle: Duration,
    metrics: Arc<Metrics>,
}

struct HeadSleep {
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    head: Duration,
    /// What had been read when the wait began, while nothing else has come.
    waiting: Option<u64>,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

// === impl Watched ===

impl Watched {
    pub(crate) fn new(socket: TcpStream, api: &Api, progress: Arc<Progress>) -> Self {
        let write_timeout = api.config.write_timeout;
        let metrics = Arc::clone(&api.metrics);
        Self { socket, write_timeout, stalled: None, offers: false, progress, metrics }
    }

    pub(crate) fn into_inner(self) -> TcpStream {
        self.socket
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            (self.stalled, self.offers) = (None, false);
            return written;
        }
        // The kernel speaks up only when a good part of its buffer is free again, for which a slow reader may need
        // longer than it has. So it is offered more at the deadline, as much as it takes.
        let offer = |own: &mut Self| match send_now(&own.socket, bytes) {
            Ok(count @ 1..) => {
                (own.stalled, own.offers) = (None, true);
                Some(Poll::Ready(Ok(count)))
            }
            Ok(_) | Err(_) => {
                own.offers = false;
                None
            }
        };
        if self.offers
            && let Some(taken) = offer(self)
        {
            return taken;
        }
        let limit = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        if let Some(taken) = offer(self) {
            return taken;
        }
        self.metrics.slow_closes.inc();
        self.metrics.count_limit(Limit::WriteTimeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the connection took no byte for too long")))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, buf));
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            vanishing::count(&self.metrics);
        }
        read?;
        self.progress.bytes_read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.progress.flushed.store(false, Ordering::Relaxed);
        self.progress.unsent.store(true, Ordering::Release);
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch(cx, written, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.flushed.store(false, Ordering::Relaxed);
        self.progress.unsent.store(true, Ordering::Release);
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.watch(cx, written, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the connection only when it has written everything that it held back.
        self.progress.flushed.store(true, Ordering::Relaxed);
        if self.progress.unsent.swap(false, Ordering::AcqRel) {
            self.progress.ended.wake();
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        // What was not read would have the close reset the connection, under the last bytes that it was sent.
        let mut rest = [0; DISCARD_BYTES];
        let _ = recv(&self.socket, &mut rest, RecvFlags::DONTWAIT);
        Poll::Ready(Ok(()))
    }
}

// === impl Progress ===

impl Progress {
    /// A request has arrived whole.
    pub(crate) fn request(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// Whether everything that was to be written is with the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
    }

    /// A request is being answered from now on.
    pub(crate) fn answering(self: &Arc<Self>, method: &Method) -> Answering {
        let reads = method.is_safe();
        self.answers.fetch_add(1, Ordering::AcqRel);
        self.reads.fetch_add(usize::from(reads), Ordering::AcqRel);
        Answering { progress: Arc::clone(self), reads }
    }

    /// Whether answers are under way, and all of them wait for events.
    pub(crate) fn waits_only(&self) -> bool {
        let answers = self.answers.load(Ordering::Acquire);
        answers > 0 && answers <= self.waits.load(Ordering::Acquire)
    }

    /// Whether answers are under way, and all of them wait for events, or are looked for still and change nothing.
    pub(crate) fn looks(&self) -> bool {
        let answers = self.answers.load(Ordering::Acquire);
        let reads = self.reads.load(Ordering::Acquire);
        answers > 0 && answers <= self.waits.load(Ordering::Acquire) + reads
    }

    /// How handlers tell that they wait.
    pub(crate) fn attention(self: &Arc<Self>) -> Attention {
        Attention(Arc::clone(self))
    }
}

// === impl Patience ===

impl Patience {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        Self { progress, deadline: None }
    }

    /// A client that has sent its request may stop sending, and still wants its answer (RFC 9112 §9.6). The HTTP
    /// library takes that for the end of the connection. So it is told of it only when no answer is under way but such
    /// as wait for events, or are looked for at length: for these the client may have left.
    ///
    /// Says whether the end is put off; then the task is woken when it may be told.
    pub(crate) fn puts_off_end(&mut self, cx: &mut Context<'_>) -> bool {
        let progress = &self.progress;
        progress.ended.register(cx.waker());
        if progress.unsent.load(Ordering::Acquire) {
            return true;
        }
        let count = |answers: &AtomicUsize| answers.load(Ordering::Acquire);
        let (answers, waits, reads) =
            (count(&progress.answers), count(&progress.waits), count(&progress.reads));
        if answers > waits + reads {
            return true;
        }
        let sleep = || Box::pin(tokio::time::sleep(defaults::LEAVE_GRACE));
        answers > waits && self.deadline.get_or_insert_with(sleep).as_mut().poll(cx).is_pending()
    }
}

// === impl Answering ===

impl Answering {
    /// It is known what the answer is.
    pub(crate) fn begun(mut self) -> Self {
        self.end_read();
        self
    }

    fn end_read(&mut self) {
        if std::mem::take(&mut self.reads) {
            self.progress.reads.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.end_read();
        // The last of it may be on its way to the socket.
        self.progress.unsent.store(true, Ordering::Release);
        self.progress.answers.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Attention ===

impl Attention {
    pub(crate) fn waits(&self) -> Waits {
        self.0.waits.fetch_add(1, Ordering::AcqRel);
        self.0.ended.wake();
        Waits(Arc::clone(&self.0))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waits.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether a read of so many bytes met the end of what the client sends. One that leaves TLS out of its end has stopped
/// sending as well.
pub(crate) fn is_end(read: &io::Result<()>, count: usize) -> bool {
    match read {
        Ok(()) => count == 0,
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
    }
}

// === impl HeadTimer ===

impl HeadTimer {
    pub(crate) fn new(api: &Api, progress: &Arc<Progress>) -> Self {
        let (progress, metrics) = (Arc::clone(progress), Arc::clone(&api.metrics));
        Self { progress, idle: api.config.idle_timeout, metrics }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let head = deadline.saturating_duration_since(Instant::now());
        let idle = self.progress.served.load(Ordering::Relaxed);
        let limit = if idle { self.idle.max(head) } else { head };
        Box::pin(HeadSleep {
            waiting: idle.then(|| self.progress.bytes_read.load(Ordering::Relaxed)),
            progress: Arc::clone(&self.progress),
            metrics: Arc::clone(&self.metrics),
            head,
            sleep: Box::pin(tokio::time::sleep(limit)),
        })
    }
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let own = &mut *self;
        if let Some(before) = own.waiting
            && own.progress.bytes_read.load(Ordering::Relaxed) != before
        {
            // The next head has begun: from here on it is as urgent as any.
            own.waiting = None;
            own.sleep.as_mut().reset(tokio::time::Instant::now() + own.head);
        }
        ready!(own.sleep.as_mut().poll(cx));
        let idle = own.waiting.is_some();
        own.metrics.count_limit(if idle { Limit::IdleTimeout } else { Limit::HeadTimeout });
        Poll::Ready(())
    }
}

impl Sleep for HeadSleep {}
