//! What is in a stream, and what others put there, without a hub.

use async_nats::jetstream::{self, Context, stream::Stream};
use tidings_engine::encode;
use tidings_protocol::Closing;

use crate::support::event;

pub(crate) async fn context(port: u16) -> Context {
    jetstream::new(async_nats::connect(format!("127.0.0.1:{port}")).await.unwrap())
}

pub(crate) async fn stream(port: u16) -> Stream {
    context(port).await.get_stream("LOG").await.unwrap()
}

/// Publishes: the number of the message.
pub(crate) async fn put(context: &Context, subject: &str, body: impl Into<Vec<u8>>) -> u64 {
    let body: Vec<u8> = body.into();
    context.publish(subject.to_owned(), body.into()).await.unwrap().await.unwrap().sequence
}

/// The message that a hub would publish that has seen so much of the stream.
pub(crate) fn message(seen: u64, topic: &str, closing: Closing) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&seen.to_le_bytes());
    encode(&event(topic, "x"), closing, &mut body);
    body
}
