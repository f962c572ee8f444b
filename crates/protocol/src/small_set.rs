use std::collections::HashSet;
use std::hash::Hash;

/// A set that most often has one member: a hub has one for each topic and each pattern that somebody reads, and most of them
/// are read by a single group of subscribers. With one member it allocates nothing.
///
/// ```
/// use tidings_protocol::SmallSet;
///
/// let mut set = SmallSet::default();
/// set.insert("ann");
/// set.insert("ben");
/// set.remove(&"ann");
/// assert_eq!(set.iter().collect::<Vec<_>>(), [&"ben"]);
/// ```
#[derive(Debug, Clone)]
pub struct SmallSet<T>(Members<T>);

#[derive(Debug, Clone)]
enum Members<T> {
    None,
    One(T),
    /// Two or more, or what is left of them.
    #[expect(
        clippy::box_collection,
        reason = "a pointer makes the set of one small, and sets of more are rare"
    )]
    Many(Box<HashSet<T>>),
}

// === impl SmallSet ===

impl<T> Default for SmallSet<T> {
    fn default() -> Self {
        Self(Members::None)
    }
}

impl<T> SmallSet<T> {
    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many members it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Members::None => 0,
            Members::One(_) => 1,
            Members::Many(set) => set.len(),
        }
    }

    /// Its members, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match &self.0 {
            Members::None => (None, None),
            Members::One(one) => (Some(one), None),
            Members::Many(set) => (None, Some(set)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|set| set.iter()))
    }
}

impl<T: Eq + Hash> SmallSet<T> {
    /// Adds a member. To add the same again changes nothing.
    pub fn insert(&mut self, new: T) {
        self.0 = match std::mem::replace(&mut self.0, Members::None) {
            Members::None => Members::One(new),
            Members::One(one) if one == new => Members::One(one),
            Members::One(one) => Members::Many(Box::new(HashSet::from([one, new]))),
            Members::Many(mut set) => {
                set.insert(new);
                Members::Many(set)
            }
        };
    }

    /// Removes a member, where it is there. A crowd that leaves takes its memory along.
    pub fn remove(&mut self, member: &T) {
        match &mut self.0 {
            Members::None => {}
            Members::One(one) => {
                if one == member {
                    self.0 = Members::None;
                }
            }
            Members::Many(set) => {
                set.remove(member);
                if set.len() <= 1 {
                    let last = set.drain().next();
                    self.0 = last.map_or(Members::None, Members::One);
                } else if set.len() * 4 < set.capacity() {
                    let room = set.len() * 2;
                    set.shrink_to(room);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((0_u8..6, any::<bool>()), 0..60)) {
            let (mut small, mut reference) = (SmallSet::default(), HashSet::new());
            for (member, adds) in steps {
                if adds {
                    small.insert(member);
                    reference.insert(member);
                } else {
                    small.remove(&member);
                    reference.remove(&member);
                }
                prop_assert_eq!(small.iter().copied().collect::<HashSet<_>>(), reference.clone());
                prop_assert_eq!((small.len(), small.is_empty()), (reference.len(), reference.is_empty()));
            }
        }
    }

    #[test]
    fn a_set_of_one_is_two_words() {
        assert_eq!(size_of::<SmallSet<u32>>(), 2 * size_of::<usize>());
    }
}
