use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_log::{Place as LogPlace, ReadError};
use tidings_protocol::{Cursor, Event, Gap, GapReason, Selection, Sequence, Start, Timestamp, limits};
use tokio::task::yield_now;

use crate::waiting::Place;
use crate::{Entry, Hub};

/// What a subscription has not seen: a selection, and a cursor into the log.
///
/// Every transport is a loop over [`next`](Subscription::next), or over [`pull`](Subscription::pull) and
/// [`woken`](Subscription::woken). All of them may be dropped at any point without loss: the cursor moves only
/// when what it passed has been returned.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    selection: Arc<Selection>,
    cursor: Cursor,
    gap: Option<Gap>,
    /// The entry that ends the only topic of the selection, where that is known.
    end: Option<Sequence>,
    place: Option<Place>,
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
#[derive(Debug, Default)]
pub struct Pull {
    /// Where something may be missing, before the entries.
    pub gap: Option<Gap>,
    /// The events, in order.
    pub entries: Vec<Arc<Entry>>,
    /// Whether there may be more right now.
    pub more: bool,
    /// Whether the only topic of the subscription has ended and everything of it is seen.
    pub ended: bool,
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
        let end = hub.end();
        let at = |sequence| Cursor::new(end.epoch, sequence);
        let cursor = match start {
            Start::Earliest => at(hub.log().locate(LogPlace::Earliest, &selection).await?),
            Start::Latest => end,
            Start::Last(count) => at(hub.log().locate(LogPlace::Last(count), &selection).await?),
            Start::Time(time) => at(hub.log().locate(LogPlace::Time(time), &selection).await?),
            Start::Age(age) => {
                let time = Timestamp::now().before(age);
                at(hub.log().locate(LogPlace::Time(time), &selection).await?)
            }
            Start::Foreign(text) => {
                let (found, cursor) = hub.gap(GapReason::Unknown, text);
                gap = Some(found);
                cursor
            }
            Start::Cursor(cursor) => {
                hub.log().reaches(cursor).await;
                match why_not(&hub, cursor) {
                    None => cursor,
                    Some(reason) => {
                        let (found, cursor) = hub.gap(reason, cursor.to_string());
                        gap = Some(found);
                        cursor
                    }
                }
            }
        };
        let mut end = None;
        if let Some(topic) = selection.single_topic() {
            let info = hub.log().topic(topic).await?;
            end = info.filter(|info| info.closed).map(|info| info.latest);
        }
        Ok(Self { hub, selection: Arc::new(selection), cursor, gap, end, place: None })
    }

    /// Everything up to and including this is seen.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// What it asks for.
    #[must_use]
    pub fn selection(&self) -> &Arc<Selection> {
        &self.selection
    }

    /// Whether the only topic of the subscription has ended and everything of it is seen, with no gap to tell.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.gap.is_none() && self.end.is_some_and(|end| self.cursor.sequence >= end)
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
        let (mut cursor, mut end) = (self.cursor, self.end);
        let mut gap = self.gap.clone();
        let (mut bytes, begun) = (0, Instant::now());
        for look in 0..LOOKS {
            let full = pull.entries.len() >= limits.events || bytes >= limits.bytes;
            let latest = self.hub.end();
            let renewed = latest.epoch != cursor.epoch;
            pull.more =
                renewed || (end.is_none_or(|end| cursor.sequence < end) && cursor.sequence < latest.sequence);
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
            let recent = match self.hub.read(cursor, &self.selection, left).await {
                Ok(recent) if recent.epoch == cursor.epoch => recent,
                // The gap belongs after the entries, so it is for the next pull to find.
                Ok(_) | Err(ReadError::Expired { .. }) if !pull.entries.is_empty() => break,
                lost @ (Ok(_) | Err(ReadError::Expired { .. })) => {
                    let reason = if lost.is_ok() { GapReason::Unknown } else { GapReason::Expired };
                    // Where a gap is to be told already, its reason was the first.
                    let (reason, since) =
                        gap.map_or_else(|| (reason, cursor.to_string()), |gap| (gap.reason, gap.since));
                    let (found, resumed) = self.hub.gap(reason, since);
                    gap = Some(found);
                    if resumed.epoch != cursor.epoch {
                        end = None;
                    }
                    cursor = resumed;
                    continue;
                }
                Err(error) => return Err(error),
            };
            cursor.sequence = recent.next;
            for entry in recent.entries {
                if entry.event().closes() && self.selection.single_topic().is_some() {
                    end = Some(entry.event().sequence);
                }
                if self.selection.matches(entry.event()) {
                    bytes += entry.event().data.len() + entry.event().topic.as_str().len();
                    pull.entries.push(entry);
                }
            }
        }
        pull.ended = end.is_some_and(|end| cursor.sequence >= end);
        pull.gap = gap;
        (self.cursor, self.end, self.gap) = (cursor, end, None);
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
            if latest.epoch != self.cursor.epoch {
                return Ok(true);
            }
            if self.cursor.sequence >= latest.sequence || self.has_ended() {
                return Ok(false);
            }
            let recent =
                match self.hub.read(self.cursor, &self.selection, PullLimits { events: 1, bytes: 1 }).await {
                    Ok(recent) => recent,
                    Err(ReadError::Expired { .. }) => return Ok(true),
                    Err(error) => return Err(error),
                };
            if recent.epoch != self.cursor.epoch {
                return Ok(true);
            }
            let ends = self.selection.single_topic().is_some();
            let tells = |event: &Event| (ends && event.closes()) || self.selection.matches(event);
            if recent.entries.iter().any(|entry| tells(entry.event())) {
                return Ok(true);
            }
            self.cursor.sequence = recent.next;
        }
        Ok(true)
    }
}

/// Why a cursor cannot be continued, where it cannot (§3.4).
fn why_not(hub: &Hub, cursor: Cursor) -> Option<GapReason> {
    let bounds = hub.bounds();
    if cursor.epoch != bounds.epoch {
        Some(GapReason::Unknown)
    } else if cursor.sequence > bounds.latest {
        Some(GapReason::Ahead)
    } else if cursor.sequence + 1 < bounds.earliest {
        Some(GapReason::Expired)
    } else {
        None
    }
}
