//! In place of `jwks.rs`, where the program was built without what it takes to fetch keys.

use std::sync::Arc;

use jsonwebtoken::Header;

use super::keys::KeySet;
use super::published::{InvalidJwksUrl, JwksTimes};
use crate::api::problem::Refusal;

/// There is none.
#[derive(Debug)]
pub(super) enum Jwks {}

// === impl Jwks ===

impl Jwks {
    pub(super) fn new(_: &str, _: JwksTimes) -> Result<Self, InvalidJwksUrl> {
        Err(InvalidJwksUrl::Unsupported)
    }

    pub(super) async fn warm(&self) {
        match *self {}
    }

    pub(super) async fn keys_for(&self, _: &Header) -> Result<Arc<KeySet>, Refusal> {
        match *self {}
    }
}
