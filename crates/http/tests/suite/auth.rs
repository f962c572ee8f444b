//! Who may do what.

mod expiry;
mod idempotency;
mod jwks;
mod keys;
mod limits;
mod presented;
mod rights;
