use crate::CloseCode;

/// What a peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, whole.
    Text(String),
    /// Bytes, whole.
    Binary(Vec<u8>),
    /// It asks for a pong with the same bytes. Where several wait, the last one's is enough (RFC 6455 §5.5.3).
    Ping(Vec<u8>),
    /// The answer to a ping, or a sign of life.
    Pong(Vec<u8>),
    /// It says no more, and waits for the answer ([`encode_close_reply`](crate::encode_close_reply)).
    Close {
        /// Why, where it says so.
        code: Option<CloseCode>,
        /// Why, in words; often empty.
        reason: String,
    },
}
