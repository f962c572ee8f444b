//! The HTTP face of a Tidings hub, as an axum router that any program can mount.
