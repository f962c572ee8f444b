//! The program as its users meet it: the built binary as a process of its own, talked to over real sockets.

#![cfg(test)]

mod access_log;
mod chaos;
mod chromium;
mod clients;
mod curl;
mod eventsource;
mod httpx_sse;
mod memory;
#[cfg(feature = "otlp")]
mod otlp;
mod program;
mod proxies;
mod support;
