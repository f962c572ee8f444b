//! The program as its users meet it: the built binary as a process of its own, talked to over real sockets.

#![cfg(test)]

mod curl;
mod program;
mod support;
