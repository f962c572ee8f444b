use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Url;
use tidings_protocol::Page;
use tokio::time::{Instant, sleep_until};

use crate::answer::Failure;
use crate::backoff::Backoff;
use crate::ladder::Ladder;
use crate::page::poll;
use crate::received::Received;
use crate::socket::Socket;
use crate::stream::EventStream;
use crate::subscribe::Plan;
use crate::{Client, Interruption, Item, Since, SubscribeError, Transport, defaults};

/// What a hub advises to whom a stream would suit better.
const STREAM: &str = "stream";

/// The life of a subscription, from attempt to attempt: one loop over one cursor, whichever the transport.
pub(crate) struct Session {
    client: Client,
    url: Url,
    since: Since,
    plan: Plan,
    /// After everything that is in `ready`, or was.
    cursor: Option<String>,
    ladder: Ladder,
    backoff: Backoff,
    stage: Stage,
    /// The transport that the consumer was last told is open.
    open: Option<Transport>,
    /// Whether the last token was refused, and this is the attempt with another one.
    token_refused: bool,
    /// What one chunk of a stream, or one page, held.
    ready: VecDeque<Step>,
}

enum Stage {
    Attempt,
    Rest(Instant),
    Stream(Box<EventStream>),
    Socket(Socket),
    Over,
}

/// What the consumer gets, and where the cursor is once it has it.
pub(crate) struct Step {
    pub(crate) item: Option<Result<Item, SubscribeError>>,
    pub(crate) cursor: Option<String>,
}

// === impl Session ===

impl Session {
    pub(crate) fn new(client: Client, url: Url, since: Since, plan: Plan) -> Self {
        Self {
            client,
            url,
            since,
            ladder: Ladder::new(plan.transports.clone(), plan.stream_again),
            plan,
            cursor: None,
            backoff: Backoff::new(),
            stage: Stage::Attempt,
            open: None,
            token_refused: false,
            ready: VecDeque::new(),
        }
    }

