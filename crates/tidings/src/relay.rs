//! `tidings relay`: a hub that relays one endpoint, for whoever wants to see what that is.

use std::error::Error;

use clap::Args;
use tidings_relay::{RelayConfig, Relays};

use crate::failure::WrongArguments;
use crate::serve::{Plan, start};
use crate::settings::Settings;
use crate::value::LogPlace;

/// What `tidings relay` is told.
#[derive(Debug, Args)]
#[command(
    after_help = "Give a client the printed URL in place of the endpoint's own; the client keeps its own key. \
    Nothing is kept on the disk. `tidings serve` relays for others, with keys of its own: see docs/relay.md.\n\n\
    Exit codes: 0 shut down by SIGTERM or SIGINT; 1 failed; 2 wrong arguments."
)]
pub(crate) struct Arguments {
    /// The endpoint, like `https://api.openai.com`
    #[arg(long, value_name = "URL")]
    to: String,

    /// The name that it has here, in the URL and in its topics
    #[arg(long, value_name = "NAME", default_value = "upstream")]
    name: String,

    /// Address and port to listen on, of this machine alone; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: String,

    /// What its own log tells: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { to, name, listen, log_level } = arguments;
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map(str::to_owned).to_vec();
    // Whoever is on this machine has keys of their own.
    let config = RelayConfig { methods: Some(methods), passes_keys: true, ..RelayConfig::to(to.clone()) };
    let relays = Relays::new([(name.clone(), config)])
        .map_err(|error| WrongArguments::at("`--to` or `--name`", &error.problem))?;
    let settings = Settings {
        listen: Some(listen),
        log: Some(LogPlace::Memory),
        log_level: Some(log_level),
        ..Settings::default()
    };
    let announcement = move |urls: &[String]| {
        let url = urls.first().map(String::as_str).unwrap_or_default();
        format!("tidings relaying {to} at {url}/relay/{name}")
    };
    start(Plan { settings, auth: None, relays, mercure: None, sockets: Vec::new(), announcement })
}
