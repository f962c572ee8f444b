//! The living part of Tidings: recent events in memory, subscriptions and wake-ups over a log.
