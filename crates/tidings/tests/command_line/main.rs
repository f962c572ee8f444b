//! The commands as a shell has them: the program that is shipped, its pipes, its signals and its exit codes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

mod broken_pipe;
mod certificates;
mod comforts;
mod exit_codes;
mod hub_restart;
mod interrupt;
mod lines_as_they_come;
mod repeated_input;
mod secrets;
mod streams;
mod topic_end;
mod trouble;
