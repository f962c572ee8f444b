use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_log::{Position, ReadError};
use tidings_protocol::{
    Cursor, EndReason, Epoch, Gap, GapReason, Lineage, Selection, Sequence, Start, Timestamp, limits,
};
use tokio::task::yield_now;

use crate::waiters::WaiterGuard;
use crate::{Conflate, End, Entry, Hub, Look, Reader, Renewal};

/// What a subscription has not seen: a selection, and a cursor into the log.
///
/// Every transport is a loop over [`next`](Subscription::next), or over [`pull`](Subscription::pull) and
/// [`woken`](Subscription::woken). All of them may be dropped at any point without loss: the cursor moves only
/// when what it passed has been returned.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    selection: Arc<Selection>,
    /// How what it has not seen is folded.
    conflate: Option<Conflate>,
    /// Which log it reads, as it knows it.
    lineage: Lineage,
    /// How far it is: the same rules as for whoever reads over HTTP.
    reader: Reader,
    /// Where the last look ended that found something.
    until: Sequence,
    gap: Option<Gap>,
    /// The entry that ends the only topic of the selection, where that is known.
    end: Option<Sequence>,
    /// Why it ends there, where that is no clean end.
    reason: Option<EndReason>,
    place: Option<WaiterGuard>,
}

/// How much one pull gives at most. It gives at least one event where there is one, however large, and also where the
/// limits are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullLimits {
    /// Events.
    pub events: usize,
    /// Bytes of data and topics after which it ends.
    pub bytes: usize,
}

/// What a subscription had not seen.
#[derive(Debug, Clone, Default)]
pub struct Pull {
    /// Where something may be missing, before the entries.
    pub gap: Option<Gap>,
    /// The events, in order.
    pub entries: Vec<Arc<Entry>>,
    /// Whether there may be more right now.
    pub more: bool,
    /// Whether the only topic of the subscription has ended and everything of it is seen.
    pub ended: bool,
    /// Why it has ended, where that was no clean end.
    pub reason: Option<EndReason>,
}

/// How many looks at the log one pull takes before it returns with what it has, and for how long, so that a reader
/// whose events are rare among very many others gets an answer in time.
const LOOKS: usize = 64;
/// See [`LOOKS`].
const LOOKING: Duration = Duration::from_millis(250);

// === impl PullLimits ===

impl Default for PullLimits {
    fn default() -> Self {
        Self { events: limits::DEFAULT_PAGE_EVENTS, bytes: limits::PAGE_BYTES }
    }
}

// === impl Pull ===

impl Pull {
    /// Whether there is nothing to tell a reader.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gap.is_none() && self.entries.is_empty() && !self.ended
    }

    /// The time of the first event.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.entries.first().map(|entry| entry.event().time)
    }
}

// === impl Subscription ===

impl Subscription {
    pub(crate) async fn open(hub: Hub, selection: Selection, start: Start) -> Result<Self, ReadError> {
        let mut gap = None;
        let is_resumed = matches!(start, Start::Cursor(_) | Start::Foreign(_));
        let mut end = hub.end();
        let log = hub.log();
        let lost = match start {
            Start::Earliest => {
                end.latest = log.locate(Position::Earliest, &selection).await?;
                None
            }
            Start::Latest => None,
            Start::Last(count) => {
                end.latest = log.locate(Position::Last(count), &selection).await?;
                None
            }
            Start::Time(time) => {
                end.latest = log.locate(Position::Time(time), &selection).await?;
                None
            }
            Start::Age(age) => {
                let time = Timestamp::now().before(age);
                end.latest = log.locate(Position::Time(time), &selection).await?;
                None
            }
            Start::Foreign(text) => Some((GapReason::Unknown, text)),
            Start::Cursor(cursor) => {
                log.reaches(cursor).await;
                let bounds = hub.bounds();
                match bounds.resume(cursor) {
                    Ok(place) => {
                        end = End { lineage: bounds.lineage, latest: place };
                        None
                    }
                    Err(reason) => Some((reason, cursor.to_string())),
                }
            }
        };
        if let Some((reason, since)) = lost {
            let (found, resumed) = hub.gap(reason, since);
            gap = Some(found);
            end = resumed;
        }
        let End { lineage, latest: mut place } = end;
        let (mut end, mut reason) = (None, None);
        if let Some(topic) = selection.single_topic() {
            let deleted = hub.log().deleted_upto(topic);
            match hub.log().topic(topic).await? {
                Some(info) if info.closed => {
                    end = Some(info.latest);
                    reason = hub.end_reason(topic, info.latest).await?;
                }
                // Who comes back from that end is told of it again.
                None if deleted > 0 && deleted == place && is_resumed => {
                    (end, reason) = (Some(deleted), Some(EndReason::deleted()));
                }
                _ => {}
            }
            // Who begins anew knows nothing of what was deleted, so neither of that end.
            if !is_resumed {
                place = place.max(deleted.min(hub.end().latest));
            }
        }
        let (selection, reader) = (Arc::new(selection), Reader::new(place));
        Ok(Self {
            hub,
            selection,
            conflate: None,
            lineage,
            reader,
            until: place,
            gap,
            end,
            reason,
            place: None,
        })
    }

