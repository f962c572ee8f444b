//! The push server that speaks plain HTTP: one durable log, read by polling, long polling or Server-Sent Events.
