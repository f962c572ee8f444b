//! The load and memory of this machine, read from `/proc` once a second and published to a hub that lives in
//! the same program, and a page that shows them live.
//!
//! `cargo run --release -p example-machine`, then open <http://127.0.0.1:8090>.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidings::{Api, Batch, EventType, HttpConfig, Hub, HubConfig, MemoryLog, NewEvent, Retention, Topic};
use tokio::time::{MissedTickBehavior, interval};

/// What is published: shares of one, but for the load, which counts processes that want to run.
#[derive(Debug, Serialize)]
struct Sample {
    /// How much of all cores was busy since the last sample.
    busy: f64,
    /// The load average of the last minute.
    load: f64,
    /// How much of the memory is in use.
    memory: f64,
}

/// Ticks of all cores since the machine started.
#[derive(Debug, Clone, Copy, Default)]
struct Ticks {
    idle: u64,
    all: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".into());
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    let hub = Hub::new(Arc::new(log), HubConfig::default());
    let api = Api::builder(hub.clone(), HttpConfig::default()).read_only().build();
    let app = example_pages::app(&api, include_str!("../page.html"));
    // Whichever of the two ends first ends the program.
    tokio::select! {
        served = example_pages::serve(app, &address) => served?,
        published = publish(&hub) => published?,
    }
    Ok(())
}

async fn publish(hub: &Hub) -> Result<(), Box<dyn Error>> {
    let topic = Topic::new("machine/load")?;
    let event_type = EventType::new("sample")?;
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut before = Ticks::read()?;
    loop {
        seconds.tick().await;
        let now = Ticks::read()?;
        let sample = Sample { busy: now.busy_since(before), load: load()?, memory: memory()? };
        before = now;
        let data = serde_json::to_vec(&sample)?;
        let event = NewEvent::json(topic.clone(), data)?.typed(event_type.clone());
        hub.publish(Batch::of(event)).await?;
    }
}

impl Ticks {
    fn read() -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().ok_or("failed to read /proc/stat: it is empty")?;
        let numbers: Vec<u64> =
            line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // user, nice, system, idle, iowait, …
        Ok(Self { idle: numbers.iter().skip(3).take(2).sum(), all: numbers.iter().take(8).sum() })
    }

    fn busy_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        let idle = self.idle.saturating_sub(before.idle).min(all);
        (all - idle) as f64 / all as f64
    }
}

fn load() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn memory() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let kibibytes = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let total = kibibytes("MemTotal:").ok_or("failed to find MemTotal in /proc/meminfo")?;
    let available = kibibytes("MemAvailable:").ok_or("failed to find MemAvailable in /proc/meminfo")?;
    Ok(1.0 - available / total)
}
