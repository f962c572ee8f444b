//! The program as its users meet it: the built binary as a process of its own, talked to over real sockets.

#![cfg(test)]

mod chaos;
mod chromium;
mod clients;
mod curl;
mod eventsource;
mod httpx_sse;
mod memory;
mod program;
mod proxies;
mod support;
