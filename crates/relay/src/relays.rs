//! The relays of a hub, and what they answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tidings_http::{Api, ApiBuilder, ClientWatch, Refusal, RelayTopics, Relayed, take_api_key};
use tidings_hub::{Producer, ProducerError, ProducerOptions};
use tidings_protocol::{ProblemKind, Topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caller::{self, Caller};
use crate::catch_up::CatchUp;
use crate::config::{InvalidRelay, InvalidRelays, OnLeave, RelayConfig};
use crate::defaults;
use crate::fields;
use crate::lanes::InLane;
use crate::passed::pass;
use crate::run::{Outcome, Run, Times, Transcript};
use crate::share::{Place, SharedRuns, Source, keep};
use crate::upstream::{self, Events, Question, Upstream};

/// The relays of a hub. Clones are the same relays.
///
/// ```no_run
/// use tidings_http::{Api, HttpConfig};
/// use tidings_relay::{RelayConfig, Relays};
/// # async fn run(hub: tidings_hub::Hub, listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
/// let relays = Relays::new([("models".to_owned(), RelayConfig::to("http://127.0.0.1:11434"))])?;
/// let api = relays.allow(Api::builder(hub, HttpConfig::default()).open_to_this_machine()).build();
/// // `POST /relay/models/v1/chat/completions` is answered by the endpoint, and can be read again in its topic.
/// axum::serve(listener, api.router_with(relays.router(&api))).await?;
/// relays.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Relays(Arc<RelaysState>);

#[derive(Debug)]
struct RelaysState {
    relays: BTreeMap<String, Arc<Relay>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One relay.
#[derive(Debug)]
struct Relay {
    name: String,
    upstream: Arc<Upstream>,
    topics: RelayTopics,
    methods: Vec<Method>,
    on_leave: OnLeave,
    silence: Duration,
    shared: Option<SharedRuns>,
    share_linger: Duration,
    /// Runs that may be begun.
    free: Arc<Semaphore>,
    max_runs: usize,
}

/// A request to a relay that may be answered.
struct Asked {
    api: Api,
    relay: Arc<Relay>,
    parts: Parts,
    /// Where the API is mounted.
    mount: String,
    /// What follows on the relay's name.
    below: String,
    watch: ClientWatch,
}

/// The methods that can be relayed.
const RELAYABLE: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
const ROOT: &str = "/relay/";
/// What stands for itself in a path.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

// === impl Relays ===

impl Relays {
    /// Sets relays up, each under its name.
    ///
    /// # Errors
    /// [`InvalidRelays`] says which of them cannot be, and why.
    pub fn new(configs: impl IntoIterator<Item = (String, RelayConfig)>) -> Result<Self, InvalidRelays> {
        let own_name = format!("{:016x}", fastrand::u64(..)).into();
        let mut relays = BTreeMap::<_, Arc<Relay>>::new();
        for (name, config) in configs {
            let invalid = |problem| InvalidRelays { name: name.clone(), problem };
            let relay = Relay::new(&name, &config, &own_name).map_err(invalid)?;
            if relays.values().any(|other| other.topics == relay.topics) {
                return Err(invalid(InvalidRelay::SharedTopic(relay.topics.to_string())));
            }
            if relays.contains_key(&name) {
                return Err(invalid(InvalidRelay::Twice(name.clone())));
            }
            relays.insert(name, Arc::new(relay));
        }
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self(Arc::new(RelaysState { relays, tasks, stop })))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.relays.is_empty()
    }

    /// Has whoever may use a relay read its topics.
    pub fn allow(&self, builder: ApiBuilder) -> ApiBuilder {
        let relays = self.0.relays.values();
        relays.fold(builder, |builder, relay| builder.relay(relay.name.clone(), relay.topics.clone()))
    }

    /// The routes below `/relay/`, to be served beside those of the API that was [told](Self::allow) of the relays.
    pub fn router(&self, api: &Api) -> Router {
        let route = any(async |State((relays, api)): State<(Self, Api)>, request: Request| {
            match relays.answer(&api, request).await {
                Ok(response) => response,
                Err(refusal) => refusal.into_response(),
            }
        });
        Router::new()
            .route("/relay/{name}", route.clone())
            .route("/relay/{name}/", route.clone())
            .route("/relay/{name}/{*path}", route)
            .with_state((self.clone(), api.clone()))
    }

    /// Ends what is under way: requests to endpoints are cancelled, and their topics end as `aborted`. To be called before the
    /// hub is closed.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if timeout(defaults::SHUTDOWN, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(runs = self.0.tasks.len(), "answers of endpoints could not be ended in time");
        }
    }

    async fn answer(&self, api: &Api, request: Request) -> Result<Response, Refusal> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path();
        let original = parts.extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri.path());
        let mount = original.and_then(|original| original.strip_suffix(path)).unwrap_or_default().to_owned();
        let rest = path.strip_prefix(ROOT).unwrap_or_default();
        let (name, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (name, below) = (name.to_owned(), below.to_owned());
        if !RELAYABLE.contains(&parts.method) {
            return Err(Refusal::method(methods(&RELAYABLE)));
        }
        let headers = parts.headers.clone();
        take_api_key(&mut parts.headers);
        api.admit_to_relay(&parts, &name).await?;
        let Some(relay) = self.0.relays.get(&name) else {
            let shown: String = name.chars().take(defaults::NAME_BYTES).collect();
            return Err(Refusal::new(ProblemKind::NotFound, format!("there is no relay `{shown}` here")));
        };
        if !relay.methods.contains(&parts.method) {
            return Err(Refusal::method(methods(&relay.methods)));
        }
        relay.upstream.check_way(&headers)?;
        let watch = Api::watch_client(&parts);
        let (api, relay) = (api.clone(), Arc::clone(relay));
        let asked = Asked { api, relay, parts, mount, below, watch };
        let (counts, name) = (asked.api.clone(), asked.relay.name.clone());
        let answered = match asked.relay.shared {
            Some(_) => self.share(asked).await,
            None => self.relay(asked, headers, body).await,
        };
        match answered {
            Ok((relayed, response)) => {
                counts.count_relayed(&name, relayed);
                Ok(response)
            }
            Err(refusal) => {
                counts.count_relayed(&name, Relayed::Failed);
                Err(refusal)
            }
        }
    }

    /// Asks the endpoint for one caller.
    async fn relay(
        &self,
        asked: Asked,
        headers: http::HeaderMap,
        body: Body,
    ) -> Result<(Relayed, Response), Refusal> {
        let Asked { api, relay, parts, mount, below, watch } = asked;
        let permit = relay.permit()?;
        let is_head = parts.method == Method::HEAD;
        let query = parts.uri.query().map(str::to_owned);
        let question = Question { method: parts.method, path: below, query, headers, body };
        let answered = relay.upstream.ask(question, api.config().body_timeout).await?;
        let Some(events) = upstream::events(&answered.0)?.filter(|_| !is_head) else {
            return Ok((Relayed::Other, pass(answered, relay.silence, watch)));
        };
        let (topic, producer) = relay.produce(&api).await?;
        let catch_up = CatchUp::new(api.hub().clone(), topic.clone(), events == Events::Stream);
        let (caller, body) = caller::answer(events == Events::Stream, catch_up, watch);
        let mut answer = Response::new(Body::new(body));
        head(answer.headers_mut(), answered.0.headers(), &mount, &topic);
        let run = self.run(&api, &relay, (topic, producer), answered, events, Some(caller));
        drop(self.0.tasks.spawn(async move {
            let (name, topic) = (relay.name.clone(), run.topic.clone());
            tell(&name, &topic, &Box::pin(run.go()).await);
            drop(permit);
        }));
        Ok((Relayed::Stream, answer))
    }

    /// Has a caller read what all callers of the same URL share.
    async fn share(&self, asked: Asked) -> Result<(Relayed, Response), Refusal> {
        let Asked { api, relay, mut parts, below, mount, watch } = asked;
        let Some(shared) = &relay.shared else {
            return Err(Refusal::new(ProblemKind::NotFound, "the relay is not shared"));
        };
        let query = parts.uri.query().and_then(fields::query_for_endpoint);
        let key = format!("{below}?{}", query.as_deref().unwrap_or_default());
        let slot = shared.slot(&key);
        let mut place = slot.lock().await;
        let is_first = place.is_none();
        if is_first {
            let begun = self.begin_shared(&api, &relay, &below, query, key.clone()).await;
            match begun {
                Ok(Ok(begun)) => *place = Some(begun),
                Ok(Err(other)) => {
                    drop(place);
                    shared.tidy(&key, &slot);
                    return Ok((Relayed::Other, pass(other, relay.silence, watch)));
                }
                Err(refusal) => {
                    drop(place);
                    shared.tidy(&key, &slot);
                    return Err(refusal);
                }
            }
        }
        let found = place.clone();
        drop(place);
        let Some(place) = found else {
            return Err(Refusal::new(
                ProblemKind::Unavailable,
                "the answer is not there any more; ask again",
            ));
        };
        // What the endpoint is asked says nothing of where to read.
        parts.uri = parts.uri.path().parse().unwrap_or_default();
        let location = location(&mount, &place.topic);
        let mut response = api.read_plainly(&parts, place.topic.clone(), place.start(is_first)).await;
        if response.status().is_success()
            && let Some(location) = location
        {
            response.headers_mut().insert(LOCATION, location);
        }
        Ok((Relayed::Stream, response))
    }

    /// Begins what callers share. An answer that has no events is for the one who asked.
    async fn begin_shared(
        &self,
        api: &Api,
        relay: &Arc<Relay>,
        path: &str,
        query: Option<String>,
        key: String,
    ) -> Result<Result<Place, (reqwest::Response, InLane)>, Refusal> {
        let permit = relay.permit()?;
        let answered = relay.upstream.ask_for_all(path, query.as_deref(), "").await?;
        if upstream::events(&answered.0)? != Some(Events::Stream) {
            return Ok(Err(answered));
        }
        let end = api.hub().end();
        let begin = end.lineage.id(end.latest);
        let (topic, producer) = relay.produce(api).await?;
        let place = Place { topic: topic.clone(), begin };
        let mut run = self.run(api, relay, (topic.clone(), producer), answered, Events::Stream, None);
        run.on_leave = OnLeave::Cancel;
        run.times.unread = relay.share_linger;
        let upstream = Arc::clone(&relay.upstream);
        let source = Source { upstream, path: path.to_owned(), query, limit: api.config().max_event_bytes };
        let relay = Arc::clone(relay);
        drop(self.0.tasks.spawn(async move {
            let outcome = Box::pin(keep(run, source)).await;
            tell(&relay.name, &topic, &outcome);
            if let Some(shared) = &relay.shared {
                let slot = shared.slot(&key);
                *slot.lock().await = None;
                shared.tidy(&key, &slot);
            }
            drop(permit);
        }));
        Ok(Ok(place))
    }

    fn run(
        &self,
        api: &Api,
        relay: &Relay,
        (topic, producer): (Topic, Producer),
        (response, in_lane): (reqwest::Response, InLane),
        events: Events,
        caller: Option<Caller>,
    ) -> Run {
        let config = api.config();
        let times =
            Times { silence: relay.silence, heartbeat: config.heartbeat, unread: defaults::LEAVE_GRACE };
        Run {
            hub: api.hub().clone(),
            topic,
            producer,
            response,
            in_lane,
            transcript: Transcript::new(events, config.max_event_bytes),
            caller,
            times,
            on_leave: relay.on_leave,
            stop: self.0.stop.clone(),
            counted: api.count_relay_run(&relay.name),
            settled: 0,
            read: Instant::now(),
        }
    }
}

