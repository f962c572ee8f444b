//! The push server that speaks plain HTTP.

use std::error::Error;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tidings_client::{LookError, PublishError, SubscribeError};

use crate::failure::WrongArguments;

#[cfg(feature = "serve")]
mod activation;
#[cfg(all(feature = "bench", target_os = "linux"))]
mod bench;
#[cfg(all(feature = "bench", target_os = "linux"))]
mod compare;
mod completions;
mod connection;
#[cfg(feature = "serve")]
mod engine;
mod environment;
mod failure;
mod health;
#[cfg(feature = "serve")]
mod heap;
mod lines;
#[cfg(feature = "serve")]
mod listening;
#[cfg(feature = "serve")]
mod logging;
#[cfg(feature = "serve")]
mod open_files;
mod publish;
#[cfg(feature = "serve")]
mod relay;
#[cfg(feature = "serve")]
mod serve;
mod settings;
#[cfg(feature = "serve")]
mod signals;
mod stderr;
mod subscribe;
mod terminal;
mod token;
mod topics;
#[cfg(feature = "otlp")]
mod traces;
mod value;

#[cfg(all(windows, any(feature = "serve", feature = "bench")))]
compile_error!("a hub does not run on Windows; `--no-default-features --features cli` builds the rest");

/// The push server that speaks plain HTTP: one durable log, read by polling, long polling, Server-Sent Events or
/// WebSocket.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a hub.
    #[cfg(feature = "serve")]
    Serve(Box<serve::Arguments>),
    /// Relay the event stream of another server, and make it resumable (to try relays out).
    #[cfg(feature = "serve")]
    Relay(Box<relay::Arguments>),
    /// Publish events.
    Publish(Box<publish::Arguments>),
    /// Print events as they come.
    Subscribe(Box<subscribe::Arguments>),
    /// List the topics of a hub.
    Topics(Box<topics::Arguments>),
    /// Ask a hub whether it is well.
    Health(Box<health::Arguments>),
    /// Make a token for a hub.
    Token(Box<token::Arguments>),
    /// Print what a shell needs to complete the commands.
    Completions(completions::Arguments),
    /// Write manual pages into a folder.
    #[command(hide = true)]
    Man(completions::ManArguments),
    /// Load-test a hub, and report latencies and costs.
    #[cfg(all(feature = "bench", target_os = "linux"))]
    Bench(Box<bench::Arguments>),
    /// Measure what each transport costs, and find proxies that get in the way.
    #[cfg(all(feature = "bench", target_os = "linux"))]
    Compare(Box<compare::Arguments>),
}

impl Command {
    /// Whether what it tells goes into a log.
    fn has_log(&self) -> bool {
        match self {
            #[cfg(feature = "serve")]
            Self::Serve(_) | Self::Relay(_) => true,
            _ => false,
        }
    }
}

/// The commands, with their help as it is shown.
pub(crate) fn command() -> clap::Command {
    let command = Arguments::command();
    #[cfg(feature = "serve")]
    let command = command.mut_subcommand("serve", serve::help::grouped);
    command
}

fn main() -> ExitCode {
    let parsed = command()
        .try_get_matches()
        .and_then(|found| Arguments::from_arg_matches(&found).map_err(|error| error.format(&mut command())));
    // Help is given in any case.
    if parsed.as_ref().err().is_none_or(clap::Error::use_stderr)
        && let Some(problem) = environment::empty_setting(std::env::args_os().nth(1).as_deref())
    {
        failure::complain(&problem);
        stderr::flush();
        return ExitCode::from(USAGE);
    }
    let command = parsed.unwrap_or_else(|error| error.exit()).command;
    // A hub has a log for that.
    if !command.has_log() {
        for warning in environment::warnings() {
            stderr::line(format_args!("tidings: {warning}"));
        }
    }
    let result = match command {
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => serve::run(*arguments).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "serve")]
        Command::Relay(arguments) => relay::run(*arguments).map(|()| ExitCode::SUCCESS),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::Subscribe(arguments) => subscribe::run(*arguments),
        Command::Topics(arguments) => topics::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Health(arguments) => health::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Completions(arguments) => completions::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Man(arguments) => completions::write_man(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Token(arguments) => token::run(&arguments).map(|()| ExitCode::SUCCESS),
        #[cfg(all(feature = "bench", target_os = "linux"))]
        Command::Bench(arguments) => bench::run(&arguments).map(|()| ExitCode::SUCCESS),
        #[cfg(all(feature = "bench", target_os = "linux"))]
        Command::Compare(arguments) => compare::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    let code = match result {
        Ok(code) => code,
        Err(error) => {
            failure::complain(&*error);
            if is_refusal(&*error) {
                ExitCode::from(REFUSED)
            } else if is_usage(&*error) {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    };
    stderr::flush();
    code
}

/// The exit code where the hub refused what it was asked, so that another attempt would be of no use.
const REFUSED: u8 = 3;

/// The exit code where the arguments or settings are wrong, which the parser of arguments has as well.
const USAGE: u8 = 2;

fn is_usage(error: &(dyn Error + 'static)) -> bool {
    let here = error.is::<WrongArguments>() || settings::is_wrong_setting(error);
    let of_publish = matches!(
        error.downcast_ref(),
        Some(PublishError::IdempotencyKey | PublishError::Unaddressable | PublishError::Topic(_))
    );
    here || of_publish || error.source().is_some_and(is_usage)
}

fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    let here = matches!(error.downcast_ref(), Some(PublishError::Refused(_)))
        || matches!(error.downcast_ref(), Some(SubscribeError::Refused(_)))
        || matches!(error.downcast_ref(), Some(LookError::Refused(_)));
    here || error.source().is_some_and(is_refusal)
}
