use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, Url};
use tidings_protocol::{Object, Page, format_duration};

use crate::answer::{self, Failure};
use crate::client::send;
use crate::{Client, Interruption, defaults};

const JSON: &str = "application/json";

/// Polls once, and asks the hub to hold the answer for up to `wait`. `None` where the topic has ended.
pub(crate) async fn poll(
    client: &Client,
    mut url: Url,
    wait: Duration,
    limit: usize,
) -> Result<Option<Page>, Failure> {
    if !wait.is_zero() {
        url.query_pairs_mut().append_pair("wait", &format_duration(wait));
    }
    let request = client.request(Method::GET, url).await?.header(ACCEPT, JSON);
    let patience = wait.saturating_add(defaults::POLL_GRACE);
    let Some(response) = send(client, request, JSON, patience).await? else { return Ok(None) };
    let body = answer::body(response, limit, defaults::POLL_GRACE).await?;
    let Object(page) =
        serde_json::from_slice(&body).map_err(|error| Interruption::Malformed(error.to_string()))?;
    Ok(Some(page))
}
