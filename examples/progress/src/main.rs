//! A job that hashes every file of a folder, and a page that follows it by long poll. The job's events are a topic of
//! its own, which ends with the job: whoever comes late or comes back sees all of it.
//!
//! `cargo run --release -p example-progress -- FOLDER`, then open <http://127.0.0.1:8091>.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use axum::routing::post;
use serde::Serialize;
use tidings::{
    Api, Batch, EventType, Format, HttpConfig, Hub, HubConfig, MemoryLog, NewEvent, Retention, Topic,
};
use tokio::runtime::Handle;

/// A job tells of itself no more often than this.
const PACE: Duration = Duration::from_millis(100);

#[derive(Debug, Default, Clone, Serialize)]
struct Progress {
    files: u64,
    bytes: u64,
    of_files: u64,
    of_bytes: u64,
    /// The last file, and its SHA-256.
    path: PathBuf,
    sha256: String,
}

struct Job {
    hub: Hub,
    topic: Topic,
    progress: Progress,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".into()));
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:8091".into());
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    let hub = Hub::new(Arc::new(log), HubConfig::default());
    let api = Api::builder(hub.clone(), HttpConfig::default()).read_only().build();
    let jobs = Arc::new(AtomicU64::new(0));
    // It answers at once with where the job can be followed.
    let begin = async move || {
        let topic: Topic = format!("jobs/{}", jobs.fetch_add(1, Ordering::Relaxed) + 1)
            .parse()
            .unwrap_or_else(|_| unreachable!());
        let job = Job { hub: hub.clone(), topic: topic.clone(), progress: Progress::default() };
        let (runtime, folder) = (Handle::current(), folder.clone());
        tokio::task::spawn_blocking(move || job.run(&folder, &runtime));
        topic.to_string()
    };
    let app = example_pages::app(&api, include_str!("../page.html")).route("/jobs", post(begin));
    Ok(example_pages::serve(app, &address).await?)
}

impl Job {
    fn run(mut self, folder: &Path, runtime: &Handle) {
        let last = match self.hash(folder, runtime) {
            Ok(()) => self.event("done", &self.progress),
            Err(error) => self.event("failed", &error.to_string()),
        };
        let end = Batch { close: Some(self.topic.clone().into()), ..Batch::of(last) };
        // Nobody is left to be told where this fails.
        drop(runtime.block_on(self.hub.publish(end)));
    }

    fn hash(&mut self, folder: &Path, runtime: &Handle) -> Result<(), Box<dyn Error>> {
        let files = list(folder)?;
        self.progress.of_files = files.len() as u64;
        self.progress.of_bytes = files.iter().map(|(_, bytes)| bytes).sum();
        let mut told = Instant::now();
        let mut buffer = vec![0; 1 << 20];
        for (path, _) in files {
            // A file may be gone by now, or be another's.
            let Ok(mut file) = File::open(&path) else { continue };
            let mut context = Context::new(&SHA256);
            loop {
                let read = file.read(&mut buffer)?;
                context.update(&buffer[..read]);
                self.progress.bytes += read as u64;
                if told.elapsed() >= PACE {
                    told = Instant::now();
                    let event = self.event("hashed", &self.progress);
                    runtime.block_on(self.hub.publish(Batch::of(event)))?;
                }
                if read == 0 {
                    break;
                }
            }
            self.progress.files += 1;
            self.progress.sha256 =
                context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            self.progress.path = path;
        }
        Ok(())
    }

    fn event(&self, event_type: &str, data: &impl Serialize) -> NewEvent {
        let data = serde_json::to_vec(data).unwrap_or_default().into();
        NewEvent::restored(self.topic.clone(), EventType::new(event_type).ok(), Format::Json, data)
    }
}

/// Every file in a folder and below, with its size; links are not followed.
fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push((entry.path(), entry.metadata()?.len()));
            }
        }
    }
    Ok(files)
}
