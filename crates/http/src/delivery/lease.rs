use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::delivery::memory::Client;

/// On what terms somebody reads who showed a token: until when, and counted for whom.
#[derive(Debug)]
pub(crate) struct Lease {
    /// When the token ends, and reading with it.
    pub(crate) until: Instant,
    share: Option<SubjectShare>,
    _kept: Option<Guard>,
}

/// Calls back when it is dropped: with the reader that it was kept with.
pub struct Guard(Option<Box<dyn FnOnce() + Send>>);

/// How many readers each subject of a token has, and each address that showed tokens without one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subjects(Arc<Mutex<HashMap<Client, usize>>>);

/// One reader that is counted for its subject for as long as this lives.
#[derive(Debug)]
pub(crate) struct SubjectShare {
    subjects: Subjects,
    counted: Client,
}

// === impl Lease ===

impl Lease {
    pub(crate) fn new(until: Instant, share: Option<SubjectShare>) -> Self {
        Self { until, share, _kept: None }
    }

    /// Keeps something for as long as the reader is there.
    pub(crate) fn keeping(self, kept: Option<Guard>) -> Self {
        Self { _kept: kept, ..self }
    }

    /// Whom it is counted for.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.share.as_ref().map(|share| &share.counted)
    }
}

// === impl Guard ===

impl Guard {
    /// Calls when it is dropped.
    pub fn new(over: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(over)))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(over) = self.0.take() {
            over();
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

// === impl Subjects ===

impl Subjects {
    /// Counts one more, unless there are as many as there may be.
    pub(crate) fn share(&self, counted: &Client, most: usize) -> Option<SubjectShare> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(counted.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(SubjectShare { subjects: self.clone(), counted: counted.clone() })
    }
}

// === impl SubjectShare ===

impl Drop for SubjectShare {
    fn drop(&mut self) {
        let mut counts = self.subjects.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.counted.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_so_many_and_is_forgotten_with_the_last() {
        let subjects = Subjects::default();
        let (ann, bob) = (Client::Subject("ann".into()), Client::Subject("bob".into()));
        let first = subjects.share(&ann, 2).unwrap();
        let second = subjects.share(&ann, 2).unwrap();
        assert!(subjects.share(&ann, 2).is_none());
        let other = subjects.share(&bob, 2).unwrap();
        drop(first);
        let third = subjects.share(&ann, 2).unwrap();
        drop((second, third, other));
        assert!(subjects.0.lock().unwrap().is_empty());
    }
}
