use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};

use hashbrown::HashTable;
use slab::Slab;
use tidings_hub::Folding;
use tidings_protocol::{Event, Selection};

use super::group_index::{GroupIndex, lock};
use crate::delivery::caching::Caching;
use crate::delivery::frames::Frames;
use crate::metrics::Transport;

/// What an entry waits for, and how it wants it. Entries with equal interests get the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Interest {
    pub(crate) selection: Arc<Selection>,
    pub(crate) folding: Folding,
    pub(crate) shape: Shape,
}

/// How an entry wants its events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// As a stream without an end.
    Stream {
        frames: Frames,
        transport: Transport,
        /// Silence after which it gets a heartbeat, in ticks of the wheel.
        heartbeat: u32,
    },
    /// As one page.
    Poll {
        /// The most events on it.
        limit: usize,
        /// How the page becomes a response; `None` where a handler waits for it, and sees to that.
        response: Option<PollResponse>,
    },
}

/// How a page becomes a response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PollResponse {
    /// The head of the response, but for what depends on the page.
    pub(crate) head: Arc<[u8]>,
    /// Whether the connection ends with the answer.
    pub(crate) close: bool,
    /// What shared caches may do with the page.
    pub(crate) caching: Caching,
}

/// The entries of a shard that have the same interest. Often that is one: each user of a hub may read a topic of their own.
#[derive(Debug)]
pub(super) struct Group {
    /// Names the group for ever: the number of a group that is gone is given to another.
    pub(super) serial: GroupSerial,
    pub(super) interest: Interest,
    members: Members,
    /// Where it is among the groups that the batch at hand concerns.
    pub(super) concerned: Option<u32>,
    /// The last question that it was found for.
    asked: u64,
}

/// Who is in a group.
#[derive(Debug)]
enum Members {
    One(u32),
    Many(Vec<u32>),
}

/// Names a group among all that a shard has had: what is kept for those who come back is kept under it, never under
/// the group's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct GroupSerial(u64);

/// The groups of a shard, found by what is published.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Slab<Group>,
    /// Their numbers, by the interests that stand in the groups.
    by_interest: HashTable<u32>,
    hashing: RandomState,
    index: Arc<Mutex<GroupIndex>>,
    /// How many events it was asked for.
    asked: u64,
    /// The serial of the newest group.
    serial: GroupSerial,
}

// === impl Shape ===

impl Shape {
    pub(super) fn is_poll(&self) -> bool {
        matches!(self, Self::Poll { .. })
    }

    /// Whether a shard makes all that is sent. Of other polls, a handler makes the response.
    pub(crate) fn is_answered_by_shard(&self) -> bool {
        !matches!(self, Self::Poll { response: None, .. })
    }
}

// === impl Groups ===

impl Groups {
    /// None so far. Others may ask `index` who waits; it is empty, too.
    pub(super) fn new(index: Arc<Mutex<GroupIndex>>) -> Self {
        Self {
            groups: Slab::new(),
            by_interest: HashTable::new(),
            hashing: RandomState::new(),
            index,
            asked: 0,
            serial: GroupSerial::default(),
        }
    }

    pub(super) fn get(&self, group: u32) -> &Group {
        &self.groups[group as usize]
    }

    pub(super) fn get_mut(&mut self, group: u32) -> &mut Group {
        &mut self.groups[group as usize]
    }

    /// Adds a member, and says in which group and at which place of it.
    pub(super) fn join(&mut self, interest: Interest, member: u32) -> (u32, u32) {
        let hash = self.hashing.hash_one(&interest);
        let groups = &mut self.groups;
        let Some(number) =
            self.by_interest.find(hash, |number| groups[*number as usize].interest == interest)
        else {
            return (self.add(interest, hash, member), 0);
        };
        (*number, groups[*number as usize].members.push(member))
    }

    /// Removes the member at a place. Says which member has that place now. A group without members is gone.
    pub(super) fn leave(&mut self, group: u32, place: u32) -> Option<u32> {
        let Some(moved) = self.get_mut(group).members.swap_remove(place) else {
            self.remove(group);
            return None;
        };
        moved
    }

    /// Calls back with each group that has to know of an event, once.
    pub(super) fn matching(&mut self, event: &Event, mut found: impl FnMut(u32, &mut Group)) {
        let Self { groups, index, asked, .. } = self;
        *asked += 1;
        lock(index).matching(&event.topic, |number| {
            let group = &mut groups[number as usize];
            // Several of its patterns may match.
            if std::mem::replace(&mut group.asked, *asked) != *asked && group.interest.selection.admits(event)
            {
                found(number, group);
            }
        });
    }

    /// An entry of the group waits for events from now on, and counts as a subscriber.
    pub(super) fn wait(&self, group: u32) {
        lock(&self.index).arrive(group);
    }

    /// An entry of the group waits for no events any more.
    pub(super) fn rest(&self, group: u32) {
        lock(&self.index).leave(group);
    }

