//! Who may do what.

mod expiry;
mod jwks;
mod keys;
mod limits;
mod presented;
mod rights;
