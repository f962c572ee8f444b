//! Several hubs over one engine: each is without state, so any client may come to any of them with its cursor.

mod abandoned;
mod away;
mod deployment;
mod drills;
mod load;
mod nats;
mod postgres;
mod redis;
mod starting;
