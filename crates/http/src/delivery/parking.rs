//! Connections that wait, outside of hyper.
//!
//! A connection inside hyper costs two buffers and a task, 12 to 19 KB, while it does nothing but wait for an
//! event; and waking its task costs more than the kernel takes to send the event. So a plaintext HTTP/1.1
//! stream or long poll is *parked*: axum sees the request and makes the head of the response, then the socket
//! leaves hyper ([`ParkedConnections::park`]) and becomes an entry of a [`shard`]: a thread that owns many sockets, hears of
//! each batch of events once, frames it once for all who asked for the same ([`group`]), and writes it to each
//! with one system call.
//!
//! Nobody has a queue. An entry is *live* when it has been sent everything that its shard has seen; then a new
//! batch is sent to it right away. One whose socket does not take everything *lags*: it keeps its cursor and
//! what is left of a half-written frame, and nothing else, until the socket takes bytes again; then it catches
//! up from the hub's memory or the log until it is live.

mod body;
mod chunk;
mod group;
mod group_index;
mod held;
mod http2;
mod keeper;
mod leases;
mod mailbox;
mod new_reader;
mod page;
mod parked;
mod parked_connections;
mod shard;
mod sink;
mod template;
mod tls_sink;
mod websocket;
mod wheel;

pub(crate) use body::body;
pub(crate) use group::{Interest, PollResponse, Shape};
pub(crate) use held::{HeldPage, held};
pub(crate) use http2::{Asking, Carrier, NewRequest, Newcomer, Origin, Piece, RequestFault, Requests, Said};
pub(crate) use new_reader::NewReader;
pub(crate) use parked_connections::{ParkedConnections, Parking, Returned, Space};
pub(crate) use sink::{DISCARD_BYTES, Link};
#[cfg(any(test, fuzzing))]
pub(crate) use template::Known;
pub(crate) use template::{REQUEST_BYTES, Template};
pub(crate) use websocket::{
    Inbox, Messages, NewSocket, NewSubscription, SocketArrival, SocketHandle, Told, serve_mounted,
};
pub(crate) use wheel::ticks;
