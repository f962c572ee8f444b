//! Mercure over a [`Hub`](tidings_hub::Hub): its log by the protocol of Mercure, for the clients and tokens that there are. What it promises is said in
//! `docs/mercure.md`.
//!
//! [`Mercure`] answers `/.well-known/mercure`. Inside, `topics` says how topics of Mercure are named here, `template` and `matcher` which of them
//! somebody asks for, `filter` which updates a reader is given, `token` what a token allows, `publish` and `subscribe` are the two requests,
//! `ids` finds what a publisher named, and `subscriptions` is who is there. A subscriber is a reader like any other: it is parked in a
//! shard, and nothing is kept of it but its cursor.

#![forbid(unsafe_code)]

mod config;
pub mod defaults;
mod facade;
mod filter;
mod ids;
mod matcher;
mod presented;
mod publish;
mod subscribe;
mod subscriptions;
mod template;
mod token;
mod topics;

pub use config::{InvalidMercure, MercureConfig, MercureKeys};
pub use facade::Mercure;
