//! Notices and alerts: each line of standard input is one, and so is what a page sends. All tabs of a browser share
//! one connection.
//!
//! `tail -F /var/log/syslog | cargo run --release -p example-alerts`, or type lines; then open
//! <http://127.0.0.1:8092> in several tabs.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tidings::{Api, Batch, EventType, HttpConfig, Hub, HubConfig, MemoryLog, NewEvent, Retention, Topic};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

/// Lines with one of these words are alerts.
const ALARMING: [&str; 5] = ["alert", "error", "fail", "panic", "denied"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8092".into());
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    let hub = Hub::new(Arc::new(log), HubConfig::default());
    // Its page publishes too. Only here: there is nobody else on this machine to be kept out.
    let api = Api::builder(hub.clone(), HttpConfig::default()).open_to_this_machine().build();
    let app = example_pages::app(&api, include_str!("../page.html"));
    // Standard input may end; the pages are served on.
    let publishing = async {
        publish(&hub).await?;
        std::future::pending::<Result<(), Box<dyn Error>>>().await
    };
    tokio::select! {
        served = example_pages::serve(app, &address) => Ok(served?),
        published = publishing => published,
    }
}

async fn publish(hub: &Hub) -> Result<(), Box<dyn Error>> {
    let topic = Topic::new("notices")?;
    let mut lines = BufReader::new(stdin()).lines();
    let mut next = Some("each line that is typed in the terminal is a notice".to_owned());
    while let Some(line) = next {
        let lower = line.to_lowercase();
        let kind = if ALARMING.iter().any(|word| lower.contains(word)) { "alert" } else { "notice" };
        let event = NewEvent::text(topic.clone(), line).typed(EventType::new(kind)?);
        hub.publish(Batch::of(event)).await?;
        next = lines.next_line().await?;
    }
    Ok(())
}
