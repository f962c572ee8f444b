//! What a hub answers: routes, negotiation, who may do what, problems, caching, and what is counted and logged of requests.
//! It knows no sockets.

pub(crate) mod accept;
pub(crate) mod access;
pub(crate) mod advice;
pub(crate) mod auth;
pub(crate) mod authority;
pub(crate) mod body;
mod builder;
pub(crate) mod caching;
pub(crate) mod client;
pub(crate) mod coding;
pub(crate) mod cors;
pub(crate) mod delete;
pub(crate) mod facade;
pub(crate) mod forwarded;
pub(crate) mod guard;
pub(crate) mod hosts;
pub(crate) mod mounted;
pub(crate) mod origin;
pub(crate) mod poll;
pub(crate) mod problem;
pub(crate) mod publish;
pub(crate) mod query;
pub(crate) mod rate;
pub(crate) mod read;
pub(crate) mod relay;
pub(crate) mod reply;
mod routes;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod topics;
pub(crate) mod trace;
pub(crate) mod turns;
pub(crate) mod websocket;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidings_hub::Hub;
use tidings_protocol::ProblemKind;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::builder::ApiBuilder;
use crate::api::advice::Adviser;
use crate::api::problem::Refusal;
use crate::api::rate::Rates;
use crate::api::turns::Turns;
use crate::delivery::context::Context;
use crate::delivery::lease::Subjects;
use crate::delivery::memory::Budget;
use crate::delivery::parking::{Messages, ParkedConnections, Parking};
use crate::metrics::Metrics;
use crate::{Auth, HttpConfig, defaults};

/// A hub with its HTTP API. Clones are the same API.
#[derive(Debug, Clone)]
pub struct Api(Arc<Parts>);

/// What an API consists of. Every request has the API, so that is one pointer.
#[derive(Debug, Clone)]
pub struct Parts {
    /// What delivery works with as well; its fields can be named as if they were here.
    pub(crate) context: Context,
    pub(crate) auth: Auth,
    pub(crate) subjects: Subjects,
    /// Requests that are under way in other programs, by address.
    pub(crate) addresses: Subjects,
    /// All of them.
    pub(crate) under_way: TaskTracker,
    pub(crate) rates: Arc<Rates>,
    /// Who polls a busy topic again and again.
    pub(crate) adviser: Arc<Adviser>,
    /// Turns to parse large bodies.
    pub(crate) parses: Arc<Semaphore>,
    /// Turns to list the topics.
    pub(crate) listings: Turns,
    /// The shards that deliver what readers wait for.
    pub(crate) parking: Parking,
    /// Counts the lines of the program's log that were lost.
    pub(crate) dropped_log_lines: Option<fn() -> u64>,
}

// === impl Api ===

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Deref for Parts {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Api {
    /// Begins to give a hub its API. Nobody may do anything, until the builder is told who may.
    pub fn builder(hub: Hub, config: HttpConfig) -> ApiBuilder {
        ApiBuilder { hub, config, auth: Auth::closed(), dropped_log_lines: None, relays: Vec::new() }
    }

    fn new(builder: ApiBuilder) -> Self {
        let ApiBuilder { hub, config, auth, dropped_log_lines, relays } = builder;
        auth.set_relays(relays);
        let metrics = Arc::new(Metrics::new());
        Self(Arc::new(Parts {
            rates: Arc::new(Rates::new(&config)),
            adviser: Arc::default(),
            context: Context {
                hub,
                bodies: Budget::new(config.max_buffered_bytes, &metrics),
                answers: Budget::new(config.max_buffered_bytes, &metrics),
                config: Arc::new(config),
                metrics,
                draining: CancellationToken::new(),
                lately: Arc::default(),
            },
            auth,
            subjects: Subjects::default(),
            addresses: Subjects::default(),
            under_way: TaskTracker::new(),
            parses: Arc::new(Semaphore::new(defaults::PARSES)),
            listings: Turns::new(defaults::LISTINGS),
            parking: Parking::default(),
            dropped_log_lines,
        }))
    }

    /// Begins to shut down (§4): held polls are answered with what they have, and streams end between two
    /// events, each with a `retry:` of its own. New streams get the same. It does not wait for any of them; see
    /// [`closed`](Self::closed).
    pub fn drain(&self) {
        self.draining.cancel();
        self.parking.drain();
    }

    /// What the API parks with.
    pub(crate) fn parked(&self) -> Result<Arc<ParkedConnections>, Refusal> {
        self.parking.get(&self.context, || self.messages()).map_err(|error| {
            tracing::error!(%error, "failed to start the threads that deliver events");
            Refusal::new(ProblemKind::Unavailable, "the hub has no thread that could deliver events")
        })
    }

    /// The same API for the threads of its parked connections, which do not keep these.
    pub(crate) fn messages(&self) -> Arc<dyn Messages> {
        Arc::new(Self(Arc::new(Parts { parking: Parking::default(), ..Parts::clone(self) })))
    }

    /// Waits for a signal, and [drains](Self::drain): what `axum::serve` takes to shut down gracefully.
    ///
    /// ```no_run
    /// # async fn run(listener: tokio::net::TcpListener, app: axum::Router, api: tidings_http::Api) -> std::io::Result<()> {
    /// let signal = async { tokio::signal::ctrl_c().await.unwrap() };
    /// axum::serve(listener, app).with_graceful_shutdown(api.drain_on(signal)).await?;
    /// api.hub().close().await.unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain_on<F: Future<Output = ()>>(&self, signal: F) -> impl Future<Output = ()> + use<F> {
        let api = self.clone();
        async move {
            signal.await;
            api.drain();
        }
    }

    /// Waits until the API begins to drain.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Waits until the API drains and every request that came to its [router](Self::router) is answered to the end. Whoever
    /// takes nothing of an answer can keep it open, so give it a time-out.
    pub async fn closed(&self) {
        self.draining().await;
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// How many connections the API's server has taken since it began.
    #[must_use]
    pub fn accepted_connections(&self) -> u64 {
        self.metrics.accepted.get()
    }

    /// How many readers have come to the API's server since it began, on connections of their own or not: connections that
    /// were taken, and streams of HTTP/2 that wait. Each took memory for a moment that it needs no longer.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.metrics.accepted.get() + self.metrics.waiting_streams.load(Ordering::Relaxed)
    }

    /// The hub behind the API.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}
