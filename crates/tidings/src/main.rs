//! The push server that speaks plain HTTP.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod logging;
mod serve;
mod settings;
mod value;

/// The push server that speaks plain HTTP: one durable log, read by polling, long polling or Server-Sent Events.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a hub.
    Serve(Box<serve::Arguments>),
    /// Put a hub under load, and see how it bears it.
    Bench(Box<bench::Arguments>),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(&*error);
            ExitCode::FAILURE
        }
    }
}
