//! What a facade asks of the API that it stands beside: another protocol over the same hub, with tokens and words of its own.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::ORIGIN;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use tidings_hub::{Published, Subscription};
use tidings_log::Batch;
use tidings_protocol::ProblemKind;

use crate::api::auth::{BAD_TOKEN, NO_TOKEN, SMALL_TOKEN};
use crate::api::origin::is_origin_of;
use crate::api::problem::Refusal;
use crate::api::{body, publish, stream};
use crate::delivery::lease::{Guard, Lease};
use crate::delivery::memory::{Client, Portion};
use crate::limit::Limit;
use crate::{Api, ClientAddress, Cors};

/// Who sent a request to a facade, as far as its token says.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Whom the token is of. Limits count by it.
    pub subject: Option<Arc<str>>,
    /// When the token ends, and reading with it.
    pub until: Option<SystemTime>,
    /// Whether there is a token.
    pub has_token: bool,
}

/// A body, which counts among those that are under way for as long as this lives.
#[derive(Debug)]
pub struct WholeBody {
    /// What it is.
    pub bytes: Bytes,
    _memory: Portion,
}

// === impl Caller ===

impl Caller {
    fn client(&self, request: &Parts) -> Client {
        if let Some(subject) = &self.subject {
            return Client::Subject(Arc::clone(subject));
        }
        Client::of(&request.extensions, None)
    }

    /// For whom a reader or a publication counts, where there is a token.
    fn counted(&self, request: &Parts) -> Option<Client> {
        Some(self.client(request)).filter(|client| self.has_token && *client != Client::Unknown)
    }
}

// === impl Api ===

impl Api {
    /// Whether a request is from a page that may change something in the name of its user: of the hub's own origin, or one
    /// that its operator has named.
    #[must_use]
    pub fn is_from_trusted_page(&self, request: &Parts) -> bool {
        let trusts = |origin: &HeaderValue| {
            self.config.cors.trusts(origin)
                || is_origin_of(origin, &request.uri, &request.headers, &request.extensions)
        };
        request.headers.get(ORIGIN).is_some_and(trusts)
    }

    /// Reads the body of a publication, of at most so many bytes, as often as its sender may publish.
    ///
    /// # Errors
    /// The [`Refusal`] that says what would be right.
    pub async fn read_publication(
        &self,
        request: &Parts,
        body: Body,
        limit: usize,
        caller: &Caller,
    ) -> Result<WholeBody, Refusal> {
        let address = request.extensions.get::<ClientAddress>().copied();
        self.rates.check_counted(self, address, caller.counted(request))?;
        let whole = body::read(self, caller.client(request), &request.headers, body, limit).await?;
        Ok(WholeBody { bytes: whole.bytes, _memory: whole.memory })
    }

    /// Appends a batch, and counts it.
    ///
    /// # Errors
    /// The [`Refusal`] of a batch that is not in the log then, as [`AppendError`](tidings_log::AppendError) says it.
    pub async fn append(&self, batch: Batch) -> Result<Published, Refusal> {
        publish::publish(self, batch).await
    }

    /// Answers with a stream of updates as Mercure has it, and these fields beside. What is `kept` is dropped when it is over.
    pub async fn stream_updates(
        &self,
        request: &Parts,
        subscription: &Subscription,
        caller: &Caller,
        fields: HeaderMap,
        kept: Option<Guard>,
    ) -> Response {
        let answer = async {
            let lease = self.lease_of(request, caller, kept)?;
            let reader = crate::api::read::Reader { client: caller.client(request), lease };
            let reply = stream::updates(self, request, subscription, reader, fields);
            let mut reply = reply.settled(self, &request.extensions).await?;
            reply.head_mut().extensions_mut().insert(crate::metrics::Transport::Stream);
            Ok(reply)
        };
        match answer.await {
            Ok(reply) => reply.into_response(),
            Err(refusal) => Self::put_off(request, refusal),
        }
    }

    /// Refuses a stream: for a reason that passes by itself, with a stream that ends and says when to come back.
    #[must_use]
    pub fn put_off(request: &Parts, refusal: Refusal) -> Response {
        if request.method == Method::GET && refusal.passes() {
            return stream::put_off(crate::delivery::frames::Form::Stream, &refusal);
        }
        refusal.into_response()
    }

    fn lease_of(
        &self,
        request: &Parts,
        caller: &Caller,
        kept: Option<Guard>,
    ) -> Result<Option<Lease>, Refusal> {
        let most = self.config.max_connections_per_subject;
        let share = match caller.subject.is_some().then(|| caller.counted(request)).flatten() {
            Some(counted) => Some(self.subjects.share(&counted, most).ok_or_else(|| {
                self.metrics.count_limit(Limit::ConnectionsPerSubject);
                let detail = format!("{most} readers wait for {}, the most that may", counted.name());
                Refusal::new(ProblemKind::TooManyRequests, detail)
            })?),
            None => None,
        };
        let until = match caller.until {
            Some(until) => Instant::now() + until.duration_since(SystemTime::now()).unwrap_or_default(),
            // Nothing of it needs a lease.
            None if share.is_none() && kept.is_none() => return Ok(None),
            None => Instant::now() + crate::defaults::LONGEST_LEASE,
        };
        Ok(Some(Lease::new(until, share).keeping(kept)))
    }

    /// Which pages of other origins may use the hub.
    #[must_use]
    pub fn cors(&self) -> &Cors {
        &self.config.cors
    }
}

// === impl Refusal ===

impl Refusal {
    /// 401 for whoever shows no token where one is needed.
    pub fn no_token(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Unauthorized, detail).challenge(NO_TOKEN)
    }

    /// 401 for a token that is of no use.
    pub fn bad_token(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Unauthorized, detail).challenge(BAD_TOKEN)
    }

    /// 403 for a token that does not cover what is asked for.
    pub fn small_token(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Forbidden, detail).challenge(SMALL_TOKEN)
    }
}
