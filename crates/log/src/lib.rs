//! The event log of Tidings: the trait, a memory log, a disk log, and a conformance suite.
