//! A shard is driven through every order of what can happen to its readers, and what they are told is held against a model:
//! every event that concerns them once and in order, or a gap; no id beyond what was sent; and one end. What folds, or paces,
//! is held against the same; and programs that pull, beside those that read over HTTP.
//!
//! Requests, handlers, the hub and bodies are the real ones. Time, the log, and who takes what, are the model's.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tidings_hub::Conflate;

mod history;
mod reader;
#[path = "../../../../tests/suite/support/renewable.rs"]
#[allow(dead_code, reason = "the suite uses all of it")]
mod renewable;
mod world;

use world::World;

#[derive(Debug, Clone)]
enum Step {
    Publish {
        topic: usize,
        bytes: usize,
        close: bool,
    },
    /// Somebody comes.
    Come(Coming),
    /// A reader takes what there is for it.
    Take(usize),
    Leave(usize),
    Pass,
    Time(u32),
    /// Reads of the log come to their end.
    Read,
    /// The log's engine is away, or fails for good, or neither.
    Fail(Option<bool>),
    /// The log goes on as one that has lost so many of its last events.
    Renew(usize),
    Drain,
}

/// For which topics somebody comes, how, from the end or the beginning, and how what is pending is to be folded.
#[derive(Debug, Clone, Copy)]
struct Coming {
    selector: &'static str,
    way: Way,
    earliest: bool,
    conflate: Option<Conflate>,
    /// Whether there is to be a second between two deliveries.
    paced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Stream,
    Polls,
    /// A program that has the hub in it.
    Pulls,
}

const TOPICS: [&str; 2] = ["a", "b"];
const SELECTORS: [&str; 3] = ["a", "b", "**"];
const TAIL_BYTES: usize = 16 << 10;
const RETAIN_BYTES: u64 = 60_000;

fn coming() -> impl Strategy<Value = Coming> {
    let way = prop_oneof![3 => Just(Way::Stream), 3 => Just(Way::Polls), 2 => Just(Way::Pulls)];
    let conflate = prop_oneof![
        2 => Just(None),
        1 => Just(Some(Conflate::Latest)),
        1 => Just(Some(Conflate::Append)),
    ];
    (0..SELECTORS.len(), way, any::<bool>(), conflate, prop::bool::weighted(0.3)).prop_map(
        |(selector, way, earliest, conflate, paced)| Coming {
            selector: SELECTORS[selector],
            way,
            earliest,
            conflate,
            paced,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![3 => 0_usize..50, 1 => 2_000_usize..9_000];
    prop_oneof![
        24 => (0..TOPICS.len(), bytes, prop::bool::weighted(0.03))
            .prop_map(|(topic, bytes, close)| Step::Publish { topic, bytes, close }),
        6 => coming().prop_map(Step::Come),
        12 => (0_usize..8).prop_map(Step::Take),
        1 => (0_usize..8).prop_map(Step::Leave),
        16 => Just(Step::Pass),
        6 => (1_u32..60).prop_map(Step::Time),
        6 => Just(Step::Read),
        1 => prop_oneof![4 => Just(None), 3 => Just(Some(true)), 1 => Just(Some(false))].prop_map(Step::Fail),
        1 => (0_usize..6).prop_map(Step::Renew),
        1 => prop::bool::weighted(0.2).prop_map(|drain| if drain { Step::Drain } else { Step::Pass }),
    ]
}

/// What became of entries, and how often.
type Transitions = BTreeMap<String, usize>;

#[test]
fn every_reader_is_told_everything_once_or_of_a_gap() {
    let transitions = Mutex::new(Transitions::new());
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 400, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let ran = runner.run(&vec(step(), 1..150), |steps| {
        let mut world = World::new();
        for step in &steps {
            let before = world.states();
            world.step(step);
            let after = world.states();
            let mut transitions = transitions.lock().unwrap();
            for (key, was) in before {
                let is = after.get(&key).map_or("gone", String::as_str);
                if is != was {
                    *transitions.entry(format!("{was} -> {is}")).or_default() += 1;
                }
            }
        }
        world.settle();
        Ok(())
    });
    let transitions = transitions.into_inner().unwrap();
    if let Err(error) = ran {
        panic!("{error}");
    }
    for expected in COVERED {
        assert!(transitions.contains_key(*expected), "never seen: {expected}; seen: {transitions:#?}");
    }
}

/// What has to have happened, or the model shows less than it says.
const COVERED: &[&str] = &[
    "poll Live -> gone",
    "poll Live -> poll Lagging",
    "poll Live -> poll Reading",
    "poll Reading -> gone",
    "stream Ending with the rest of events -> gone",
    "stream Lagging with the rest of events -> gone",
    "stream Lagging with the rest of events -> stream Ending with the rest of events",
    "stream Lagging with the rest of events -> stream Live",
    "stream Lagging with the rest of events -> stream Reading",
    "stream Live -> gone",
    "stream Live -> stream Lagging",
    "stream Live -> stream Lagging with the rest of events",
    "stream Live -> stream Reading",
    "stream Reading -> gone",
    "stream Reading -> stream Lagging with the rest of events",
    "stream Reading -> stream Live",
];
