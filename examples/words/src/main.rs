//! A text that comes word by word, as from a machine that makes it up: a stream that a reader can leave and join
//! again in the middle, and that ends.
//!
//! `cargo run --release -p example-words -- FILE`, then open <http://127.0.0.1:8093>. Without a file, it is the
//! licence.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::routing::post;
use tidings::{Api, Batch, HttpConfig, Hub, HubConfig, MemoryLog, NewEvent, Retention, Topic};
use tokio::time::{MissedTickBehavior, interval};

const LICENCE: &str = include_str!("../../../LICENSE-MIT");
const PACE: Duration = Duration::from_millis(80);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let text: Arc<str> = match std::env::args().nth(1) {
        Some(file) => {
            std::fs::read_to_string(&file).map_err(|error| format!("failed to read {file}: {error}"))?.into()
        }
        None => LICENCE.into(),
    };
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:8093".into());
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    let hub = Hub::new(Arc::new(log), HubConfig::default());
    let api = Api::builder(hub.clone(), HttpConfig::default()).read_only().build();
    let texts = Arc::new(AtomicU64::new(0));
    // It answers at once with where the text can be read.
    let begin = async move || {
        let name = format!("texts/{}", texts.fetch_add(1, Ordering::Relaxed) + 1);
        tokio::spawn(tell(hub.clone(), name.clone(), Arc::clone(&text)));
        name
    };
    let app = example_pages::app(&api, include_str!("../page.html")).route("/texts", post(begin));
    Ok(example_pages::serve(app, &address).await?)
}

/// Publishes a text word by word, each with the space behind it, and closes the topic with the last one.
async fn tell(hub: Hub, name: String, text: Arc<str>) {
    let Ok(topic) = Topic::new(&name) else { return };
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut words = words(&text).peekable();
    while let Some(word) = words.next() {
        pace.tick().await;
        let close = words.peek().is_none().then(|| topic.clone().into());
        let batch = Batch { close, ..Batch::of(NewEvent::text(topic.clone(), word)) };
        // The hub is gone: so is the program.
        if hub.publish(batch).await.is_err() {
            return;
        }
    }
}

fn words(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let word = text.find(char::is_whitespace).unwrap_or(text.len());
        let next = text[word..].find(|c: char| !c.is_whitespace()).map_or(text.len(), |space| word + space);
        let (this, rest) = text.split_at(next);
        text = rest;
        (!this.is_empty()).then_some(this)
    })
}
