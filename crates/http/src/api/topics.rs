use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use serde::Serialize;
use tidings_log::TopicQuery;
use tidings_protocol::{ProblemKind, Selector};

use crate::api::problem::{Answer, Refusal, json_line};
use crate::api::query::{Query, selector};
use crate::delivery::memory::Client;
use crate::{Api, defaults};

/// The answer to `GET /topics` (§3.5).
#[derive(Debug, Serialize)]
struct List {
    topics: Vec<Row>,
    /// Whether there are more: ask again with `after` set to the last one.
    more: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    topic: String,
    /// The id of its latest entry.
    latest: String,
    time: String,
    closed: bool,
    subscribers: usize,
}

pub(crate) async fn answer(api: &Api, parts: &Parts) -> Answer {
    let query = Query::new(parts.uri.query());
    let selector = query.get("match")?.map_or_else(|| Ok(Selector::all()), selector)?;
    let access = api.auth.access(parts, &api.config.cors).await?;
    access.list(&selector)?;
    let limit = query.number("limit", defaults::TOPICS, defaults::MAX_TOPICS)?;
    // Those who wait for their turn hold nothing yet.
    let client = Client::of(&parts.extensions, Some(&access));
    let turn = api.listings.next(client).await.ok_or_else(unavailable)?;
    let wanted = TopicQuery { selector: &selector, after: query.get("after")?, limit: limit + 1 };
    let mut infos = api.hub.topics(wanted).await?;
    let more = infos.len() > limit;
    infos.truncate(limit);
    let lineage = api.hub.lineage();
    let hub = api.hub.clone();
    let write = move || {
        let mut census = hub.census();
        let rows = infos.into_iter().map(|info| Row {
            latest: lineage.id(info.latest).to_string(),
            time: info.time.to_string(),
            closed: info.closed,
            subscribers: census.subscribers(&info.topic),
            topic: info.topic.to_string(),
        });
        let list = List { topics: rows.collect(), more };
        // Also where nobody waits for it any more, the turn is over only now.
        drop(turn);
        json_line(&list)
    };
    let body = tokio::task::spawn_blocking(write).await.map_err(|_| unavailable())?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn unavailable() -> Refusal {
    Refusal::new(ProblemKind::Unavailable, "the topics cannot be listed now")
}
