//! What the tests share: hubs as processes, a client that does only what it is told, and programs of others.

pub(crate) mod certificates;
pub(crate) mod connection;
pub(crate) mod deadline;
pub(crate) mod hub;
pub(crate) mod proxy;
pub(crate) mod relay;
pub(crate) mod script;
pub(crate) mod tap;
pub(crate) mod tools;
pub(crate) mod websocket;

pub(crate) use certificates::Authority;
pub(crate) use connection::{Answer, Connection, Version};
pub(crate) use deadline::within;
pub(crate) use hub::Hub;
pub(crate) use proxy::Proxy;
pub(crate) use relay::Relay;
pub(crate) use script::Script;
pub(crate) use tap::Tap;
