//! §3.8: WebSockets.

mod carriers;
mod events;
mod handshake;
mod misbehaviour;
mod publishing;
mod slow;
mod subscriptions;
mod tokens;