/// Tells how a run ended, to whoever runs the hub.
fn tell(relay: &str, topic: &Topic, outcome: &Outcome) {
    match outcome {
        Outcome::Broken(why) => tracing::warn!(relay, %topic, why, "the answer of an endpoint broke off"),
        Outcome::Refused(why) => {
            tracing::warn!(relay, %topic, why, "the answer of an endpoint could not be kept");
        }
        Outcome::Whole | Outcome::Ended | Outcome::Left | Outcome::Shutdown => {
            tracing::debug!(relay, %topic, ?outcome, "the answer of an endpoint is over");
        }
    }
}

/// Writes the head of an answer with events.
fn head(own: &mut http::HeaderMap, of_endpoint: &http::HeaderMap, mount: &str, topic: &Topic) {
    *own = fields::for_caller(of_endpoint);
    own.remove(CONTENT_LENGTH);
    // A proxy on the way would keep events back, or pack them.
    own.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, no-transform"));
    own.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    if let Some(location) = location(mount, topic) {
        own.insert(LOCATION, location);
    }
}

/// Where a topic is read.
fn location(mount: &str, topic: &Topic) -> Option<HeaderValue> {
    let path = utf8_percent_encode(topic.as_str(), PATH);
    HeaderValue::from_str(&format!("{mount}/topics/{path}")).ok()
}

