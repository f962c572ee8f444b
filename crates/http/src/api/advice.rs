//! A word to whoever polls a busy topic again and again: a stream would take one request (§3.1).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, USER_AGENT};
use tidings_protocol::Sequence;

use crate::defaults;
use crate::delivery::memory::Client;
use crate::delivery::page::Advice;

/// What clients have polled lately, in bounded memory: a client whose set of slots is taken by others that poll is not advised.
#[derive(Debug, Default)]
pub(crate) struct Adviser {
    key: RandomState,
    slots: Mutex<Vec<Option<Slot>>>,
}

/// How many slots a client may have one of.
const WAYS: usize = 8;

/// One client's polls that brought something.
#[derive(Debug, Clone, Copy)]
struct Slot {
    client: u64,
    first: Instant,
    last: Instant,
    polls: u64,
    events: u64,
    /// Where its last page ended.
    next: Sequence,
    advised: Option<Instant>,
}

/// Who polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Poller(u64);

/// A poll that brought something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Polled {
    /// Where it began.
    pub(crate) asked: Sequence,
    /// Where its page ended.
    pub(crate) next: Sequence,
    pub(crate) events: usize,
}

// === impl Adviser ===

impl Adviser {
    /// Takes note of a poll, and says whether this is the moment for a word.
    pub(crate) fn polled(&self, Poller(client): Poller, poll: Polled) -> Option<Advice> {
        self.polled_at(client, poll, Instant::now())
    }

    fn polled_at(&self, client: u64, poll: Polled, now: Instant) -> Option<Advice> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.is_empty() {
            slots.resize(defaults::ADVISED_CLIENTS, None);
        }
        let sets = (slots.len() / WAYS) as u64;
        let set = usize::try_from(client % sets).unwrap_or_default() * WAYS;
        let set = &mut slots[set..set + WAYS];
        let fresh = Slot { client, first: now, last: now, polls: 0, events: 0, next: 0, advised: None };
        // Whoever was advised is remembered for as long as he is not to be advised again.
        let is_over = |slot: &Slot| now.duration_since(slot.last) > defaults::ADVICE_PAUSE;
        let own = set.iter().position(|slot| slot.is_some_and(|slot| slot.client == client));
        let place = match own {
            Some(place) => place,
            None => {
                let free = set.iter().position(|slot| slot.as_ref().is_none_or(is_over))?;
                set[free] = None;
                free
            }
        };
        let slot = set[place].get_or_insert(fresh);
        if now.duration_since(slot.first) > defaults::ADVICE_WINDOW {
            (slot.first, slot.polls, slot.events, slot.next) = (now, 0, 0, 0);
        }
        // The same events once more are no more events.
        if poll.asked < slot.next {
            return None;
        }
        (slot.last, slot.next) = (now, poll.next);
        slot.polls += 1;
        slot.events += poll.events as u64;
        let is_early = slot.advised.is_some_and(|at| now.duration_since(at) < defaults::ADVICE_PAUSE);
        if slot.polls < defaults::ADVICE_POLLS || is_early {
            return None;
        }
        let advice = Advice { polls: slot.polls, events: slot.events, time: now.duration_since(slot.first) };
        *slot = Slot { advised: Some(now), next: poll.next, ..fresh };
        Some(advice)
    }

    /// Who polls: as well as it can be told from others of the same address.
    pub(crate) fn poller(&self, client: &Client, headers: &HeaderMap) -> Poller {
        let mut hasher = self.key.build_hasher();
        client.hash(&mut hasher);
        for name in [USER_AGENT, AUTHORIZATION, COOKIE] {
            headers.get(name).map(http::HeaderValue::as_bytes).hash(&mut hasher);
        }
        Poller(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A poll that does not move, as of a client that has caught up.
    const SAME: Polled = Polled { asked: 7, next: 7, events: 1 };

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    /// At which of these moments, in seconds, a client that gets an event each time is advised.
    fn advised(adviser: &Adviser, client: u64, moments: impl Iterator<Item = f64>) -> Vec<f64> {
        let start = Instant::now();
        let poll = |(number, at): (u64, f64)| {
            let poll = Polled { asked: number, next: number + 1, events: 1 };
            adviser.polled_at(client, poll, after(start, at)).map(|_| at)
        };
        (0..).zip(moments).filter_map(poll).collect()
    }

    #[test]
    fn a_client_that_polls_again_and_again_is_told_once_a_minute() {
        let told = advised(&Adviser::default(), 7, (0..240).map(|half| f64::from(half) * 0.5));
        assert_eq!(told, [2.0, 62.0]);
    }

    #[test]
    fn a_client_that_polls_now_and_then_is_not() {
        assert_eq!(advised(&Adviser::default(), 7, (0..100).map(|poll| f64::from(poll) * 8.0)), [0.0; 0]);
    }

    #[test]
    fn the_same_events_again_are_not_counted_again() {
        let adviser = Adviser::default();
        let now = Instant::now();
        let poll = Polled { asked: 1, next: 9, events: 8 };
        assert!((0..100).all(|_| adviser.polled_at(7, poll, now).is_none()));
    }

    #[test]
    fn its_memory_is_bounded_and_who_comes_late_to_a_slot_waits_for_it() {
        let adviser = Adviser::default();
        let start = Instant::now();
        for client in 0..10 * defaults::ADVISED_CLIENTS as u64 {
            for _ in 0..2 * defaults::ADVICE_POLLS {
                adviser.polled_at(client, SAME, start);
            }
        }
        assert_eq!(adviser.slots.lock().unwrap().len(), defaults::ADVISED_CLIENTS);
        let late = 3 + defaults::ADVISED_CLIENTS as u64;
        let poll = |at| adviser.polled_at(late, SAME, after(start, at));
        assert!((0..50).all(|_| poll(59.0).is_none()));
        assert!((0..50).any(|_| poll(61.0).is_some()));
    }

    #[test]
    fn clients_of_one_address_are_told_apart() {
        let adviser = Adviser::default();
        let agent = |name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, http::HeaderValue::from_static(name));
            adviser.poller(&Client::Unknown, &headers)
        };
        assert_eq!(agent("a"), agent("a"));
        assert_ne!(agent("a"), agent("b"));
    }

    #[test]
    fn the_word_is_json() {
        for (time, words) in [(300, "in the last second;"), (2_100, "in the last 3 seconds;")] {
            let advice = Advice { polls: 5, events: 12, time: Duration::from_millis(time) };
            let mut page = b"{\"events\":[]".to_vec();
            advice.write(&mut page);
            page.push(b'}');
            let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
            assert_eq!(page["advice"]["transport"], "stream");
            let detail = page["advice"]["detail"].as_str().unwrap();
            assert!(detail.starts_with("12 events came by 5 polls") && detail.contains(words), "{detail}");
        }
    }
}
