//! A shard is driven through every order of what can happen to its readers, and what they are told is held against a model:
//! every event that concerns them once and in order, or a gap; no id beyond what was sent; and one end.
//!
//! Requests, handlers, the hub and bodies are the real ones. Time, the log, and who takes what, are the model's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use futures_util::FutureExt as _;
use http::StatusCode;
use http_body_util::BodyExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tidings_hub::{Hub, HubConfig, ReaderState as State};
use tidings_log::{Batch, Log, MemoryLog, ReadError, Retention};
use tidings_protocol::{Cursor, NewEvent};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use super::Shard;
use crate::delivery::parking::mailbox::Mailbox;
use crate::delivery::parking::parked::Pending;
use crate::delivery::parking::parked_connections::ParkedConnections;
use crate::{Api, HttpConfig};

#[path = "../../../../tests/suite/support/renewable.rs"]
#[allow(dead_code, reason = "the suite uses all of it")]
mod renewable;

use renewable::RenewableLog;

#[derive(Debug, Clone)]
enum Step {
    Publish {
        topic: usize,
        bytes: usize,
        close: bool,
    },
    /// Somebody comes: for a topic or all, with a stream or polls, from the end or the beginning.
    Come {
        selector: usize,
        polls: bool,
        earliest: bool,
    },
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

const TOPICS: [&str; 2] = ["a", "b"];
const SELECTORS: [&str; 3] = ["a", "b", "**"];
const TAIL_BYTES: usize = 16 << 10;
const RETAIN_BYTES: u64 = 60_000;

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![3 => 0_usize..50, 1 => 2_000_usize..9_000];
    prop_oneof![
        24 => (0..TOPICS.len(), bytes, prop::bool::weighted(0.03))
            .prop_map(|(topic, bytes, close)| Step::Publish { topic, bytes, close }),
        6 => (0..SELECTORS.len(), any::<bool>(), any::<bool>())
            .prop_map(|(selector, polls, earliest)| Step::Come { selector, polls, earliest }),
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

/// An event, whoever has it still.
struct Published {
    topic: &'static str,
    text: String,
    /// How many had been published when the log lost it.
    lost: Option<usize>,
}

/// What the log was given, and in which order; the present one, and those that it was before.
#[derive(Default)]
struct History {
    all: Vec<Published>,
    /// Of each log, the places in `all` of its events: the first has the sequence number 1.
    logs: Vec<Vec<usize>>,
}

struct Reader {
    selector: &'static str,
    asks: Asks,
    /// What was taken and is not a whole block yet.
    text: String,
    /// The place in the history from which on nothing may be left out.
    next: usize,
    /// The event that was told last.
    last: Option<usize>,
    has_begun: bool,
    has_ended: bool,
    is_broken: bool,
}

enum Asks {
    Stream(Body),
    Poll { since: String, answer: Option<JoinHandle<(StatusCode, String)>> },
}

struct World {
    runtime: Runtime,
    log: Arc<RenewableLog>,
    hub: Hub,
    api: Api,
    router: Router,
    _parked: Arc<ParkedConnections>,
    shard: Shard,
    history: History,
    readers: Vec<Reader>,
    /// Whether a reader may have been in the middle of what is gone or cannot be read.
    may_break: bool,
}

/// What became of entries, and how often.
type Transitions = BTreeMap<String, usize>;

// === impl History ===

impl History {
    fn concerns(&self, place: usize, selector: &str) -> bool {
        selector == "**" || self.all[place].topic == selector
    }

    fn find(&self, text: &str) -> usize {
        self.all.iter().position(|event| event.text == text).expect("an event that nobody published")
    }

    /// The place of what follows a sequence number in the present log, or in whichever of those before.
    fn after(&self, sequence: u64, is_present: bool) -> usize {
        let sequence = usize::try_from(sequence).unwrap();
        let logs = if is_present { &self.logs[self.logs.len() - 1..] } else { &self.logs };
        let found = logs.iter().filter_map(|log| log.get(sequence)).min();
        found.copied().unwrap_or(self.all.len())
    }
}

// === impl Reader ===

impl Reader {
    fn event(&mut self, history: &History, text: &str) {
        let place = history.find(text);
        assert!(place >= self.next, "told again: {text}");
        self.pass(history, place);
        if let Some(mark) = self.last.and_then(|last| history.all[last].lost) {
            assert!(place < mark, "not told that something it had seen is lost: {text}");
        }
        (self.next, self.last) = (place + 1, Some(place));
    }

    /// Nothing that concerns it is left out before a place.
    fn pass(&self, history: &History, place: usize) {
        for left_out in self.next..place {
            let is_missed = history.concerns(left_out, self.selector) && history.all[left_out].lost.is_none();
            assert!(!is_missed, "never told: {} of {}", history.all[left_out].text, self.selector);
        }
    }

    /// It was told that everything up to here is seen.
    fn id(&self, history: &History, hub: &Hub, id: &str) {
        // The cursor of a page may say when it was asked for as well.
        let end = id.match_indices('-').nth(1).map_or(id.len(), |(end, _)| end);
        let cursor: Cursor = id[..end].parse().unwrap();
        if hub.lineage().id(cursor.sequence) != cursor {
            // It is of a log that is gone.
            return;
        }
        let present = history.logs.last().unwrap();
        for place in present.iter().take(usize::try_from(cursor.sequence).unwrap()) {
            let is_missed = *place >= self.next && history.concerns(*place, self.selector);
            assert!(!is_missed, "{id} is beyond {}", history.all[*place].text);
        }
    }

    fn gap(&mut self, history: &History, hub: &Hub, gap: &Value) {
        let resumed: Cursor = gap["resumed"].as_str().unwrap().parse().unwrap();
        let is_present = hub.lineage().id(resumed.sequence) == resumed;
        (self.next, self.last) = (history.after(resumed.sequence, is_present), None);
    }

    fn blocks(&mut self, history: &History, hub: &Hub) {
        while let Some(end) = self.text.find("\n\n") {
            assert!(!self.has_ended, "something after the end: {}", self.text);
            let block: String = self.text.drain(..end + 2).collect();
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let (id, data) = (field("id: "), field("data: ").unwrap_or_default());
            match field("event: ") {
                Some("tidings.gap") => self.gap(history, hub, &serde_json::from_str(data).unwrap()),
                Some("tidings.end") => self.has_ended = true,
                _ if field("data: ").is_some() => self.event(history, data),
                _ => {}
            }
            if let Some(id) = id {
                self.id(history, hub, id);
            }
            if field("retry: ").is_some() && std::mem::replace(&mut self.has_begun, true) {
                self.has_ended = true;
            }
        }
    }

    fn page(&mut self, history: &History, hub: &Hub, page: &Value) -> String {
        if !page["gap"].is_null() {
            self.gap(history, hub, &page["gap"]);
        }
        for event in page["events"].as_array().unwrap() {
            self.event(history, event["data"].as_str().unwrap());
        }
        self.has_ended |= page["closed"] == true;
        let next = page["next"].as_str().unwrap();
        self.id(history, hub, next);
        next.to_owned()
    }
}

// === impl World ===

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let log = Arc::new(RenewableLog::new(Self::log()));
        let hub = Hub::new(log.clone(), HubConfig { tail_bytes: TAIL_BYTES, ..HubConfig::default() });
        let config = HttpConfig {
            heartbeat: Duration::from_secs(1),
            max_buffered_bytes: 16 << 10,
            ..HttpConfig::default()
        };
        let api = Api::builder(hub.clone(), config).open_to_everyone().build();
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let (returned, _) = unbounded_channel();
        let shard =
            Shard::new(api.without_parking(), None, Arc::clone(&mailbox), runtime.handle().clone(), returned)
                .unwrap();
        let parked = Arc::new(ParkedConnections::of(mailbox, hub.clone()));
        api.parking.adopt(&parked);
        let router = api.router();
        drop(_entered);
        let history = History { logs: vec![Vec::new()], ..History::default() };
        Self {
            runtime,
            log,
            hub,
            api,
            router,
            _parked: parked,
            shard,
            history,
            readers: Vec::new(),
            may_break: false,
        }
    }

