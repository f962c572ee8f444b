//! What is pending comes folded, where that is asked for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tidings_hub::{Conflate, Entry, Hub, HubConfig, JOINED_BYTES, Look, PullLimits, Subscription, fold};
use tidings_log::{Batch, MemoryLog, Retention};
use tidings_protocol::{EventType, Format, NewEvent, Selection, Selector, Sequence, Start, Topic};

/// How events are published: topic, type, whether they are text, and how long they are.
type Publication = (usize, bool, bool, usize);

const TOPICS: [&str; 3] = ["a", "b", "c"];
const ALL: PullLimits = PullLimits { events: usize::MAX, bytes: usize::MAX };

fn hub(tail_bytes: usize) -> Hub {
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    Hub::new(Arc::new(log), HubConfig { tail_bytes, ..HubConfig::default() })
}

fn event(number: usize, (topic, typed, text, length): Publication) -> NewEvent {
    let topic = Topic::new(TOPICS[topic]).unwrap();
    let event_type = typed.then(|| EventType::new("t").unwrap());
    let data = match text {
        true => format!("{number}:{}", "x".repeat(length)).into_bytes(),
        false => format!("\"{number}\"").into_bytes(),
    };
    let format = if text { Format::Text } else { Format::Json };
    NewEvent::new(topic, event_type, format, data).unwrap()
}

async fn publish(hub: &Hub, events: impl IntoIterator<Item = NewEvent>) {
    let events: Vec<_> = events.into_iter().collect();
    for events in events.chunks(1_000) {
        hub.publish(Batch { events: events.to_vec(), close: None, idempotency: None }).await.unwrap();
    }
}

async fn subscribe(hub: &Hub, selector: &str, conflate: Conflate) -> Subscription {
    let selection = Selection::new([Selector::new(selector).unwrap()]);
    hub.subscribe(selection, Start::Earliest).await.unwrap().conflated(Some(conflate))
}

/// What it is said to be, put plainly.
fn naive(entries: &[Arc<Entry>], conflate: Conflate) -> Vec<(Sequence, Vec<u8>)> {
    let mut found: Vec<(Sequence, Vec<u8>, &Entry)> = Vec::new();
    for entry in entries {
        let event = entry.event();
        match (conflate, found.last_mut()) {
            (Conflate::Latest, _) => found.retain(|(.., before)| before.event().topic != event.topic),
            (Conflate::Append, Some((sequence, data, before)))
                if before.event().topic == event.topic
                    && before.event().event_type == event.event_type
                    && [before.event().format, event.format] == [Format::Text; 2]
                    && data.len() + event.data.len() <= JOINED_BYTES =>
            {
                *sequence = event.sequence;
                data.extend_from_slice(&event.data);
                continue;
            }
            (Conflate::Append, _) => {}
        }
        found.push((event.sequence, event.data.to_vec(), entry));
    }
    found.into_iter().map(|(sequence, data, _)| (sequence, data)).collect()
}

