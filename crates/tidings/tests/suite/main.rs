//! The program as its users meet it: the built binary as a process of its own, talked to over real sockets.

#![cfg(test)]

mod access_log;
mod activation;
mod backup;
mod burdens;
mod chaos;
mod chromium;
mod clients;
mod compare;
mod curl;
mod documentation;
mod draining;
mod engines;
mod eventsource;
mod features;
mod httpx_sse;
mod memory;
mod open_files;
mod openapi;
#[cfg(feature = "otlp")]
mod otlp;
mod program;
mod proxies;
mod relays;
mod signals;
mod standard_error;
mod support;
mod tls;
mod tokens;
mod websockets;
