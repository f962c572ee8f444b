//! Both logs do what a log has to do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tidings_log::conformance::{self, Subject};
use tidings_log::{BoxFuture, DiskConfig, DiskLog, Durability, Log, MemoryLog, Retention};

struct Memory;

impl Subject for Memory {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        let log = MemoryLog::new(Retention::default(), conformance::WINDOW);
        Box::pin(async move { Arc::new(log) as Arc<dyn Log> })
    }
}

/// Logs on disk, each in a directory of its own; the one opened last can be opened again.
struct Disk {
    root: TempDir,
    config: DiskConfig,
    opened: AtomicU32,
}

impl Disk {
    fn new(config: DiskConfig) -> Self {
        let config = DiskConfig { idempotency_window: conformance::WINDOW, ..config };
        Self { root: tempfile::tempdir().unwrap(), config, opened: AtomicU32::new(0) }
    }

    fn dir(&self, number: u32) -> PathBuf {
        Path::new(self.root.path()).join(number.to_string())
    }
}

impl Subject for Disk {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        let dir = self.dir(self.opened.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move { Arc::new(DiskLog::open(dir, self.config).unwrap()) as Arc<dyn Log> })
    }

    fn reopen(&self, closed: Arc<dyn Log>) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        drop(closed);
        let dir = self.dir(self.opened.load(Ordering::Relaxed) - 1);
        Box::pin(async move { Some(Arc::new(DiskLog::open(dir, self.config).unwrap()) as Arc<dyn Log>) })
    }
}

#[tokio::test]
async fn the_memory_log_conforms() {
    conformance::run(&Memory).await;
}

#[tokio::test]
async fn the_disk_log_conforms_in_one_segment() {
    conformance::run(&Disk::new(DiskConfig { segment_bytes: Some(8 << 20), ..DiskConfig::default() })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_log_conforms_in_small_segments() {
    conformance::run(&Disk::new(DiskConfig { segment_bytes: Some(16 << 10), ..DiskConfig::default() })).await;
}

#[tokio::test]
async fn the_disk_log_conforms_without_waiting_for_the_disk() {
    let config =
        DiskConfig { segment_bytes: Some(64 << 10), durability: Durability::Os, ..DiskConfig::default() };
    conformance::run(&Disk::new(config)).await;
}
