//! What a hub answers: routes, negotiation, who may do what, problems, caching, and what is counted and logged of requests.
//! It knows no sockets.

pub(crate) mod accept;
pub(crate) mod access;
pub(crate) mod auth;
pub(crate) mod authority;
pub(crate) mod body;
pub(crate) mod caching;
pub(crate) mod client;
pub(crate) mod coding;
pub(crate) mod cors;
pub(crate) mod face;
pub(crate) mod forwarded;
pub(crate) mod guard;
pub(crate) mod hosts;
pub(crate) mod lease;
pub(crate) mod metrics;
pub(crate) mod origin;
pub(crate) mod poll;
pub(crate) mod problem;
pub(crate) mod publish;
pub(crate) mod query;
pub(crate) mod rate;
pub(crate) mod read;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod topics;
pub(crate) mod trace;
pub(crate) mod turns;