    /// Folds what was not seen, from the next pull on: so many events less, and none that matters to whoever asks for it.
    #[must_use]
    pub fn conflated(self, conflate: Option<Conflate>) -> Self {
        Self { conflate, ..self }
    }

    /// Everything up to and including this is seen.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.lineage.id(self.reader.cursor())
    }

    /// Where the look ended that the last pull made: with this end, [the same is found again](Look::until).
    #[must_use]
    pub fn until(&self) -> Sequence {
        self.until
    }

    /// The present epoch of the log, as far as it knows.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.lineage.present()
    }

    /// What it asks for.
    #[must_use]
    pub fn selection(&self) -> &Arc<Selection> {
        &self.selection
    }

    /// Whether the only topic of the subscription has ended and everything of it is seen, with no gap to tell.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.gap.is_none() && self.is_over()
    }

    /// Whether everything of the only topic of the subscription is seen, and it has ended; there may be a gap to tell.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.reader.cursor() >= end)
    }

    /// Why the only topic of the subscription has ended, where it has and that was no clean end.
    #[must_use]
    pub fn end_reason(&self) -> Option<&EndReason> {
        self.reason.as_ref().filter(|_| self.end.is_some())
    }

    /// The gap that the next pull will carry.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// Begins to hear of new entries. Called before the first read of a subscription that will wait, so that
    /// nothing can come between that read and the wait.
    pub fn listen(&mut self) {
        if self.place.is_none() {
            self.place = Some(self.hub.shared().waiting.join(&self.selection));
        }
    }

    /// Waits until there may be something new. Wake-ups that came since the last wait are kept.
    pub async fn woken(&self) {
        match &self.place {
            Some(place) => place.woken().await,
            None => std::future::pending().await,
        }
    }

    /// What is not seen yet, once there is something to tell.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    pub async fn next(&mut self, limits: PullLimits) -> Result<Pull, ReadError> {
        self.listen();
        loop {
            let pull = self.pull(limits).await?;
            if !pull.is_empty() {
                return Ok(pull);
            }
            if pull.more {
                // It has looked at much and found nothing: others have their turn.
                yield_now().await;
            } else {
                self.woken().await;
            }
        }
    }

    /// What is not seen yet, without waiting for more. The cursor also moves past what does not match.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    pub async fn pull(&mut self, limits: PullLimits) -> Result<Pull, ReadError> {
        let limits = PullLimits { events: limits.events.max(1), bytes: limits.bytes.max(1) };
        let mut pull = Pull::default();
        // The subscription itself changes only after the last await, so that a dropped pull changes nothing.
        let (mut lineage, mut reader, mut end) = (self.lineage.clone(), self.reader, self.end);
        let (mut gap, mut reason) = (self.gap.clone(), self.reason.clone());
        let (mut bytes, mut until, begun) = (0, reader.cursor(), Instant::now());
        for look in 0..LOOKS {
            // What is pending is folded at once, so that nothing of it is superseded by what comes later.
            let is_folded = self.conflate.is_some() && !pull.entries.is_empty();
            let full = is_folded || pull.entries.len() >= limits.events || bytes >= limits.bytes;
            let latest = self.hub.end();
            let renewed = latest.epoch() != lineage.present();
            let has_ended = end.is_some_and(|end| reader.cursor() >= end);
            pull.more = renewed || (!has_ended && reader.cursor() < latest.latest);
            if full || !pull.more {
                break;
            }
            if look > 0 {
                if begun.elapsed() > LOOKING {
                    break;
                }
                yield_now().await;
            }
            let left = PullLimits { events: limits.events - pull.entries.len(), bytes: limits.bytes - bytes };
            let (epoch, look) = (lineage.present(), Look::new(self.conflate, left));
            let recent = match self.hub.read_folded(epoch, reader.cursor(), &self.selection, look).await {
                Ok(found) if found.recent.epoch() == epoch => {
                    until = found.until;
                    found.recent
                }
                // A gap belongs after the entries, so it is for the next pull to find.
                Ok(_) | Err(ReadError::Expired { .. }) if !pull.entries.is_empty() => break,
                read @ (Ok(_) | Err(ReadError::Expired { .. })) => {
                    let present = self.hub.bounds().lineage;
                    let (reason, since) = match reader.renew(&lineage, &present, reader.cursor()) {
                        Renewal::Gap(reason, since) => (reason, since),
                        Renewal::GoesOn | Renewal::Unconcerned if read.is_ok() => {
                            end = end.filter(|end| present.place(lineage.id(*end)).is_ok());
                            lineage = present;
                            continue;
                        }
                        Renewal::GoesOn | Renewal::Unconcerned => {
                            (GapReason::Expired, lineage.id(reader.cursor()))
                        }
                    };
                    // Where a gap is to be told already, its reason was the first.
                    let (reason, since) =
                        gap.map_or_else(|| (reason, since.to_string()), |gap| (gap.reason, gap.since));
                    let (found, resumed) = self.hub.gap(reason, since);
                    gap = Some(found);
                    if resumed.epoch() != lineage.present() {
                        end = None;
                    }
                    reader.gap(resumed.latest);
                    lineage = resumed.lineage;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut next = recent.next;
            for entry in recent.entries {
                if self.selection.is_ended_by(entry.event()) {
                    end = Some(entry.event().sequence);
                    reason = entry.event().end_reason();
                    if entry.event().deletes() {
                        // What follows is of the topic that has begun anew.
                        next = entry.event().sequence;
                        break;
                    }
                }
                if self.selection.matches(entry.event()) {
                    bytes += entry.event().data.len() + entry.event().topic.as_str().len();
                    pull.entries.push(entry);
                }
            }
            reader.take(next, pull.entries.last().map(|entry| entry.event().sequence));
        }
        pull.ended = end.is_some_and(|end| reader.cursor() >= end);
        pull.reason = reason.clone().filter(|_| pull.ended);
        pull.gap = gap;
        (self.lineage, self.reader, self.until) = (lineage, reader, until);
        (self.end, self.reason, self.gap) = (end, reason, None);
        Ok(pull)
    }

    /// Whether there is another event right now. The cursor moves past what does not match.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    pub async fn has_more(&mut self) -> Result<bool, ReadError> {
        let begun = Instant::now();
        for look in 0..LOOKS {
            if look > 0 {
                if begun.elapsed() > LOOKING {
                    break;
                }
                yield_now().await;
            }
            let latest = self.hub.end();
            if latest.epoch() != self.lineage.present() {
                return Ok(true);
            }
            if self.reader.cursor() >= latest.latest || self.has_ended() {
                return Ok(false);
            }
            let (epoch, one) = (self.lineage.present(), PullLimits { events: 1, bytes: 1 });
            let recent = match self.hub.read(epoch, self.reader.cursor(), &self.selection, one).await {
                Ok(recent) => recent,
                Err(ReadError::Expired { .. }) => return Ok(true),
                Err(error) => return Err(error),
            };
            if recent.epoch() != epoch {
                return Ok(true);
            }
            let events = recent.entries.iter().map(|entry| entry.event());
            let mut tells =
                events.map(|event| self.selection.is_ended_by(event) || self.selection.matches(event));
            if tells.any(|tells| tells) {
                return Ok(true);
            }
            self.reader.pass(recent.next);
        }
        Ok(true)
    }
}
