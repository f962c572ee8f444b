use std::sync::Arc;

use tidings_hub::Hub;
use tokio_util::sync::CancellationToken;

use crate::HttpConfig;
use crate::delivery::lately::Lately;
use crate::delivery::memory::Budget;
use crate::metrics::Metrics;

/// What delivery works with, whichever API it is for.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) hub: Hub,
    pub(crate) config: Arc<HttpConfig>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) draining: CancellationToken,
    /// The memory for bodies of requests, and messages of sockets, that are under way.
    pub(crate) bodies: Budget,
    /// The memory for what readers have not taken yet.
    pub(crate) answers: Budget,
    /// Events that readers are in the middle of.
    pub(crate) lately: Arc<Lately>,
}
