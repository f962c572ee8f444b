use tidings_hub::Hub;

use crate::api::relay::Relays;
use crate::{Api, Auth, Authorize, HttpConfig, RelayTopics};

/// An API that is being made: who may use it is said here, and nowhere else.
#[derive(Debug, Clone)]
#[must_use = "a api is there when it is built"]
pub struct ApiBuilder {
    pub(super) hub: Hub,
    pub(super) config: HttpConfig,
    pub(super) auth: Auth,
    pub(super) dropped_log_lines: Option<fn() -> u64>,
    pub(super) relays: Relays,
}

// === impl ApiBuilder ===

impl ApiBuilder {
    /// Lets everybody do everything who can reach the API.
    pub fn open_to_everyone(self) -> Self {
        self.auth(Auth::open())
    }

    /// Lets programs on this machine do everything, and nobody else anything. See [`Auth::open_to_this_machine`].
    pub fn open_to_this_machine(self) -> Self {
        self.auth(Auth::open_to_this_machine())
    }

    /// Lets everybody read the topics that they know, and do nothing else: the program itself publishes.
    pub fn read_only(self) -> Self {
        self.auth(Auth::read_only())
    }

    /// Lets the program decide for each request, by its session for example.
    pub fn authorize(self, authorize: impl Authorize) -> Self {
        self.auth(Auth::by(authorize))
    }

    /// Decides by tokens, or by whatever this is made for.
    pub fn auth(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    /// Tells how many lines of the program's own log were lost, for the metric `tidings_log_lines_dropped_total`.
    pub fn dropped_log_lines(self, dropped: fn() -> u64) -> Self {
        Self { dropped_log_lines: Some(dropped), ..self }
    }

    /// Has whoever may use the relay of this name read its topics.
    pub fn relay(mut self, name: impl Into<String>, topics: RelayTopics) -> Self {
        self.relays.push((name.into(), topics));
        self
    }

    /// The API. Who may do what is settled with it.
    pub fn build(self) -> Api {
        Api::new(self)
    }
}
