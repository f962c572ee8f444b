use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_log::{Bounds, Follower, Log};
use tidings_protocol::{Event, Sequence};
use tokio::sync::watch;
use tokio::time::timeout;

/// What a follower was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An entry, by its data.
    Entry(String),
    /// The log is another one.
    Renewed(Bounds),
    /// Everything before this is discarded.
    Trimmed(Sequence),
}

/// A follower that writes down what it is told.
#[derive(Debug, Default)]
pub struct Listener {
    told: Mutex<Vec<Notice>>,
    count: watch::Sender<usize>,
}

/// How long a listener waits for what is sure to come.
const PATIENCE: Duration = Duration::from_secs(60);

// === impl Listener ===

impl Listener {
    /// Follows a log.
    pub fn of(log: &dyn Log) -> Arc<Self> {
        let listener = Arc::new(Self::default());
        log.follow(Arc::clone(&listener) as Arc<dyn Follower>);
        listener
    }

    /// Everything that it was told.
    #[must_use]
    pub fn told(&self) -> Vec<Notice> {
        self.told.lock().unwrap().clone()
    }

    /// The data of every entry that it was told.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        let entry = |told| if let Notice::Entry(text) = told { Some(text) } else { None };
        self.told().into_iter().filter_map(entry).collect()
    }

    /// Waits until it was told something like this.
    pub async fn hears(&self, is_it: impl Fn(&Notice) -> bool) -> Notice {
        let mut count = self.count.subscribe();
        loop {
            count.borrow_and_update();
            if let Some(found) = self.told().into_iter().find(&is_it) {
                return found;
            }
            let changed = timeout(PATIENCE, count.changed()).await;
            changed.unwrap_or_else(|_| panic!("nothing more was told after {:?}", self.told())).unwrap();
        }
    }

    /// Waits until it was told that the log is another one: what that holds.
    pub async fn hears_of_loss(&self) -> Bounds {
        match self.hears(|told| matches!(told, Notice::Renewed(_))).await {
            Notice::Renewed(bounds) => bounds,
            Notice::Entry(_) | Notice::Trimmed(_) => unreachable!(),
        }
    }

    fn add(&self, told: impl IntoIterator<Item = Notice>) {
        self.told.lock().unwrap().extend(told);
        self.count.send_modify(|count| *count += 1);
    }
}

impl Follower for Listener {
    fn appended(&self, entries: &[Arc<Event>]) {
        self.add(
            entries.iter().map(|entry| Notice::Entry(String::from_utf8_lossy(&entry.data).into_owned())),
        );
    }

    fn trimmed(&self, earliest: Sequence) {
        self.add([Notice::Trimmed(earliest)]);
    }

    fn renewed(&self, bounds: Bounds) {
        self.add([Notice::Renewed(bounds)]);
    }
}
