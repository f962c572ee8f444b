//! Both logs do what a naive model does, whatever comes in whatever order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tidings_log::{
    AppendError, Batch, Close, DiskConfig, DiskLog, Idempotency, Log, MemoryLog, Position, ReadError,
    ReadLimits, Retention, Scope,
};
use tidings_protocol::{
    Closing, EndReason, EventType, Format, NewEvent, Selection, Selector, Sequence, Topic,
};

#[derive(Debug, Clone)]
enum Step {
    Append { events: Vec<(usize, u8, usize)>, close: Option<(usize, bool)>, key: Option<u8> },
    Delete { topic: usize },
    Read { back: u64, selectors: Vec<usize>, typed: bool, entries: usize },
    Last { count: usize, selector: usize },
    Reopen,
    Tidy,
}

const TOPICS: [&str; 5] = ["a", "a/b", "a/c", "b", "ü"];
const SELECTORS: [&str; 7] = ["**", "a", "a/*", "a/**", "b", "none", "ü"];

fn step() -> impl Strategy<Value = Step> {
    let event = (0..TOPICS.len(), any::<u8>(), 0_usize..300);
    prop_oneof![
        8 => (prop::collection::vec(event, 0..4), prop::option::weighted(0.05, (0..TOPICS.len(), any::<bool>())), prop::option::weighted(0.3, 0_u8..6))
            .prop_map(|(events, close, key)| Step::Append { events, close, key }),
        1 => (0..TOPICS.len()).prop_map(|topic| Step::Delete { topic }),
        4 => (0_u64..60, prop::collection::vec(0..SELECTORS.len(), 1..3), any::<bool>(), 1_usize..20)
            .prop_map(|(back, selectors, typed, entries)| Step::Read { back, selectors, typed, entries }),
        2 => (1_usize..10, 0..SELECTORS.len()).prop_map(|(count, selector)| Step::Last { count, selector }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Tidy),
    ]
}

/// An entry, as the model keeps it.
#[derive(Debug, Clone)]
struct Kept {
    sequence: Sequence,
    event: NewEvent,
    closing: Closing,
}

#[derive(Debug, Default)]
struct Model {
    entries: Vec<Kept>,
    /// By key: the batch, its first entry, and how many it has.
    keys: HashMap<u8, (Batch, Sequence, u32)>,
    earliest: Sequence,
}

impl Model {
    fn is_closed(&self, topic: &Topic) -> bool {
        let last = self.entries.iter().rev().find(|kept| kept.event.topic == *topic);
        let has_ended = |kept: &Kept| matches!(kept.closing, Closing::After | Closing::Only);
        last.is_some_and(|kept| kept.sequence >= self.earliest && has_ended(kept))
    }

    /// What is still to be read.
    fn readable(&self) -> impl DoubleEndedIterator<Item = &Kept> {
        let deletions = self.entries.iter().filter(|kept| kept.closing == Closing::Deleted);
        let deleted: HashMap<_, _> = deletions.map(|kept| (&kept.event.topic, kept.sequence)).collect();
        let is_deleted =
            move |kept: &Kept| deleted.get(&kept.event.topic).is_some_and(|&upto| kept.sequence < upto);
        self.entries.iter().filter(move |kept| !is_deleted(kept))
    }

    fn append(&mut self, batch: &Batch, key: Option<u8>) -> Result<(Sequence, u32, bool), &'static str> {
        if let Some((known, first, count)) = key.and_then(|key| self.keys.get(&key)) {
            return if known == batch { Ok((*first, *count, true)) } else { Err("conflict") };
        }
        if batch.deletes().is_none() && batch.topics().any(|topic| self.is_closed(topic)) {
            return Err("closed");
        }
        let first = self.entries.len() as u64 + 1;
        for event in &batch.events {
            let sequence = self.entries.len() as u64 + 1;
            self.entries.push(Kept { sequence, event: event.clone(), closing: Closing::No });
        }
        if let Some(topic) = batch.deletes() {
            let event = NewEvent::text(topic.clone(), EndReason::DELETED);
            self.entries.push(Kept { sequence: first, event, closing: Closing::Deleted });
        } else if let Some(Close { topic, reason, .. }) = &batch.close {
            let own = self
                .entries
                .iter_mut()
                .rev()
                .take(batch.events.len())
                .find(|kept| kept.event.topic == *topic && reason.is_none());
            if let Some(kept) = own {
                kept.closing = Closing::After;
            } else {
                let sequence = self.entries.len() as u64 + 1;
                let reason = reason.as_ref().map_or("", EndReason::as_str);
                let event = NewEvent::text(topic.clone(), reason);
                self.entries.push(Kept { sequence, event, closing: Closing::Only });
            }
        }
        let count = (self.entries.len() as u64 + 1 - first) as u32;
        if let Some(key) = key
            && count > 0
        {
            self.keys.insert(key, (batch.clone(), first, count));
        }
        Ok((first, count, false))
    }
}

