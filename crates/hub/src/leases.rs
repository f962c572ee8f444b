//! Which streams are under way at the hubs of one log, so that what a killed hub left open is ended by another one, or by the
//! same when it is back.
//!
//! A hub leaves notes in the log ([`Log::put_notes`](tidings_log::Log::put_notes)): that it is there, a number that it counts
//! up, and what is under way at it, in [`PARTS`] parts of which only what has changed is written. The others look at them. A hub
//! whose number has stood still for the time of a lease is gone; nobody's clock is compared with another's. Whoever notices
//! takes over what it left. Where several do, the first one to end a topic has ended it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tidings_log::Note;
use tidings_protocol::Topic;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::journal::{Name, read_name, write_name};
use crate::producer::end_abandoned;
use crate::{Hub, ProducerOptions};

/// The streams of this hub, and what is known of those of the others.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// Under which name this hub leaves its notes, once it shares them.
    own_name: OnceLock<String>,
    state: Mutex<LeaseState>,
    changed: Notify,
    /// The last change that is written.
    written: watch::Sender<u64>,
    /// What the hubs of the log have said last, and when they were asked.
    seen: tokio::sync::Mutex<Option<(Instant, Arc<Hubs>)>>,
}

#[derive(Debug, Default)]
struct LeaseState {
    /// How often anything has changed.
    changes: u64,
    parts: [Part; PARTS],
}

#[derive(Debug, Default)]
struct Part {
    streams: BTreeMap<Name, Held>,
    is_written: bool,
}

/// A stream, as a hub tells the others of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    grace: Duration,
    /// How many producers are at work or waited for.
    producers: u32,
    /// Whether one is at work, as far as is known; else it is waited for.
    works: bool,
}

/// A stream that the others are told of, until this is dropped without [`keep`](Self::keep).
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Arc<Leases>,
    name: Name,
    is_kept: bool,
}

/// What the hubs of a log say.
#[derive(Debug, Default)]
pub(crate) struct Hubs(HashMap<String, HubNotes>);

#[derive(Debug, Default)]
struct HubNotes {
    count: String,
    /// The names of its notes.
    notes: BTreeSet<String>,
    streams: HashMap<Name, (Duration, bool)>,
}

/// What another hub has of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// Nothing.
    Nobody,
    /// A producer was there, and is waited for.
    Waits,
    /// A producer is at work there.
    Works,
}

/// In how many notes a hub tells of its streams.
pub(crate) const PARTS: usize = 16;
/// How often within the time of a lease a hub says that it is there, and looks after the others.
const BEATS: u32 = 5;
/// How long is waited at most until the others can know of a stream, at its beginning.
const TELL: Duration = Duration::from_secs(2);
/// How long is rested where notes cannot be written or read.
const RETRY: Duration = Duration::from_secs(1);
/// The note by which a hub says that it is there.
const COUNT: &str = "n";

// === impl Leases ===

impl Leases {
    /// Whether this hub tells others of its streams.
    pub(crate) fn is_shared(&self) -> bool {
        self.own_name.get().is_some()
    }

    /// The others are told of streams from now on, under this name, unless they are already.
    pub(crate) fn share(&self, own_name: String) -> bool {
        self.own_name.set(own_name).is_ok()
    }

    /// Tells the other hubs of a stream, where there may be some.
    pub(crate) fn begin(
        self: &Arc<Self>,
        topic: &Topic,
        options: &ProducerOptions,
        works: bool,
    ) -> Option<Lease> {
        if !self.is_shared() {
            return None;
        }
        let name = (topic.clone(), options.key.clone());
        self.change(&name, |streams| {
            let new = Held { grace: options.grace, producers: 0, works };
            let held = streams.entry(name.clone()).or_insert(new);
            held.producers += 1;
            (held.grace, held.works) = (options.grace, works || held.works);
        });
        Some(Lease { leases: Arc::clone(self), name, is_kept: false })
    }

    /// Waits until the other hubs can know what was said up to now, but not for long. Says whether they can.
    pub(crate) async fn told(&self) -> bool {
        let change = self.state().changes;
        timeout(TELL, self.is_written(change)).await.is_ok()
    }

    async fn is_written(&self, change: u64) {
        let mut written = self.written.subscribe();
        // It ends only with what sends.
        drop(written.wait_for(|written| *written >= change).await);
    }

