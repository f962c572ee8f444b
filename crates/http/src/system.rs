//! What the hub asks of the system: to be told what happens to sockets, and to take bytes without waiting.

pub(crate) mod poller;
pub(crate) mod sending;
pub(crate) mod vanishing;