fn matches(kept: &Kept, selectors: &[&str], typed: bool) -> (bool, bool) {
    let topic = selectors.iter().any(|text| Selector::new(text).unwrap().matches(&kept.event.topic));
    let right_type = !typed || kept.event.event_type.is_some();
    let visible = !matches!(kept.closing, Closing::Only | Closing::Deleted);
    (topic && (right_type || kept.closing != Closing::No), topic && right_type && visible)
}

fn batch(events: &[(usize, u8, usize)], close: Option<(usize, bool)>, key: Option<u8>) -> Batch {
    let topic = |place: usize| Topic::new(TOPICS[place]).unwrap();
    let event = |&(place, kind, size): &(usize, u8, usize)| {
        let event_type = (kind % 3 == 0).then(|| EventType::new("t").unwrap());
        let format = [Format::Text, Format::Json, Format::Binary][usize::from(kind / 4 % 3)];
        let data = match format {
            Format::Json => vec![b'1'; size.max(1)],
            Format::Text => vec![kind % 128; size],
            Format::Binary => vec![kind; size],
        };
        NewEvent::new(topic(place), event_type, format, data).unwrap()
    };
    Batch {
        events: events.iter().map(event).collect(),
        close: close.map(|(place, broken)| Close::for_reason(topic(place), broken.then(EndReason::aborted))),
        idempotency: key.map(|key| Idempotency { scope: Scope::Batches, key: key.to_string() }),
    }
}

type Check = Result<(), TestCaseError>;

async fn append(log: &dyn Log, model: &mut Model, given: Batch, key: Option<u8>) -> Check {
    let expected = model.append(&given, key);
    let got = match log.append(given).await {
        Ok(appended) => Ok((appended.first, appended.count, appended.duplicate)),
        Err(AppendError::TopicClosed { .. }) => Err("closed"),
        Err(AppendError::KeyConflict { .. }) => Err("conflict"),
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    };
    // An empty batch has no number of its own.
    if expected.is_ok_and(|(_, count, _)| count == 0) {
        prop_assert_eq!(got.map(|(_, count, _)| count), Ok(0));
    } else {
        prop_assert_eq!(got, expected);
    }
    Ok(())
}

async fn read(
    log: &dyn Log,
    model: &Model,
    back: u64,
    selectors: &[&str],
    typed: bool,
    entries: usize,
) -> Check {
    let mut selection = Selection::new(selectors.iter().map(|text| Selector::new(text).unwrap()));
    if typed {
        selection = selection.of_types(["t".to_owned()]);
    }
    let bounds = log.bounds();
    let mut after = bounds.latest.saturating_sub(back);
    let limits = ReadLimits { entries, bytes: 2_000 };
    if after + 1 < bounds.earliest {
        let expired = ReadError::Expired { after, earliest: bounds.earliest };
        prop_assert_eq!(log.read(after, &selection, limits).await, Err(expired));
        after = bounds.earliest - 1;
    }
    let start = after;
    let expected = model.readable().filter(|kept| kept.sequence > start && matches(kept, selectors, typed).0);
    let mut got = Vec::new();
    loop {
        let chunk = log.read(after, &selection, limits).await.unwrap();
        prop_assert!(chunk.entries.len() <= entries);
        got.extend(chunk.entries);
        if chunk.next == after {
            break;
        }
        after = chunk.next;
    }
    prop_assert_eq!(after, bounds.latest);
    let got: Vec<_> = got
        .iter()
        .map(|entry| (entry.sequence, entry.topic.clone(), entry.data.clone(), entry.format, entry.closing))
        .collect();
    let expected: Vec<_> = expected
        .map(|kept| {
            let event = &kept.event;
            (kept.sequence, event.topic.clone(), event.data().clone(), event.format(), kept.closing)
        })
        .collect();
    prop_assert_eq!(got, expected);
    Ok(())
}

