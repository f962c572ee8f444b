//! What a hub tells of itself: whether it is ready, and which topics it has.

use reqwest::header::ACCEPT;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use tidings_protocol::Problem;

use crate::answer::{self, Failure};
use crate::client::{ask, send};
use crate::{Client, Interruption, defaults};

/// Why a hub did not tell what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// The hub refuses to tell.
    #[error("the hub refused it with {}", crate::interruption::describe(.0))]
    Refused(Problem),
    /// The hub's certificate is not trusted.
    #[error("{reason}")]
    Untrusted {
        /// What is wrong with it.
        reason: String,
    },
    /// There was no answer, or none of use.
    #[error(transparent)]
    Failed(#[from] Interruption),
}

/// A topic, as a hub lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListedTopic {
    /// Its name.
    pub topic: String,
    /// The id of its newest event.
    pub latest: String,
    /// When that was published (RFC 3339).
    pub time: String,
    /// Whether it has ended.
    pub closed: bool,
    /// How many wait for its events now.
    pub subscribers: u64,
}

/// A part of a hub's topics.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct TopicPage {
    /// Topics, in the order of their names.
    pub topics: Vec<ListedTopic>,
    /// Whether more follow on the last of them.
    pub more: bool,
}

/// What a question of this kind may have as its answer.
const JSON: &str = "application/json";

impl Client {
    /// Asks once whether the hub takes publications (`/readyz`).
    ///
    /// # Errors
    /// [`LookError`], where it does not, or is away.
    pub async fn ready(&self) -> Result<(), LookError> {
        self.look("readyz").await
    }

    /// Asks once whether the hub runs (`/healthz`).
    ///
    /// # Errors
    /// [`LookError`], where it does not answer.
    pub async fn alive(&self) -> Result<(), LookError> {
        self.look("healthz").await
    }

    /// Asks once for topics that match a selector, in the order of their names, from the one after `after` on.
    ///
    /// # Errors
    /// [`LookError`], where the hub does not tell.
    pub async fn topics(
        &self,
        selector: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<TopicPage, LookError> {
        let mut url = self.endpoint().at("topics");
        url.query_pairs_mut().append_pair("match", selector).append_pair("limit", &limit.to_string());
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let request = self.request(Method::GET, url).await?.header(ACCEPT, JSON);
        let response = send(self, request, JSON, defaults::PUBLISH_TIMEOUT).await?;
        let response = response.ok_or_else(|| Interruption::Unexpected { what: "status 204".into() })?;
        let body = answer::body(response, defaults::ANSWER_BYTES, defaults::PUBLISH_TIMEOUT).await?;
        serde_json::from_slice(&body).map_err(|error| Interruption::Malformed(error.to_string()).into())
    }

    async fn look(&self, path: &str) -> Result<(), LookError> {
        let url: Url = self.endpoint().at(path);
        let response = ask(self, self.request(Method::GET, url).await?, defaults::PUBLISH_TIMEOUT).await?;
        if response.status() == 200 {
            return Ok(());
        }
        match answer::check(response, JSON).await {
            Err(failure) => Err(failure.into()),
            Ok(_) => Err(Interruption::Unexpected { what: "this is no hub".into() }.into()),
        }
    }
}

impl From<Failure> for LookError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing { reason, .. } => Self::Failed(reason),
            Failure::Unauthorized(problem) | Failure::Lasting(problem) => Self::Refused(problem),
            Failure::Untrusted(reason) => Self::Untrusted { reason },
        }
    }
}
