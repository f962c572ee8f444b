//! `tidings topics`: lists the topics of a hub.

use std::error::Error;
use std::io::{ErrorKind, Write as _};

use clap::Args;
use tidings_client::ListedTopic;
use tidings_protocol::Selector;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::terminal::harmless;

/// What `tidings topics` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints a line for each topic: when its newest event was published, that event's id, how many wait for more, `open` or \
`ended`, and its name.

Exit codes: 0 printed; 1 failed; 2 wrong arguments; 3 the hub refused it.")]
pub(crate) struct Arguments {
    /// Which topics, like `orders/*`
    #[arg(default_value = "**")]
    selector: Selector,

    /// How many at most
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// How many topics are asked for at once.
const PAGE: usize = 1_000;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(arguments.print())
}

impl Arguments {
    async fn print(&self) -> Result<(), Box<dyn Error>> {
        let client = self.connection.client()?;
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut after: Option<String> = None;
        while left > 0 {
            let page = client.topics(self.selector.as_str(), after.as_deref(), left.min(PAGE)).await;
            let page = page.map_err(|error| Failure::to("list the topics")(error.into()))?;
            let mut text = String::new();
            for topic in &page.topics {
                self.write(topic, &mut text)?;
            }
            match std::io::stdout().write_all(text.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
            left = left.saturating_sub(page.topics.len());
            after = page.topics.last().map(|topic| topic.topic.clone());
            if !page.more || after.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, topic: &ListedTopic, text: &mut String) -> Result<(), serde_json::Error> {
        if self.json {
            text.push_str(&serde_json::to_string(topic)?);
        } else {
            let ListedTopic { topic, latest, time, closed, subscribers, .. } = topic;
            let state = if *closed { "ended" } else { "open" };
            let line = format!("{time}  {latest:<20}  {subscribers:>6}  {state:<5}  {}", harmless(topic));
            text.push_str(&line);
        }
        text.push('\n');
        Ok(())
    }
}