    fn log() -> MemoryLog {
        MemoryLog::new(Retention { bytes: RETAIN_BYTES, ..Retention::default() }, Duration::ZERO)
    }

    fn ask(
        &self,
        request: http::request::Builder,
        body: &str,
    ) -> impl Future<Output = (StatusCode, Body)> + use<> {
        let request: Request = request.body(Body::from(body.to_owned())).unwrap();
        let router = self.router.clone();
        async move {
            let response = router.oneshot(request).await.unwrap();
            (response.status(), response.into_body())
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish { topic, bytes, close } => self.publish(TOPICS[topic], bytes, close),
            Step::Come { selector, polls, earliest } => self.come(SELECTORS[selector], polls, earliest),
            Step::Take(reader) => {
                let count = self.readers.len();
                if count > 0 {
                    self.take(reader % count);
                }
            }
            Step::Leave(reader) => {
                if reader < self.readers.len() {
                    self.readers.swap_remove(reader);
                }
            }
            Step::Pass => self.shard.pass(),
            Step::Time(ticks) => {
                self.shard.now += ticks;
                self.shard.pass();
            }
            Step::Read => self.settle_tasks(),
            Step::Fail(failure) => {
                self.may_break |= failure == Some(false);
                self.log.refuse_reads(failure.map(|away| {
                    let reason = "a fault of the test".to_owned();
                    if away {
                        ReadError::Away { reason }
                    } else {
                        ReadError::Damaged { file: "log".into(), offset: 0, reason }
                    }
                }));
            }
            Step::Renew(lost) => self.renew(lost),
            Step::Drain => self.api.drain(),
        }
    }