    pub(crate) async fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Some(step);
            }
            match &mut self.stage {
                Stage::Over => return None,
                Stage::Rest(until) => {
                    sleep_until(*until).await;
                    self.stage = Stage::Attempt;
                }
                Stage::Attempt => match self.ladder.rung(Instant::now()) {
                    rung @ (Transport::LongPoll | Transport::Poll) => self.poll(rung).await,
                    Transport::WebSocket => self.open_socket().await,
                    Transport::Sse | Transport::Auto => self.open_stream().await,
                },
                Stage::Stream(_) => self.read_stream().await,
                Stage::Socket(_) => self.read_socket().await,
            }
        }
    }

    fn url(&self) -> Url {
        let mut url = self.url.clone();
        Plan::begin_at(&mut url, &self.since, self.cursor.as_deref());
        url
    }

    async fn open_stream(&mut self) {
        let mut url = self.url();
        let heartbeat = self.plan.heartbeat.as_secs().to_string();
        url.query_pairs_mut().append_pair("envelope", "true").append_pair("heartbeat", &heartbeat);
        let patience = self.plan.patience(self.ladder.may_fall());
        match EventStream::open(&self.client, url, patience, self.plan.event_bytes).await {
            Ok(Some(stream)) => {
                self.token_refused = false;
                self.stage = Stage::Stream(Box::new(stream));
            }
            Ok(None) => self.tell(Received::End { cursor: None, reason: None }),
            Err(failure) => self.failed(failure),
        }
    }

    async fn read_stream(&mut self) {
        let Stage::Stream(stream) = &mut self.stage else { return };
        let (told, result) = stream.read(self.plan.patience(self.ladder.may_fall())).await;
        let settled = result.is_ok() && stream.is_settled();
        self.take(told, Transport::Sse, settled);
        if let Err(reason) = result
            && !matches!(self.stage, Stage::Over)
        {
            self.failed(reason.into());
        }
    }

    async fn open_socket(&mut self) {
        let mut url = self.url();
        url.query_pairs_mut().append_pair("heartbeat", &self.plan.heartbeat.as_secs().to_string());
        let patience = self.plan.patience(self.ladder.may_fall());
        match Socket::open(&self.client, url, patience, self.plan.event_bytes).await {
            Ok(Some(socket)) => self.stage = Stage::Socket(socket),
            Ok(None) => self.tell(Received::End { cursor: None, reason: None }),
            Err(failure) => self.failed(failure),
        }
    }

    async fn read_socket(&mut self) {
        let Stage::Socket(socket) = &self.stage else { return };
        let (told, result) = socket.read(self.plan.patience(self.ladder.may_fall())).await;
        // What was told shows that the token is taken: a socket may open before that is known.
        self.token_refused &= told.is_empty();
        let settled = result.is_ok() && socket.is_settled();
        self.take(told, Transport::WebSocket, settled);
        if let Err(failure) = result
            && !matches!(self.stage, Stage::Over)
        {
            self.failed(failure);
        }
    }

    /// Takes what a piece of a stream, or messages of a socket, told.
    fn take(&mut self, told: Vec<Received>, transport: Transport, settled: bool) {
        if settled || told.iter().any(|told| matches!(told, Received::Event(_))) {
            self.succeeded();
        }
        for told in told {
            let shows_place = told.shows_place();
            // A cursor comes to the consumer with the word that the stream is open, and that before any event.
            if let Received::Cursor(cursor) = told {
                self.cursor = Some(cursor);
                self.opened(transport);
                self.moved();
            } else {
                if shows_place {
                    self.opened(transport);
                }
                self.tell(told);
            }
        }
    }

    async fn poll(&mut self, rung: Transport) {
        // The first poll finds out where it is, and whether polls are answered at all. Were it held, and broke,
        // nobody would know from which cursor to go on.
        let held = rung == Transport::LongPoll && self.cursor.is_some() && self.ladder.is_proven();
        let wait = if held { self.plan.wait } else { Duration::ZERO };
        let asked = Instant::now();
        match poll(&self.client, self.url(), wait, self.plan.page_bytes()).await {
            Ok(Some(page)) => {
                self.succeeded();
                self.opened(rung);
                let is_advised = page.advice.as_ref().is_some_and(|advice| advice.transport == STREAM)
                    && self.ladder.advised(Instant::now());
                let rest = self.rest_after(&page, rung, held, asked.elapsed()).filter(|_| !is_advised);
                self.stage = rest.map_or(Stage::Attempt, |rest| Stage::Rest(Instant::now() + rest));
                Received::from_page(page).for_each(|told| self.tell(told));
            }
            Ok(None) => self.tell(Received::End { cursor: None, reason: None }),
            Err(failure) => self.failed(failure),
        }
    }

    /// How long to rest before the next poll, where there is no reason to ask at once.
    fn rest_after(&self, page: &Page, rung: Transport, held: bool, took: Duration) -> Option<Duration> {
        let found = !page.events.is_empty() || page.gap.is_some();
        let moved = self.cursor.as_ref() != Some(&page.next);
        if page.more && (found || moved) {
            return None;
        }
        match rung {
            Transport::LongPoll if found || !held || took >= defaults::EMPTY_POLL_PAUSE => None,
            Transport::LongPoll => Some(defaults::EMPTY_POLL_PAUSE),
            _ => Some(self.plan.interval),
        }
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.ladder.succeeded();
        self.token_refused = false;
    }

    fn opened(&mut self, transport: Transport) {
        if self.open != Some(transport) {
            self.open = Some(transport);
            self.push(Item::Open { transport });
        }
    }

    fn tell(&mut self, told: Received) {
        match told {
            Received::Event(event) => {
                self.cursor = Some(event.id().to_owned());
                self.push(Item::Event(event));
            }
            Received::Gap(gap) => {
                self.cursor = Some(gap.resumed.clone());
                self.push(Item::Gap(gap));
            }
            Received::Cursor(cursor) => {
                self.cursor = Some(cursor);
                self.moved();
            }
            Received::Retry(base) => self.backoff.set_base(base),
            Received::End { cursor, reason } => {
                self.cursor = cursor.or(self.cursor.take());
                self.push(Item::Closed { reason });
                self.stage = Stage::Over;
            }
        }
    }

    fn failed(&mut self, failure: Failure) {
        let (reason, after) = match failure {
            Failure::Lasting(problem) => return self.end(SubscribeError::Refused(problem)),
            Failure::Untrusted(reason) => return self.end(SubscribeError::Untrusted { reason }),
            Failure::Unauthorized(problem) if self.token_refused || !self.client.token_may_change() => {
                return self.end(SubscribeError::Refused(problem));
            }
            Failure::Unauthorized(problem) => {
                self.token_refused = true;
                let delay = self.backoff.at_once();
                return self.reconnect(Interruption::Refused(problem), delay);
            }
            Failure::Passing { reason, after } => (reason, after),
        };
        let delay = if self.ladder.failed(&reason, Instant::now()) {
            self.backoff.at_once()
        } else {
            self.backoff.next(after)
        };
        self.reconnect(reason, delay);
    }

    fn reconnect(&mut self, reason: Interruption, after: Duration) {
        tracing::debug!(%reason, ?after, cursor = self.cursor, "subscribing again");
        self.open = None;
        self.stage = Stage::Rest(Instant::now() + after);
        self.push(Item::Reconnecting { after, attempt: self.backoff.attempt(), reason });
    }

    fn end(&mut self, error: SubscribeError) {
        self.stage = Stage::Over;
        let item = Some(Err(error));
        self.ready.push_back(Step { item, cursor: self.cursor.clone() });
    }

    fn moved(&mut self) {
        self.ready.push_back(Step { item: None, cursor: self.cursor.clone() });
    }

    fn push(&mut self, item: Item) {
        self.ready.push_back(Step { item: Some(Ok(item)), cursor: self.cursor.clone() });
    }
}

