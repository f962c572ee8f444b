use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::FutureExt as _;
use tidings_log::{
    AppendError, Appended, Bounds, Follower, LogUnavailable, ReadError, TopicInfo, TopicPart, TopicQuery,
    TopicTable,
};
use tidings_protocol::{Cursor, Epoch, Event, Selection, Sequence, Timestamp, Topic};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::awaiting::{Awaiting, Publisher};
use crate::limits::{AHEAD, FULL, PATIENCE, RECONNECT, SWEEP};
use crate::replay::Replay;
use crate::trouble::Trouble;
use crate::{Attached, Engine, EngineConfig, EngineError, Fed, Marks, Seen};

/// What the log and its tasks share.
pub(crate) struct EngineState {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) config: EngineConfig,
    pub(crate) replay: Replay,
    /// Ends the tasks.
    pub(crate) ended: CancellationToken,
    /// Asks for the engine to be attached to anew: something else than the feed found it away.
    doubted: Notify,
    /// Asks whether the engine takes writes.
    unproven: Notify,
    /// How often the engine was attached to. Changes under the lock of the state.
    attachments: watch::Sender<u64>,
    /// Rung whenever publishers have been told.
    pub(crate) told: Notify,
    state: Mutex<State>,
}

struct State {
    bounds: Bounds,
    /// The last entry that was followed.
    last: Option<Arc<Event>>,
    marks: Marks,
    topics: TopicTable,
    follower: Option<Arc<dyn Follower>>,
    awaiting: Awaiting,
    trouble: Trouble,
    closed: bool,
    /// When topics were last forgotten.
    swept: Instant,
}

// === impl EngineState ===

