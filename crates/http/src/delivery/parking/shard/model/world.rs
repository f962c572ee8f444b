//! A shard, its hub, its log and its readers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use futures_util::FutureExt as _;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tidings_hub::{Conflate, Hub, HubConfig, PullLimits, ReaderState as State};
use tidings_log::{Batch, Log, MemoryLog, ReadError, Retention};
use tidings_protocol::{NewEvent, Selection, Selector, Start};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use super::history::{History, Published};
use super::reader::{Asks, Reader};
use super::renewable::RenewableLog;
use super::{Coming, RETAIN_BYTES, Step, TAIL_BYTES, TOPICS, Way};
use crate::delivery::parking::mailbox::Mailbox;
use crate::delivery::parking::parked::{Key, Pending};
use crate::delivery::parking::parked_connections::ParkedConnections;
use crate::delivery::parking::shard::Shard;
use crate::{Api, HttpConfig};

/// How long the readers that are paced want to have between two deliveries, in ticks.
const EVERY: u32 = 20;

pub(super) struct World {
    pub(super) runtime: Runtime,
    pub(super) log: Arc<RenewableLog>,
    pub(super) hub: Hub,
    pub(super) api: Api,
    pub(super) router: Router,
    pub(super) _parked: Arc<ParkedConnections>,
    pub(super) shard: Shard,
    pub(super) history: History,
    pub(super) readers: Vec<Reader>,
    /// Whether a reader may have been in the middle of what is gone or cannot be read.
    pub(super) may_break: bool,
}

// === impl World ===

impl World {
    pub(super) fn new() -> Self {
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
        let shard = Shard::new(
            api.context.clone(),
            None,
            api.messages(),
            Arc::clone(&mailbox),
            runtime.handle().clone(),
            returned,
        )
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

    pub(super) fn step(&mut self, step: &Step) {
        let before = self.shard.delivered.clone();
        self.take_step(step);
        for (key, tick) in &self.shard.delivered {
            let since = before.get(key).map_or(EVERY, |before| tick - before);
            assert!(since == 0 || since >= EVERY, "two deliveries within {since} ticks");
        }
        if matches!(step, Step::Pass | Step::Time(_)) {
            self.check_holds();
        }
    }

    /// Nothing is held for longer than was asked for.
    fn check_holds(&self) {
        for (index, entry) in &self.shard.entries {
            let index = u32::try_from(index).unwrap();
            let key = Key { index, generation: entry.generation };
            let waits = entry.blocked.is_some() || self.shard.ready.contains(&key);
            if let Some(until) = self.shard.held_until(index).filter(|_| !waits && entry.pending.is_none()) {
                assert!(until > self.shard.now, "held since tick {until}, at tick {}", self.shard.now);
            }
        }
    }

    fn take_step(&mut self, step: &Step) {
        match *step {
            Step::Publish { topic, bytes, close } => self.publish(TOPICS[topic], bytes, close),
            Step::Come(coming) => self.come(coming),
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

    fn come(&mut self, Coming { selector, way, earliest, conflate, paced }: Coming) {
        let since = if earliest { "earliest" } else { "latest" };
        let next = self.start(since);
        let mut query = match conflate {
            None => String::new(),
            Some(Conflate::Latest) => "&conflate=latest".to_owned(),
            Some(Conflate::Append) => "&conflate=append".to_owned(),
        };
        if paced {
            query += "&every=1s";
        }
        let asks = match way {
            Way::Polls => Asks::Poll { query, since: since.to_owned(), answer: None },
            Way::Stream => {
                let request = Request::get(format!("/topics/{selector}?since={since}{query}"));
                let answer = self.ask(request.header("accept", "text/event-stream"), "");
                let (status, body) = self.runtime.block_on(answer);
                assert_eq!(status, StatusCode::OK);
                Asks::Stream(body)
            }
            Way::Pulls => {
                let selection = Selection::new([Selector::new(selector).unwrap()]);
                let start = if earliest { Start::Earliest } else { Start::Latest };
                // A log that cannot be read may not say how its topics ended.
                let opened = self.runtime.block_on(self.hub.subscribe(selection, start));
                let Ok(opened) = opened else { return };
                Asks::Pull(Box::new(opened.conflated(conflate)))
            }
        };
        self.readers.push(Reader {
            selector,
            conflate,
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
        if let Asks::Poll { since, answer: None, .. } = &self.readers[number].asks
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
            Asks::Poll { .. } | Asks::Pull(_) if reader.has_ended => false,
            Asks::Pull(subscription) => {
                let before = subscription.cursor();
                match runtime.block_on(subscription.pull(PullLimits { events: 3, bytes: 4 << 10 })) {
                    Ok(pull) => {
                        let cursor = subscription.cursor();
                        reader.pulled(history, hub, &pull, cursor);
                        !pull.is_empty() || cursor != before
                    }
                    Err(ReadError::Away { .. }) => false,
                    Err(error) => {
                        assert!(self.may_break, "{error}");
                        reader.is_broken = true;
                        true
                    }
                }
            }
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
            Asks::Poll { query, since, answer } => {
                let request =
                    Request::get(format!("/topics/{}?wait=2&since={since}{query}", reader.selector));
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
    pub(super) fn states(&self) -> BTreeMap<u64, String> {
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
    pub(super) fn settle(&mut self) {
        self.log.refuse_reads(None);
        let mut idle = 0;
        // A poll that is paced is held before each page.
        let is_paced =
            |reader: &Reader| matches!(&reader.asks, Asks::Poll { query, .. } if query.contains("every"));
        let rounds = if self.readers.iter().any(is_paced) { 8 } else { 4 };
        while idle < rounds {
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