/// When a stream is open, and when it is good, as `clients/vectors` says it.
#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tokio::time::advance;

    use super::*;
    use crate::stream::vectors::stream;

    #[derive(Deserialize)]
    struct Cases {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        outcome: Option<String>,
        pieces: Vec<Piece>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Piece {
        at: u64,
        text: String,
        open: bool,
        good: bool,
    }

    fn session() -> Session {
        let client = Client::new("http://hub").unwrap();
        let plan = client.subscribe(["a"]).plan().clone();
        let url = client.endpoint().events();
        Session::new(client, url, Since::Latest, plan)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_open_and_good_when_every_client_says_so() {
        let Cases { cases } =
            serde_json::from_str(include_str!("../../../clients/vectors/streams.json")).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let (mut session, mut now) = (session(), 0);
            let mut stream = stream(&case.pieces[0].text);
            for piece in &case.pieces {
                advance(Duration::from_millis(piece.at - now)).await;
                now = piece.at;
                let (told, result) = stream.piece(&piece.text);
                session.take(told, Transport::Sse, result.is_ok() && stream.is_settled());
                let told =
                    session.ready.drain(..).any(|step| matches!(step.item, Some(Ok(Item::Open { .. }))));
                assert!(!told || piece.open, "{}, at {now}: it said that it is open", case.name);
                let seen = (session.open.is_some(), session.ladder.is_proven());
                assert_eq!(seen, (piece.open, piece.good), "{}, at {now}", case.name);
            }
            match case.outcome.as_deref() {
                None => {}
                Some("ended") => assert!(matches!(stream.end(), Interruption::Ended), "{}", case.name),
                Some("postponed") => {
                    assert!(matches!(stream.end(), Interruption::Postponed), "{}", case.name);
                }
                Some(other) => unreachable!("`{other}` is no outcome"),
            }
        }
    }
}
