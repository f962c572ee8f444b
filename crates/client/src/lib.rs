//! The Rust client of Tidings: one stream of events over whichever transport works.