impl EngineState {
    pub(crate) fn new(engine: Arc<dyn Engine>, config: EngineConfig, attached: &Attached) -> Self {
        let state = State {
            bounds: attached.bounds.clone(),
            last: None,
            marks: Marks::default(),
            topics: table(attached),
            follower: None,
            awaiting: Awaiting::default(),
            trouble: Trouble::default(),
            closed: false,
            swept: Instant::now(),
        };
        Self {
            replay: Replay::new(Arc::clone(&engine)),
            engine,
            config,
            ended: CancellationToken::new(),
            doubted: Notify::new(),
            unproven: Notify::new(),
            attachments: watch::Sender::new(0),
            told: Notify::new(),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.state().bounds.clone()
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.state();
        let cursor = Cursor::new(state.bounds.epoch(), state.bounds.latest);
        Seen { cursor, entry: state.last.clone(), marks: state.marks.clone() }
    }

    pub(crate) fn follow(&self, follower: Arc<dyn Follower>) -> Bounds {
        let mut state = self.state();
        state.follower = Some(follower);
        state.bounds.clone()
    }

    /// Takes new entries, gives them to the follower, and then tells the publishers who wait for them. The lock is
    /// held meanwhile, so that whoever begins to follow gets each entry once.
    pub(crate) fn fed(&self, fed: &Fed) {
        let mut state = self.state();
        for entry in &fed.entries {
            state.topics.note(entry);
        }
        // The follower first: where it fails, this is where the next attachment goes on, so that nothing is left out.
        let before = state.bounds.latest;
        if let Some(last) = fed.entries.last() {
            if let Some(follower) = &state.follower {
                follower.appended(&fed.entries);
            }
            state.last = Some(Arc::clone(last));
            state.marks.note(&fed.entries);
        }
        state.bounds.latest = before.max(fed.next);
        let last = fed.entries.last().map_or(0, |entry| entry.sequence);
        if fed.next > last.max(before)
            && let Some(follower) = &state.follower
        {
            follower.passed(fed.next);
        }
        let latest = state.bounds.latest;
        let reached = state.awaiting.reached(latest);
        drop(state);
        self.tell(reached.map(|(publisher, appended)| (publisher, Ok(appended))));
    }

    /// Takes what the engine holds, where it is still the log that is followed.
    pub(crate) fn trimmed(&self, epoch: Epoch, earliest: Sequence) {
        let mut state = self.state();
        if epoch != state.bounds.epoch() {
            return;
        }
        // Where all is discarded, the first that is kept is still to come.
        let earliest = earliest.min(state.bounds.latest + 1);
        if earliest > state.bounds.earliest {
            state.bounds.earliest = earliest;
            // Until then they are passed over.
            if state.swept.elapsed() >= SWEEP {
                state.swept = Instant::now();
                state.topics.forget_before(earliest);
            }
            if let Some(follower) = &state.follower {
                follower.trimmed(earliest);
            }
        }
    }

    /// The engine is there again. Where it keeps another log than before, everybody is told.
    pub(crate) fn attached(&self, attached: &Attached) {
        let mut state = self.state();
        self.attachments.send_modify(|attachments| *attachments += 1);
        // What was said of the one before.
        _ = self.doubted.notified().now_or_never();
        state.trouble.away = false;
        state.trouble.doubt = None;
        // As long as that is not known.
        state.trouble.refuses = true;
        self.unproven.notify_one();
        if attached.bounds.epoch() == state.bounds.epoch() {
            let earliest = attached.bounds.earliest;
            if earliest > state.bounds.latest + 1 {
                // What was discarded meanwhile was never seen here: whoever had not seen it either is told of a gap.
                state.bounds = Bounds { latest: earliest - 1, ..attached.bounds.clone() };
                state.last = None;
                state.topics.forget_before(earliest);
                if let Some(follower) = &state.follower {
                    follower.renewed(state.bounds.clone());
                }
            }
            drop(state);
            self.told.notify_waiters();
            return self.trimmed(attached.bounds.epoch(), earliest);
        }
        tracing::error!(
            engine = self.engine.name(),
            lost = %state.bounds.epoch(),
            epoch = %attached.bounds.epoch(),
            "the engine has lost events that it had acknowledged: the log has a new epoch, and readers who had seen them are \
             told of a gap"
        );
        let before = std::mem::replace(&mut state.bounds, attached.bounds.clone()).lineage;
        state.marks.keep(&before, &attached.bounds.lineage);
        state.last = None;
        state.topics = table(attached);
        self.replay.clear();
        if let Some(follower) = &state.follower {
            follower.renewed(attached.bounds.clone());
        }
        let lost = state.awaiting.lost(attached.bounds.epoch(), PATIENCE);
        drop(state);
        self.fail(lost);
    }

    /// Which attachment there is now.
    pub(crate) fn attachment(&self) -> u64 {
        *self.attachments.borrow()
    }

    /// Waits until the engine is attached to anew, or known to be away. Says whether it is there.
    pub(crate) async fn attached_after(&self, attachment: u64) -> bool {
        let mut attachments = self.attachments.subscribe();
        let newer = async {
            loop {
                let told = self.told.notified();
                tokio::pin!(told);
                told.as_mut().enable();
                if *attachments.borrow_and_update() > attachment {
                    return true;
                }
                if self.present().is_err() {
                    return false;
                }
                tokio::select! {
                    changed = attachments.changed() => if changed.is_err() { return false },
                    () = told => {}
                }
            }
        };
        timeout(RECONNECT, newer).await.unwrap_or(false)
    }

    /// Something went wrong with an attachment. Where there is a newer one, that is no longer of interest.
    pub(crate) fn doubt(&self, attachment: u64, error: EngineError) {
        let mut state = self.state();
        if attachment == self.attachment() {
            state.trouble.doubt = Some(error);
            self.doubted.notify_one();
        }
    }

    /// Waits until something went wrong with the present attachment, and says what.
    pub(crate) async fn doubted(&self) -> EngineError {
        self.doubted.notified().await;
        self.state().trouble.doubt.take().unwrap_or_else(|| EngineError::away("a write failed"))
    }

    /// The engine is away, until it is attached to again. Whoever runs the hub is told of each reason once.
    pub(crate) fn away(&self, error: &EngineError) {
        let mut state = self.state();
        state.trouble.away = true;
        if state.trouble.is_news(&error.to_string()) {
            tracing::warn!(engine = self.engine.name(), %error, "the engine is away");
        }
    }

    /// An attachment has ended, and the next is about to be made. Whether the engine is away, that shows.
    pub(crate) fn lost(&self, error: &EngineError) {
        if self.state().trouble.is_news(&error.to_string()) {
            tracing::warn!(engine = self.engine.name(), %error, "lost the engine, connecting anew");
        }
    }

    /// The engine has no room.
    pub(crate) fn full(&self, attachment: u64, reason: &str) {
        self.state().trouble.full = Some(Instant::now());
        self.refuses(attachment, reason);
    }

    /// Whether it is not long ago that the engine had no room.
    fn was_full(state: &State) -> bool {
        state.trouble.full.is_some_and(|full| full.elapsed() < FULL)
    }

    /// Nothing speaks against writes, as far as could be found out. Says whether nothing does.
    pub(crate) fn may_take_writes(&self, attachment: u64) -> bool {
        if Self::was_full(&self.state()) {
            self.unproven.notify_one();
            return false;
        }
        self.takes_writes(attachment);
        true
    }

    /// The engine is there, and takes no writes. What is said of an attachment that is over is of no interest.
    pub(crate) fn refuses(&self, attachment: u64, reason: &str) {
        let mut state = self.state();
        if attachment != self.attachment() {
            return;
        }
        state.trouble.refuses = true;
        self.unproven.notify_one();
        if state.trouble.is_news(reason) {
            tracing::warn!(engine = self.engine.name(), reason, "the engine takes no writes");
        }
    }

    /// The engine takes writes.
    pub(crate) fn takes_writes(&self, attachment: u64) {
        let mut state = self.state();
        if attachment != self.attachment() {
            return;
        }
        state.trouble.full = None;
        if std::mem::replace(&mut state.trouble.refuses, false) && state.trouble.is_over() {
            tracing::info!(engine = self.engine.name(), "the engine is back, and takes writes");
        }
    }

    /// Waits until it is to be found out whether the engine takes writes.
    pub(crate) async fn unproven(&self) {
        loop {
            self.unproven.notified().await;
            let state = self.state();
            if state.trouble.refuses && !state.trouble.away {
                return;
            }
        }
    }

    /// Adds a publisher whose batch is in the log.
    pub(crate) fn written(&self, attachment: u64, appended: Appended, publisher: Publisher) {
        let mut state = self.state();
        if appended.epoch != state.bounds.epoch() {
            drop(state);
            // The task that follows has not heard of it yet; or it has, and this is a late answer of the log before.
            self.doubt(attachment, EngineError::Renewed);
            return self.fail([publisher]);
        }
        // There is nothing of an empty batch to wait for.
        if appended.count > 0 && appended.last() > state.bounds.latest {
            return state.awaiting.add(appended, publisher);
        }
        drop(state);
        self.tell([(publisher, Ok(appended))]);
    }

    /// Gives up the publishers whose entries do not come.
    pub(crate) fn give_up(&self) {
        let mut state = self.state();
        let epoch = state.bounds.epoch();
        let lost = state.awaiting.lost(epoch, PATIENCE);
        drop(state);
        self.fail(lost);
    }

    fn fail(&self, publishers: impl IntoIterator<Item = Publisher>) {
        let unavailable = self.unavailable();
        self.tell(publishers.into_iter().map(|publisher| (publisher, Err(unavailable.clone().into()))));
    }

    pub(crate) fn tell(&self, answers: impl IntoIterator<Item = (Publisher, Result<Appended, AppendError>)>) {
        for (publisher, answer) in answers {
            publisher.tell(answer);
        }
        self.told.notify_waiters();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state().awaiting.is_empty()
    }

    pub(crate) fn ready(&self) -> Result<(), LogUnavailable> {
        let refuses = self.state().trouble.refuses;
        self.takes_appends()?;
        if refuses { Err(self.unavailable()) } else { Ok(()) }
    }

    /// Whether an append is worth a try. Where the engine refused the last one, only another can tell.
    pub(crate) fn takes_appends(&self) -> Result<(), LogUnavailable> {
        if self.state().closed {
            return Err(LogUnavailable { reason: "it was closed".into() });
        }
        self.present()
    }

    /// Whether the engine is there.
    pub(crate) fn present(&self) -> Result<(), LogUnavailable> {
        if self.state().trouble.away { Err(self.unavailable()) } else { Ok(()) }
    }

    /// Why a publication is refused. It goes out to publishers, so it names no host.
    pub(crate) fn unavailable(&self) -> LogUnavailable {
        LogUnavailable {
            reason: format!("{} does not answer as it should; try again later", self.engine.name()),
        }
    }

    pub(crate) fn unreadable(&self, error: &EngineError) -> ReadError {
        ReadError::Away { reason: format!("{}: {error}", self.engine.name()) }
    }

    pub(crate) fn shut(&self) {
        self.state().closed = true;
    }

    pub(crate) fn topic(&self, topic: &Topic) -> Option<TopicInfo> {
        let state = self.state();
        state.topics.get(topic.as_str()).filter(|info| info.latest >= state.bounds.earliest)
    }

    pub(crate) fn deleted_upto(&self, topic: &Topic) -> Sequence {
        self.state().topics.deleted_upto(topic.as_str())
    }

    /// Leaves out what no read gives any more.
    pub(crate) fn retain_readable(&self, entries: &mut Vec<Arc<Event>>) {
        self.state().topics.retain_readable(entries, Timestamp::now());
    }

    pub(crate) fn topic_count(&self) -> usize {
        self.state().topics.len()
    }

    pub(crate) fn topics(&self, query: &TopicQuery<'_>, steps: &mut u64) -> TopicPart {
        let state = self.state();
        state.topics.list(query, state.bounds.earliest, steps)
    }

    /// Waits until a place is followed that another hub has given out, which may be ahead of this one.
    pub(crate) async fn reaches(&self, cursor: Cursor) {
        let reached = async {
            loop {
                let told = self.told.notified();
                tokio::pin!(told);
                told.as_mut().enable();
                let Bounds { lineage, latest, .. } = self.bounds();
                if lineage.present() != cursor.epoch || latest >= cursor.sequence {
                    return;
                }
                told.await;
            }
        };
        // Who comes with a place that this hub cannot get to is told of a gap, which is the truth of what it can show.
        drop(timeout(AHEAD, reached).await);
    }

    /// Whether there can be entries after a place that concern the selection, as far as its topics tell.
    pub(crate) fn may_concern(&self, after: Sequence, selection: &Selection) -> bool {
        self.latest_of(selection) > after
    }

    /// A place after which nothing concerns the selection, as far as its topics tell.
    pub(crate) fn latest_of(&self, selection: &Selection) -> Sequence {
        let state = self.state();
        if !selection.patterns().is_empty() {
            return state.bounds.latest;
        }
        let latest = |topic: &Topic| {
            let latest = state.topics.get(topic.as_str()).map_or(0, |info| info.latest);
            latest.max(state.topics.deleted_upto(topic.as_str()))
        };
        selection.topics().iter().map(latest).max().unwrap_or(0)
    }
}

fn table(attached: &Attached) -> TopicTable {
    let mut table = TopicTable::default();
    attached.deletions.iter().for_each(|(topic, sequence)| table.note_deletion(topic, *sequence));
    attached.topics.iter().for_each(|info| table.note_info(info));
    table
}

impl fmt::Debug for EngineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("EngineState")
            .field("engine", &self.engine)
            .field("bounds", &state.bounds)
            .field("trouble", &state.trouble)
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}