    fn settle_tasks(&self) {
        self.runtime.block_on(async {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn publish(&mut self, topic: &'static str, bytes: usize, close: bool) {
        let text = format!("{}:{}", self.history.all.len(), "x".repeat(bytes));
        let request =
            Request::post(format!("/topics/{topic}?close={close}")).header("content-type", "text/plain");
        let (status, _) = self.runtime.block_on(self.ask(request, &text));
        if status == StatusCode::CREATED {
            self.history.logs.last_mut().unwrap().push(self.history.all.len());
            self.history.all.push(Published { topic, text, lost: None });
        } else {
            assert_eq!(status, StatusCode::CONFLICT, "its topic has ended");
        }
    }

    fn come(&mut self, selector: &'static str, polls: bool, earliest: bool) {
        let since = if earliest { "earliest" } else { "latest" };
        let next = self.start(since);
        let asks = if polls {
            Asks::Poll { since: since.to_owned(), answer: None }
        } else {
            let request = Request::get(format!("/topics/{selector}?since={since}"));
            let answer = self.ask(request.header("accept", "text/event-stream"), "");
            let (status, body) = self.runtime.block_on(answer);
            assert_eq!(status, StatusCode::OK);
            Asks::Stream(body)
        };
        self.readers.push(Reader {
            selector,
            asks,
            text: String::new(),
            next,
            last: None,
            has_begun: false,
            has_ended: false,
            is_broken: false,
        });
        self.take(self.readers.len() - 1);
    }

    /// From where on nothing may be left out for who begins there now.
    fn start(&self, since: &str) -> usize {
        match since {
            "earliest" => self.history.after(self.hub.bounds().earliest.saturating_sub(1), true),
            _ => self.history.all.len(),
        }
    }

    /// Has a reader take what there is, and says whether that was something.
    fn take(&mut self, number: usize) -> bool {
        if let Asks::Poll { since, answer: None } = &self.readers[number].asks
            && matches!(since.as_str(), "earliest" | "latest")
        {
            // It has no cursor yet.
            self.readers[number].next = self.start(since);
        }
        let (runtime, history, hub) = (&self.runtime, &self.history, &self.hub);
        let _entered = runtime.enter();
        let reader = &mut self.readers[number];
        if reader.is_broken {
            return false;
        }
        match &mut reader.asks {
            Asks::Stream(body) => match body.frame().now_or_never() {
                None => false,
                Some(None) => {
                    assert!(reader.text.is_empty() && reader.has_ended, "an end without a word");
                    false
                }
                Some(Some(Ok(frame))) => {
                    reader.text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
                    reader.blocks(history, hub);
                    true
                }
                Some(Some(Err(error))) => {
                    assert!(self.may_break, "{error}");
                    reader.is_broken = true;
                    true
                }
            },
            Asks::Poll { .. } if reader.has_ended => false,
            Asks::Poll { answer: answer @ Some(_), .. }
                if answer.as_ref().is_some_and(JoinHandle::is_finished) =>
            {
                let (status, text) = runtime.block_on(answer.take().unwrap()).unwrap();
                if status == StatusCode::OK {
                    let next = reader.page(history, hub, &serde_json::from_str(&text).unwrap());
                    if let Asks::Poll { since, .. } = &mut reader.asks {
                        *since = next;
                    }
                } else {
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
                }
                true
            }
            Asks::Poll { answer: Some(_), .. } => false,
            Asks::Poll { since, answer } => {
                let request = Request::get(format!("/topics/{}?wait=2&since={since}", reader.selector));
                let request: Request = request.body(Body::empty()).unwrap();
                let response = self.router.clone().oneshot(request);
                *answer = Some(runtime.spawn(async move {
                    let (head, body) = response.await.unwrap().into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    (head.status, String::from_utf8(body.to_vec()).unwrap())
                }));
                drop(_entered);
                self.settle_tasks();
                true
            }
        }
    }

    /// The log goes on as one that has the same but for the last events.
    fn renew(&mut self, lost: usize) {
        self.may_break = true;
        let mut present = self.history.logs.last().unwrap().clone();
        let common = present.len().saturating_sub(lost);
        let mark = self.history.all.len();
        for place in present.drain(common..) {
            self.history.all[place].lost = Some(mark);
        }
        let log = Self::log();
        self.runtime.block_on(async {
            for place in &present {
                let Published { topic, text, .. } = &self.history.all[*place];
                let event = NewEvent::text(topic.parse().unwrap(), text.clone());
                log.append(Batch::of(event)).await.unwrap();
            }
        });
        self.log.renew(log, Some(common as u64));
        self.history.logs.push(present);
    }

    /// What the entries of the shard are doing.
    fn states(&self) -> BTreeMap<u64, String> {
        let entries = self.shard.entries.iter();
        let name = |state: State, polls: bool, pending: Option<&Pending>| {
            let kind = if polls { "poll" } else { "stream" };
            let rest = match pending {
                None => "",
                Some(Pending::Bytes(..)) => " with a word to say",
                Some(Pending::Rest { .. }) => " with the rest of events",
            };
            format!("{kind} {state:?}{rest}")
        };
        entries
            .map(|(index, entry)| {
                let polls = self.shard.groups.get(entry.group).interest.shape.is_poll();
                let key = u64::from(entry.generation) << 32 | index as u64;
                (key, name(entry.seen.state(), polls, entry.pending.as_deref()))
            })
            .collect()
    }

    /// Everything that is under way comes to its end.
    fn settle(&mut self) {
        self.log.refuse_reads(None);
        let mut idle = 0;
        while idle < 4 {
            self.shard.now += 21;
            self.shard.pass();
            self.settle_tasks();
            self.shard.pass();
            let latest = self.readers.iter().map(|reader| reader.next).sum::<usize>();
            for reader in 0..self.readers.len() {
                while self.take(reader) {
                    if matches!(self.readers[reader].asks, Asks::Poll { .. }) {
                        break;
                    }
                }
            }
            let advanced = self.readers.iter().map(|reader| reader.next).sum::<usize>() != latest;
            // Heartbeats come for ever.
            idle = if advanced { 0 } else { idle + 1 };
        }
        for reader in self.readers.iter().filter(|reader| !reader.has_ended && !reader.is_broken) {
            reader.pass(&self.history, self.history.all.len());
        }
    }
}

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
    "poll Live -> poll Reading",
    "poll Reading -> gone",
    "stream Ending with the rest of events -> gone",
    "stream Lagging with the rest of events -> gone",
    "stream Lagging with the rest of events -> stream Ending with the rest of events",
    "stream Lagging with the rest of events -> stream Live",
    "stream Lagging with the rest of events -> stream Reading",
    "stream Live -> gone",
    "stream Live -> stream Lagging with the rest of events",
    "stream Live -> stream Reading",
    "stream Reading -> gone",
    "stream Reading -> stream Lagging with the rest of events",
    "stream Reading -> stream Live",
];
