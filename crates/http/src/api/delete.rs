use axum::extract::Request;
use http::StatusCode;
use tidings_protocol::Topic;
use tracing::Instrument as _;

use crate::api::problem::{Answer, Refusal};
use crate::api::publish::receipt;
use crate::api::query::path_topic;
use crate::{Api, api::trace};

/// `DELETE /topics/{topic}` (§2.2).
pub(crate) async fn answer(api: &Api, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let text = path_topic(parts.uri.path())?;
    let topic = Topic::new(&text).map_err(|error| Refusal::from((&*text, error)))?;
    let access = api.auth.access(&parts, &api.config.cors).await?;
    access.delete(&topic)?;
    api.rates.check(api, &parts, &access)?;
    let published = api.hub.delete(topic.clone()).instrument(trace::of_append(0)).await?;
    api.metrics.deleted_topics.inc();
    let mut response = receipt(&published, Some(&topic), None);
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}
