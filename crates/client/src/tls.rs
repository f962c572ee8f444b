//! What a client trusts, for programs that make connections of their own to a hub.
//!
//! They then trust what a [`Client`](crate::Client) trusts, and say the same about a certificate that is not trusted.

pub use crate::certificate::{Trust, complaint};