    fn change(&self, name: &Name, change: impl FnOnce(&mut BTreeMap<Name, Held>)) {
        let mut state = self.state();
        state.changes += 1;
        let part = &mut state.parts[part_of(name)];
        change(&mut part.streams);
        part.is_written = false;
        drop(state);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, LeaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written, and up to which change that is.
    fn notes(&self, own_name: &str, count: u64) -> (Vec<Note>, u64) {
        let mut notes = vec![Note { name: format!("{own_name}.{COUNT}"), text: count.to_string() }];
        let mut state = self.state();
        for (index, part) in state.parts.iter_mut().enumerate() {
            if !std::mem::replace(&mut part.is_written, true) {
                notes.push(Note { name: format!("{own_name}.{index}"), text: part.text() });
            }
        }
        (notes, state.changes)
    }

    /// All parts are to be written, as it is not known what became of them.
    fn write_again(&self) {
        self.state().parts.iter_mut().for_each(|part| part.is_written = false);
    }

    /// What the hubs say, no earlier than now. Those who ask at the same time share one look.
    async fn look(&self, hub: &Hub) -> Option<Arc<Hubs>> {
        let now = Instant::now();
        let mut seen = self.seen.lock().await;
        if let Some((when, hubs)) = &*seen
            && *when >= now
        {
            return Some(Arc::clone(hubs));
        }
        let begun = Instant::now();
        let notes = match hub.log().notes().await {
            Ok(notes) => notes,
            Err(error) => {
                tracing::debug!(%error, "failed to look which streams are under way at other hubs");
                return None;
            }
        };
        let hubs = Arc::new(Hubs::of(&notes));
        *seen = Some((begun, Arc::clone(&hubs)));
        Some(hubs)
    }

    /// What another hub has of a stream; `None` where the log cannot be asked.
    pub(crate) async fn elsewhere(&self, hub: &Hub, name: &Name) -> Option<Elsewhere> {
        let own_name = self.own_name.get()?;
        let hubs = self.look(hub).await?;
        Some(hubs.elsewhere(name, &[own_name]))
    }
}

impl Part {
    fn text(&self) -> String {
        let mut text = String::new();
        for (name, held) in &self.streams {
            // A string takes all that is written to it.
            let _ = write!(text, "{} {} ", if held.works { '+' } else { '?' }, held.grace.as_millis());
            write_name(name, &mut text);
        }
        text
    }
}

fn part_of(name: &Name) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    usize::try_from(hasher.finish() % PARTS as u64).unwrap_or_default()
}

// === impl Lease ===

impl Lease {
    /// Its producer was cut off, and is waited for.
    pub(crate) fn leave(&self) {
        self.leases.change(&self.name, |streams| {
            if let Some(held) = streams.get_mut(&self.name) {
                held.works = held.producers > 1;
            }
        });
    }

    /// It stays, for whoever ends what this hub leaves open.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        self.leases.change(&self.name, |streams| {
            if let Some(held) = streams.get_mut(&self.name) {
                held.producers -= 1;
                if held.producers == 0 {
                    streams.remove(&self.name);
                }
            }
        });
    }
}

// === impl Hubs ===

impl Hubs {
    fn of(notes: &[Note]) -> Self {
        let mut hubs = HashMap::<String, HubNotes>::new();
        for Note { name, text } in notes {
            let Some((hub, part)) = name.split_once('.') else { continue };
            let own = hubs.entry(hub.to_owned()).or_default();
            own.notes.insert(name.clone());
            if part == COUNT {
                own.count.clone_from(text);
            } else {
                own.streams.extend(text.lines().filter_map(read_line));
            }
        }
        Self(hubs)
    }

    fn elsewhere(&self, name: &Name, but: &[&str]) -> Elsewhere {
        let others = self.0.iter().filter(|(hub, _)| !but.contains(&hub.as_str()));
        let mut found = Elsewhere::Nobody;
        for (_, works) in others.filter_map(|(_, hub)| hub.streams.get(name)) {
            if *works {
                return Elsewhere::Works;
            }
            found = Elsewhere::Waits;
        }
        found
    }
}

fn read_line(line: &str) -> Option<(Name, (Duration, bool))> {
    let mut parts = line.splitn(3, ' ');
    let works = match parts.next()? {
        "+" => true,
        "?" => false,
        _ => return None,
    };
    let grace = Duration::from_millis(parts.next()?.parse().ok()?);
    Some((read_name(parts.next()?)?, (grace, works)))
}

