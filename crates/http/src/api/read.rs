use std::time::Instant;

use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{Method, Request};
use tidings_protocol::{ProblemKind, Selection, Selector, Start, Topic};

use crate::api::auth::Access;
use crate::api::problem::Refusal;
use crate::api::query::{Query, ReadOptions};
use crate::api::reply::Reply;
use crate::delivery::caching::Caching;
use crate::delivery::frames::Form;
use crate::delivery::lease::Lease;
use crate::delivery::memory::Client;
use crate::limit::Limit;
use crate::metrics::Transport;
use crate::{Api, ClientAddress, api::poll, api::stream, defaults};

/// Who reads: for whom its memory is counted, and on what terms where a token was shown.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) client: Client,
    pub(crate) lease: Option<Lease>,
}

/// The selectors of `GET /events`.
pub(crate) fn selectors(api: &Api, parts: &Parts) -> Result<Vec<Selector>, Refusal> {
    let query = Query::new(parts.uri.query());
    let most = api.config.max_topics_per_request;
    if query.all("topic").count() > most {
        api.metrics.count_limit(Limit::TopicsPerRequest);
        return Err(Refusal::query(format!("one request reads at most {most} selectors")));
    }
    query.selectors()
}

/// `GET /topics/{selector}` and `GET /events` (§3): whichever form the reader accepts.
pub(crate) async fn answer(api: &Api, parts: &Parts, selectors: Vec<Selector>) -> Result<Reply, Refusal> {
    let form = Form::of(&parts.headers, parts.uri.query())?;
    match answer_in(form, api, parts, selectors).await {
        Err(refusal) if form.is_stream() && refusal.passes() => Ok(stream::put_off(form, &refusal).into()),
        answer => answer,
    }
}

/// Answers a reader of a topic who may read it, as a plain event stream that begins at `start`, or where the reader was.
pub(crate) async fn stream_of(api: &Api, parts: &Parts, topic: Topic, start: Start) -> Response {
    let answer = async {
        // What else the request asks is asked of somebody else.
        let options = ReadOptions { plain: true, ..ReadOptions::new(&Query::new(None), &parts.headers)? };
        let start = match &options.start {
            Some(own @ Start::Cursor(_)) => own.clone(),
            _ => start,
        };
        let access = api.auth.access(parts, &api.config.cors).await?;
        let client = Client::of(&parts.extensions, Some(&access));
        let reader = Reader { client, lease: lease(api, parts, &access)? };
        let subscription = api.hub.subscribe(Selection::new([topic.into()]), start).await?;
        let reply = stream::answer(api, parts, Form::Stream, &subscription, &options, false, reader);
        let mut reply = reply.settled(api, &parts.extensions).await?;
        reply.head_mut().extensions_mut().insert(Transport::Stream);
        Ok(reply)
    };
    match answer.await {
        Ok(reply) => reply.into_response(),
        Err(refusal) if Refusal::passes(&refusal) => stream::put_off(Form::Stream, &refusal),
        Err(refusal) => refusal.into_response(),
    }
}

/// Refuses a request that does not come to the routes, as they would.
pub(crate) fn refuse<B>(request: &Request<B>, refusal: Refusal) -> Response {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD)
        && (path == "/events" || path.starts_with("/topics/"));
    match Form::of(request.headers(), request.uri().query()) {
        Ok(form) if reads && form.is_stream() && refusal.passes() => stream::put_off(form, &refusal),
        _ => refusal.into_response(),
    }
}

async fn answer_in(form: Form, api: &Api, parts: &Parts, selectors: Vec<Selector>) -> Result<Reply, Refusal> {
    let options = ReadOptions::new(&Query::new(parts.uri.query()), &parts.headers)?;
    let access = api.auth.access(parts, &api.config.cors).await?;
    access.subscribe(&selectors)?;
    let caching = Caching::of(api, &access, &selectors, &options);
    let selection = options.selection(selectors);
    let long = form != Form::Page || !options.wait.is_zero();
    let start = options.start.clone().unwrap_or(if long { Start::Latest } else { Start::Earliest });
    // Whether it names the place itself, and so may be told that nothing will ever follow it.
    let returning = matches!(options.start, Some(Start::Cursor(_)));
    let client = Client::of(&parts.extensions, Some(&access));
    let lease = if long { lease(api, parts, &access)? } else { None };
    let reader = Reader { client, lease };
    let transport = match form {
        Form::Page if options.wait.is_zero() => Transport::Poll,
        Form::Page => Transport::LongPoll,
        Form::Stream => Transport::Stream,
        Form::Lines => Transport::Lines,
    };
    if matches!(options.start, Some(Start::Cursor(_) | Start::Foreign(_))) {
        api.metrics.deliveries(transport).reconnect();
    }
    let subscription = api.hub.subscribe(selection, start).await?.conflated(options.folding.conflate);
    let reply = match form {
        Form::Page => poll::answer(api, parts, subscription, &options, caching, reader).await?,
        Form::Stream | Form::Lines => {
            stream::answer(api, parts, form, &subscription, &options, returning, reader)
        }
    };
    let mut reply = reply.settled(api, &parts.extensions).await?;
    // For the access log.
    reply.head_mut().extensions_mut().insert(transport);
    Ok(reply)
}

/// The terms on which somebody waits who showed a token.
fn lease(api: &Api, parts: &Parts, access: &Access) -> Result<Option<Lease>, Refusal> {
    lease_at(api, parts.extensions.get().copied(), access, None)
}

/// See [`lease`]. Whoever shows another token in place of one `before`, whose lease ends at a moment, is no reader more: there
/// need not be room for one where both are counted for the same. A token that ends no later has the lease that there is: shown
/// in the time that clocks may differ by, it would have a longer one.
pub(crate) fn lease_at(
    api: &Api,
    address: Option<ClientAddress>,
    access: &Access,
    before: Option<(&Access, Option<Instant>)>,
) -> Result<Option<Lease>, Refusal> {
    let Some(remaining) = access.remaining() else { return Ok(None) };
    let counted_before = before.and_then(|(before, _)| before.counted_as(address));
    let most = api.config.max_connections_per_subject;
    // This machine has as many connections as it likes, where no limit is set.
    let is_counted = |client: &Client| match client {
        Client::Subject(_) | Client::Unknown => true,
        Client::Network(address) => !address.is_loopback() || most != defaults::MAX_CONNECTIONS_PER_SUBJECT,
    };
    let share = match access.counted_as(address).filter(is_counted) {
        Some(counted) if counted_before.as_ref() == Some(&counted) => {
            // The share before it is given back when this one takes its place.
            api.subjects.share(&counted, usize::MAX)
        }
        Some(counted) => Some(api.subjects.share(&counted, most).ok_or_else(|| {
            api.metrics.count_limit(Limit::ConnectionsPerSubject);
            let detail = format!("{most} readers wait for {}, the most that may", counted.name());
            Refusal::new(ProblemKind::TooManyRequests, detail)
        })?),
        None => None,
    };
    let until = match before {
        Some((before, Some(until))) if !access.outlasts(before) => until.min(Instant::now() + remaining),
        _ => Instant::now() + remaining,
    };
    Ok(Some(Lease::new(until, share)))
}
