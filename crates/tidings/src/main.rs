//! The push server that speaks plain HTTP.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidings_client::{PublishError, SubscribeError};

mod activation;
mod bench;
mod connection;
mod engine;
mod failure;
mod heap;
mod lines;
mod logging;
mod publish;
mod serve;
mod settings;
mod signals;
mod stderr;
mod subscribe;
mod terminal;
mod token;
#[cfg(feature = "otlp")]
mod traces;
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
    /// Publish events.
    Publish(Box<publish::Arguments>),
    /// Print events as they come.
    Subscribe(Box<subscribe::Arguments>),
    /// Make a token for a hub.
    Token(Box<token::Arguments>),
    /// Put a hub under load, and see how it bears it.
    Bench(Box<bench::Arguments>),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(*arguments).map(|()| ExitCode::SUCCESS),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::Subscribe(arguments) => subscribe::run(*arguments),
        Command::Token(arguments) => token::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Bench(arguments) => bench::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    let code = match result {
        Ok(code) => code,
        Err(error) => {
            logging::complain(&*error);
            if is_refusal(&*error) { ExitCode::from(REFUSED) } else { ExitCode::FAILURE }
        }
    };
    stderr::flush();
    code
}

/// The exit code where the hub refused what it was asked, so that another attempt would be of no use.
const REFUSED: u8 = 3;

fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    let here = matches!(error.downcast_ref(), Some(PublishError::Refused(_)))
        || matches!(error.downcast_ref(), Some(SubscribeError::Refused(_)));
    here || error.source().is_some_and(is_refusal)
}
