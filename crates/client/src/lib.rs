//! The Rust client of Tidings: one stream of events over whichever transport works.
//!
//! Publishing is retried under an idempotency key, so that an event is neither lost nor doubled while the hub
//! is away. A subscription goes on from its cursor whenever its connection ends, without loss or repetition,
//! and changes to long polls or short polls where something on the way holds streams back. It can use a WebSocket
//! ([`Transport::WebSocket`]), through which events are published as well while it is open.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use tidings_client::{Client, Item, Message, Since};
//!
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new("http://127.0.0.1:8080")?;
//!
//! let shipped = Message::json(&serde_json::json!({"carrier": "X"}))?.event_type("shipped");
//! let published = client.publish("orders/42", shipped).await?;
//! println!("published as {:?}", published.id());
//!
//! let mut subscription = client.subscribe(["orders/*"]).since(Since::Last(10)).open()?;
//! while let Some(item) = subscription.next().await {
//!     match item? {
//!         Item::Event(event) => println!("{}: {}", event.topic(), event.text()),
//!         Item::Gap(gap) => eprintln!("events may be missing after {}", gap.since),
//!         Item::Reconnecting { reason, after, .. } => eprintln!("{reason}; trying again in {after:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The client runs on [tokio]. It starts no task of its own: a [`Subscription`] works while it is polled,
//! holds nothing that is not asked for, and closes its connection when it is dropped.
//!
//! [tokio]: https://docs.rs/tokio
#![forbid(unsafe_code)]

mod answer;
mod backoff;
mod certificate;
mod client;
pub mod defaults;
mod endpoint;
mod error;
mod event;
mod interruption;
mod item;
mod ladder;
mod look;
mod message;
mod page;
mod publish;
mod publish_stream;
mod received;
mod retry_after;
mod session;
mod since;
mod socket;
mod stream;
mod subscribe;
mod subscription;
pub mod tls;
mod token;
#[cfg(test)]
mod vectors;

pub use client::{Client, ClientBuilder};
pub use error::{BuildError, PublishError, SubscribeError};
pub use event::Event;
pub use interruption::Interruption;
pub use item::{Item, Transport};
pub use look::{ListedTopic, LookError, TopicPage};
pub use message::Message;
pub use publish::{Publish, Published};
pub use publish_stream::{PublishStream, PublishedStream, StreamPublish};
pub use reqwest;
pub use since::Since;
pub use subscribe::{Conflate, Subscribe};
pub use subscription::Subscription;
pub use tidings_protocol::{EventObject, Gap, GapReason, InvalidStart, Problem, Timestamp};