async fn last(log: &dyn Log, model: &Model, count: usize, selector: &str) -> Check {
    let earliest = log.bounds().earliest;
    let expected = model
        .readable()
        .rev()
        .filter(|kept| kept.sequence >= earliest && matches(kept, &[selector], false).1)
        .nth(count - 1)
        .map_or(earliest, |kept| kept.sequence);
    let selection = Selection::new([Selector::new(selector).unwrap()]);
    prop_assert_eq!(log.locate(Position::Last(count), &selection).await.unwrap() + 1, expected);
    Ok(())
}

/// A disk log that is opened again now and then.
struct Disk {
    dir: tempfile::TempDir,
    config: DiskConfig,
    log: Option<Arc<DiskLog>>,
}

fn run(steps: &[Step], mut disk: Option<Disk>, fixed: Option<&dyn Log>) -> Check {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut model = Model { earliest: 1, ..Model::default() };
    runtime.block_on(async {
        for step in steps {
            let own = disk.as_ref().and_then(|disk| disk.log.clone());
            let log: &dyn Log = match &own {
                Some(own) => &**own,
                None => fixed.unwrap(),
            };
            // A log trims when it likes; what the model goes by is what the log says.
            if let Some(own) = &own {
                own.tidy().await;
            }
            model.earliest = log.bounds().earliest;
            match step {
                Step::Append { events, close, key } => {
                    append(log, &mut model, batch(events, *close, *key), *key).await?;
                }
                Step::Delete { topic } => {
                    let deletion = Batch::deletion(Topic::new(TOPICS[*topic]).unwrap());
                    append(log, &mut model, deletion, None).await?;
                }
                Step::Read { back, selectors, typed, entries } => {
                    let selectors: Vec<_> = selectors.iter().map(|&place| SELECTORS[place]).collect();
                    read(log, &model, *back, &selectors, *typed, *entries).await?;
                }
                Step::Last { count, selector } => last(log, &model, *count, SELECTORS[*selector]).await?,
                Step::Tidy => {}
                Step::Reopen => {
                    if let Some(disk) = &mut disk {
                        let before = log.bounds();
                        drop(own);
                        disk.log = None;
                        let log = DiskLog::open(disk.dir.path(), disk.config).unwrap();
                        let now = log.bounds();
                        prop_assert_eq!((now.earliest, now.latest), (before.earliest, before.latest));
                        // Every opening draws an epoch; what was written keeps its id, and can be gone on from.
                        prop_assert_ne!(now.lineage.present(), before.lineage.present());
                        for place in before.earliest.saturating_sub(1)..=before.latest {
                            let id = before.lineage.id(place);
                            prop_assert_eq!(now.lineage.id(place), id);
                            prop_assert_eq!(now.lineage.place(id), Ok(place));
                        }
                        disk.log = Some(Arc::new(log));
                    }
                }
            }
        }
        Ok(())
    })
}

fn retention(bytes: u64) -> Retention {
    Retention { bytes, age: Duration::from_secs(3_600) }
}

const WINDOW: Duration = Duration::from_secs(3_600);

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_disk_log_does_what_the_model_does(
        steps in prop::collection::vec(step(), 1..120),
        segment in 300_u64..6_000,
        bytes in prop_oneof![Just(1_u64 << 30), 4_000_u64..20_000],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = DiskConfig {
            segment_bytes: Some(segment),
            retention: retention(bytes),
            idempotency_window: WINDOW,
            ..DiskConfig::default()
        };
        let log = Some(Arc::new(DiskLog::open(dir.path(), config).unwrap()));
        run(&steps, Some(Disk { dir, config, log }), None)?;
    }

    #[test]
    fn the_memory_log_does_what_the_model_does(
        steps in prop::collection::vec(step(), 1..200),
        bytes in prop_oneof![Just(1_u64 << 30), 4_000_u64..20_000],
    ) {
        let log = MemoryLog::new(retention(bytes), WINDOW);
        run(&steps, None, Some(&log))?;
    }
}