    fn add(&mut self, interest: Interest, hash: u64, member: u32) -> u32 {
        let selection = Arc::clone(&interest.selection);
        self.serial.0 += 1;
        let group =
            Group { serial: self.serial, interest, members: Members::One(member), concerned: None, asked: 0 };
        let number = narrow(self.groups.insert(group));
        let (groups, hashing) = (&self.groups, &self.hashing);
        let rehash = |number: &u32| hashing.hash_one(&groups[*number as usize].interest);
        self.by_interest.insert_unique(hash, number, rehash);
        lock(&self.index).insert(&selection, number);
        number
    }

    fn remove(&mut self, number: u32) {
        let group = self.groups.remove(number as usize);
        let hash = self.hashing.hash_one(&group.interest);
        if let Ok(found) = self.by_interest.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        lock(&self.index).remove(&group.interest.selection, number);
    }
}

// === impl Group ===

impl Group {
    pub(super) fn members(&self) -> &[u32] {
        match &self.members {
            Members::One(member) => std::slice::from_ref(member),
            Members::Many(members) => members,
        }
    }
}

// === impl Members ===

impl Members {
    /// Adds one, and says at which place.
    fn push(&mut self, new: u32) -> u32 {
        match self {
            Self::One(one) => {
                *self = Self::Many(vec![*one, new]);
                1
            }
            Self::Many(members) => {
                members.push(new);
                narrow(members.len() - 1)
            }
        }
    }

    /// Removes the member at a place, and says which one has it now. `None`, where it was the only one.
    #[expect(clippy::option_option, reason = "whether others are left, and whether one of them has moved")]
    fn swap_remove(&mut self, place: u32) -> Option<Option<u32>> {
        match self {
            Self::One(_) => None,
            Self::Many(members) => {
                members.swap_remove(place as usize);
                let moved = members.get(place as usize).copied();
                (!members.is_empty()).then_some(moved)
            }
        }
    }
}

/// There are fewer entries in a shard than a process may have open files, which is far below 2³².
pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::delivery::frames::Form;
    use tidings_protocol::Selector;

    fn interest(selectors: &[&str], heartbeat: u32) -> Interest {
        let selectors = selectors.iter().map(|text| Selector::new(text).unwrap());
        let frames = Frames::new(Form::Stream, false, false);
        Interest {
            selection: Arc::new(Selection::new(selectors)),
            folding: Folding::default(),
            shape: Shape::Stream { frames, transport: Transport::Stream, heartbeat },
        }
    }

    #[test]
    fn equal_interests_share_a_group_for_as_long_as_it_has_members() {
        let mut groups = Groups::new(Arc::default());
        assert_eq!(groups.join(interest(&["a", "b"], 1), 7), (0, 0));
        assert_eq!(groups.join(interest(&["b", "a"], 1), 8), (0, 1));
        assert_eq!(groups.join(interest(&["a"], 2), 9), (1, 0));
        assert_eq!(groups.join(interest(&["*"], 1), 10), (2, 0));
        assert_eq!(groups.leave(0, 0), Some(8));
        assert_eq!(groups.leave(0, 0), None);
        assert_eq!(groups.leave(1, 0), None);
        assert_eq!(groups.leave(2, 0), None);
        assert!(lock(&groups.index).is_empty() && groups.by_interest.is_empty());
    }

    /// Where each subscriber reads a topic of its own, there is one for each.
    #[test]
    fn a_group_of_one_is_small() {
        assert!(size_of::<Group>() <= 192, "{}", size_of::<Group>());
    }

    #[test]
    fn a_number_is_given_again_and_a_serial_is_not() {
        let mut groups = Groups::new(Arc::default());
        let mut serials = HashSet::new();
        for topic in ["a", "b", "a"] {
            assert_eq!(groups.join(interest(&[topic], 1), 7), (0, 0));
            assert!(serials.insert(groups.get(0).serial));
            groups.leave(0, 0);
        }
    }

    #[test]
    fn a_group_is_found_once_for_an_event_whatever_of_it_matches() {
        let mut groups = Groups::new(Arc::default());
        groups.join(interest(&["a/*", "*/b", "**", "a/b"], 1), 7);
        groups.join(interest(&["x/*", "a/c"], 1), 8);
        let event = |sequence, topic: &str| Event {
            sequence,
            time: tidings_protocol::Timestamp::default(),
            topic: tidings_protocol::Topic::new(topic).unwrap(),
            event_type: None,
            format: tidings_protocol::Format::Text,
            data: bytes::Bytes::new(),
            closing: tidings_protocol::Closing::No,
            expires: None,
        };
        for (sequence, topic, expected) in [(1, "a/b", &[0][..]), (1, "a/b", &[0]), (3, "a/c", &[0, 1])] {
            let mut found = Vec::new();
            groups.matching(&event(sequence, topic), |number, _| found.push(number));
            found.sort_unstable();
            assert_eq!(found, expected, "{topic}");
        }
        assert_eq!(groups.leave(0, 0), None);
        assert_eq!(groups.leave(1, 0), None);
        assert!(lock(&groups.index).is_empty());
    }
}
