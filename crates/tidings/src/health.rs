//! `tidings health`: asks a hub whether it is well, for probes in an image without a shell.

use std::error::Error;

use clap::Args;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::value::Span;

/// What `tidings health` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
In a Dockerfile: HEALTHCHECK CMD [\"tidings\", \"health\"]

Exit codes: 0 the hub is well; 1 it is not, or does not answer; 2 wrong arguments; 3 the hub refused to tell.")]
pub(crate) struct Arguments {
    /// Ask only whether the process answers, and not whether its log takes publications
    #[arg(long)]
    live: bool,

    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    timeout: Span,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let client = arguments.connection.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async {
        let asking = async { if arguments.live { client.alive().await } else { client.ready().await } };
        timeout(arguments.timeout.0, asking).await
    });
    let what = format!("find {} well", arguments.connection.url());
    let found = match asked {
        Ok(found) => found.map_err(Box::<dyn Error>::from),
        Err(_) => Err(format!("no answer came within {}", arguments.timeout).into()),
    };
    Ok(found.map_err(Failure::to(what))?)
}