fn shown(entries: &[Arc<Entry>]) -> Vec<(Sequence, Vec<u8>)> {
    entries.iter().map(|entry| (entry.event().sequence, entry.event().data.to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However little of it is taken at once, and whether memory or the log has it, the same is found.
    #[test]
    fn what_is_found_is_folded_wherever_it_is_and_however_it_is_taken(
        publications in vec((0..TOPICS.len(), prop::bool::weighted(0.2), prop::bool::weighted(0.8), 0_usize..30_000), 0..60),
        tail_bytes in prop_oneof![Just(1_usize), Just(200_000), Just(64 << 20)],
        limit in 1_usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let hub = hub(tail_bytes);
            publish(&hub, publications.iter().enumerate().map(|(number, own)| event(number, *own))).await;
            let selection = Selection::all();
            for conflate in [Conflate::Latest, Conflate::Append] {
                let raw = hub.read(hub.epoch(), 0, &selection, ALL).await.unwrap().entries;
                let expected = naive(&raw, conflate);
                assert_eq!(shown(&fold(raw, &selection, Some(conflate))), expected);
                let look = Look::new(Some(conflate), PullLimits { events: limit, ..ALL });
                let (mut found, mut after, until) = (Vec::new(), 0, hub.latest());
                while after < until {
                    let next = hub.read_folded(hub.epoch(), after, &selection, look).await.unwrap();
                    assert!(next.recent.entries.len() <= limit && next.recent.next > after);
                    if let Some(sync) = hub.recent_folded(after, &selection, look) {
                        assert_eq!(shown(&sync.recent.entries), shown(&next.recent.entries));
                        assert_eq!((sync.recent.next, sync.until), (next.recent.next, next.until));
                    }
                    found.extend(shown(&next.recent.entries));
                    after = next.recent.next;
                }
                assert_eq!(found, expected);
                // What somebody is in the middle of is found again, from each place on.
                for (place, entry) in fold(
                    hub.read(hub.epoch(), 0, &selection, ALL).await.unwrap().entries,
                    &selection,
                    Some(conflate),
                )
                .iter()
                .enumerate()
                {
                    let look = Look { until: Some(until), ..Look::new(Some(conflate), ALL) };
                    let again = hub.read_folded(hub.epoch(), entry.first() - 1, &selection, look).await.unwrap();
                    assert_eq!(shown(&again.recent.entries), expected[place..]);
                }
            }
        });
    }
}

#[tokio::test]
async fn of_very_many_the_newest_of_each_topic_is_all_that_is_pulled() {
    for tail_bytes in [64 << 10, 64 << 20] {
        let hub = hub(tail_bytes);
        let topics: Vec<Topic> = TOPICS.iter().map(|topic| Topic::new(topic).unwrap()).collect();
        let events = (0..30_000).map(|number| NewEvent::text(topics[number % 3].clone(), number.to_string()));
        publish(&hub, events).await;
        let mut all = subscribe(&hub, "**", Conflate::Latest).await;
        let pull = all.pull(PullLimits::default()).await.unwrap();
        let texts: BTreeMap<_, _> = pull
            .entries
            .iter()
            .map(|entry| (entry.event().topic.to_string(), entry.event().data.to_vec()))
            .collect();
        let expected = [("a", "29997"), ("b", "29998"), ("c", "29999")];
        let expected = expected.map(|(topic, text)| (topic.to_owned(), text.as_bytes().to_vec()));
        assert_eq!(texts, expected.into_iter().collect());
        assert!(pull.gap.is_none() && !pull.more);
        assert_eq!(all.cursor().sequence, hub.latest());
        // One at a time, and none is given that is superseded.
        let mut all = subscribe(&hub, "**", Conflate::Latest).await;
        for expected in ["29997", "29998", "29999"] {
            let pull = all.pull(PullLimits { events: 1, ..PullLimits::default() }).await.unwrap();
            assert_eq!(pull.entries.len(), 1);
            assert_eq!(pull.entries[0].event().data, expected);
        }
    }
}

#[tokio::test]
async fn the_end_of_a_topic_comes_behind_what_is_left() {
    for conflate in [Conflate::Latest, Conflate::Append] {
        let hub = hub(64 << 20);
        let topic = Topic::new("a").unwrap();
        for text in ["one ", "two ", "three"] {
            hub.publish(Batch::of(NewEvent::text(topic.clone(), text))).await.unwrap();
        }
        hub.publish(Batch { events: Vec::new(), close: Some(topic.clone().into()), idempotency: None })
            .await
            .unwrap();
        let pull = subscribe(&hub, "a", conflate).await.pull(PullLimits::default()).await.unwrap();
        let expected = if conflate == Conflate::Latest { "three" } else { "one two three" };
        assert_eq!(pull.entries.len(), 1);
        assert_eq!(pull.entries[0].event().data, expected);
        assert_eq!(pull.entries[0].cursor().sequence, 3);
        assert!(pull.ended);
    }
}