// === impl Relay ===

impl Relay {
    fn new(name: &str, config: &RelayConfig, own_name: &Arc<str>) -> Result<Self, InvalidRelay> {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if !(1..=defaults::NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(InvalidRelay::Name(name.chars().take(defaults::NAME_BYTES).collect()));
        }
        if config.max_runs == 0 {
            return Err(InvalidRelay::MaxRuns);
        }
        let usual = || vec![if config.share { "GET" } else { "POST" }.to_owned()];
        let methods = config.methods.clone().unwrap_or_else(usual);
        let methods = methods.iter().map(|method| relayable(method)).collect::<Result<Vec<_>, _>>()?;
        if config.share && methods != [Method::GET] {
            return Err(InvalidRelay::Share);
        }
        let topic = config.topic.clone().unwrap_or_else(|| format!("relay/{name}/{{id}}"));
        let max_runs = config.max_runs.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            name: name.to_owned(),
            upstream: Arc::new(Upstream::new(config, Arc::clone(own_name))?),
            topics: topic.parse()?,
            methods,
            on_leave: config.on_leave,
            silence: config.silence_timeout,
            shared: config.share.then(SharedRuns::default),
            share_linger: config.share_linger,
            free: Arc::new(Semaphore::new(max_runs)),
            max_runs,
        })
    }

    /// Room for one more run.
    fn permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{} answers of this relay are under way, the most that may be (`max-runs`)",
                self.max_runs
            );
            Refusal::new(ProblemKind::Busy, detail)
        })
    }

    /// A topic of its own for an answer.
    async fn produce(&self, api: &Api) -> Result<(Topic, Producer), Refusal> {
        let unavailable =
            |error: &dyn std::fmt::Display| Refusal::new(ProblemKind::Unavailable, error.to_string());
        let topic = self.topics.fresh().map_err(|error| unavailable(&error))?;
        let options = ProducerOptions { close: true, ..ProducerOptions::default() };
        match api.hub().produce(topic.clone(), options).await {
            Ok(producer) => Ok((topic, producer)),
            Err(ProducerError::Refused(error)) => Err(error.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

fn methods(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

fn relayable(text: &str) -> Result<Method, InvalidRelay> {
    let invalid = || InvalidRelay::Method(text.chars().take(defaults::NAME_BYTES).collect());
    RELAYABLE.into_iter().find(|method| method.as_str() == text).ok_or_else(invalid)
}