/// Tells the other hubs of this one, until the hub is closed.
pub(crate) async fn tell(hub: Hub, own_name: String, lease: Duration) {
    let leases = Arc::clone(&hub.shared().leases);
    let (mut count, mut due, mut is_failing) = (0_u64, Instant::now(), false);
    while !hub.is_closed() {
        if Instant::now() >= due {
            count += 1;
            due = Instant::now() + lease / BEATS;
        }
        let (notes, change) = leases.notes(&own_name, count);
        match hub.log().put_notes(notes).await {
            Ok(()) => {
                is_failing = false;
                leases.written.send_replace(change);
                drop(timeout(due.saturating_duration_since(Instant::now()), leases.changed.notified()).await);
            }
            Err(error) => {
                leases.write_again();
                if !std::mem::replace(&mut is_failing, true) && !hub.is_closed() {
                    tracing::warn!(%error, "failed to tell other hubs which streams are under way here");
                }
                sleep(RETRY.min(lease / BEATS)).await;
            }
        }
    }
}

/// Looks after the other hubs, and takes over what those leave that are gone, until the hub is closed.
pub(crate) async fn watch(hub: Hub, own_name: String, lease: Duration) {
    let leases = Arc::clone(&hub.shared().leases);
    // Each with its count, and since when it has stood still.
    let mut known = HashMap::<String, (String, Instant)>::new();
    let mut looked = Instant::now();
    while !hub.is_closed() {
        sleep(lease / BEATS).await;
        let Some(hubs) = leases.look(&hub).await else { continue };
        let now = Instant::now();
        if now.duration_since(looked) > lease / 2 {
            // While nobody could look, nobody could be seen to count either.
            known.clear();
        }
        looked = now;
        known.retain(|name, _| hubs.0.contains_key(name));
        let mut gone = Vec::new();
        for (name, notes) in hubs.0.iter().filter(|(name, _)| **name != own_name) {
            let (count, since) = known.entry(name.clone()).or_insert_with(|| (notes.count.clone(), now));
            if *count != notes.count {
                (*count, *since) = (notes.count.clone(), now);
            } else if now.duration_since(*since) >= lease {
                gone.push(name.as_str());
            }
        }
        if !gone.is_empty() {
            take_over(&hub, &hubs, &gone).await;
            gone.iter().for_each(|name| drop(known.remove(*name)));
        }
    }
}

/// Ends what hubs have left that are gone, each where no producer comes back in time.
async fn take_over(hub: &Hub, hubs: &Hubs, gone: &[&str]) {
    let mut left = Vec::new();
    let mut notes = Vec::new();
    for notes_of in gone.iter().filter_map(|name| hubs.0.get(*name)) {
        for (name, (grace, _)) in &notes_of.streams {
            let is_elsewhere = name.1.is_some() && hubs.elsewhere(name, gone) == Elsewhere::Works;
            if !is_elsewhere {
                let (topic, key) = name.clone();
                left.push((
                    topic,
                    ProducerOptions { key, grace: *grace, close: true, ..ProducerOptions::default() },
                ));
            }
        }
        notes.extend(notes_of.notes.iter().map(|name| Note { name: name.clone(), text: String::new() }));
    }
    if !left.is_empty() {
        tracing::info!(streams = left.len(), "another hub is gone; the streams that it left open are ended");
    }
    // They are remembered here before they are forgotten there.
    end_abandoned(hub, left);
    if !hub.shared().leases.told().await {
        return;
    }
    if let Err(error) = hub.log().put_notes(notes).await {
        tracing::debug!(%error, "failed to remove what a hub has left that is gone; it is looked at again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(topic: &str, key: Option<&str>) -> Name {
        (topic.parse().unwrap(), key.map(str::to_owned))
    }

    #[test]
    fn notes_say_what_is_under_way() {
        let leases = Arc::new(Leases::default());
        let (one, two) = (name("a b/- c", None), name("\u{fc}", Some("k=1")));
        for (name, works) in [(&one, true), (&two, false)] {
            leases.change(name, |streams| {
                let grace = Duration::from_millis(1_500);
                streams.insert(name.clone(), Held { grace, producers: 1, works });
            });
        }
        let (notes, change) = leases.notes("h1", 7);
        assert_eq!((notes.len(), change), (1 + PARTS, 2), "at first all is written");
        assert_eq!(leases.notes("h1", 8).0.len(), 1, "and then what has changed");
        let hubs = Hubs::of(&notes);
        let own = &hubs.0["h1"];
        assert_eq!((own.count.as_str(), own.streams.len()), ("7", 2));
        assert_eq!(own.streams[&two], (Duration::from_millis(1_500), false));
        assert_eq!(hubs.elsewhere(&one, &["h2"]), Elsewhere::Works);
        assert_eq!(hubs.elsewhere(&two, &["h2"]), Elsewhere::Waits);
        assert_eq!(hubs.elsewhere(&one, &["h1"]), Elsewhere::Nobody);
        for line in ["", "+", "+ x - a", "* 0 - a", "+ 0 k a", "+ 0 -"] {
            assert_eq!(read_line(line), None, "{line}");
        }
    }
}
