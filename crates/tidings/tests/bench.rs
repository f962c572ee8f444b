//! `tidings bench` against `tidings serve`: the real program on both sides.

#![allow(clippy::unwrap_used, reason = "tests, with helpers that are none themselves")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[path = "bench/encrypted.rs"]
mod encrypted;

/// A hub that ends with the test.
struct Hub {
    process: Child,
    url: String,
    /// Where its certificate is, if it has one.
    room: TempDir,
}

impl Hub {
    fn start() -> Self {
        Self::with(tempfile::tempdir().unwrap(), &[])
    }

    fn with(room: TempDir, flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "memory:", "--log-level", "error"])
            .args(flags)
            .current_dir(room.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { process, url, room }
    }

    fn bench(&self, flags: &[&str]) -> Output {
        let pid = self.process.id().to_string();
        bench(self.room.path(), &[&["--url", &self.url, "--pid", &pid], flags].concat())
    }

    /// The report of a run in which nothing went wrong.
    fn report(&self, flags: &[&str]) -> Value {
        let output = self.bench(flags);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{flags:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn bench(folder: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["bench", "--json", "--settle", "50ms"])
        .args(flags)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn assert_complete(report: &Value, deliveries: u64) {
    let delivery = &report["delivery"];
    assert_eq!(delivery["deliveries"], deliveries, "{report}");
    for fault in ["lost", "repeated", "out_of_order", "malformed"] {
        assert_eq!(delivery[fault], 0, "{report}");
    }
    assert_eq!(report["faults"], 0, "{report}");
}

/// Each subscriber begins without a cursor; its second poll is the one that all later ones are like.
#[test]
fn held_polls_take_the_short_way_however_long_their_heads_are() {
    let hub = Hub::start();
    for client in ["bare", "chromium"] {
        let report = hub.report(&[
            "--transport",
            "long-poll",
            "--client",
            client,
            "--subscribers",
            "20",
            "--events",
            "20",
            "--rate",
            "20",
            "--duration",
            "60s",
        ]);
        assert_complete(&report, 400);
        let repeated = report["delivery"]["repeated_polls"].as_u64().unwrap();
        assert!((300..=380).contains(&repeated), "{client}: {report}");
        let sent = report["delivery"]["bytes_sent_each"].as_f64().unwrap();
        assert_eq!(sent > 1_200.0, client == "chromium", "{report}");
    }
}

#[test]
fn every_transport_brings_every_event_once_and_in_order() {
    let hub = Hub::start();
    for transport in ["sse", "long-poll", "poll", "websocket"] {
        let report = hub.report(&[
            "--transport",
            transport,
            "--interval",
            "100ms",
            "--subscribers",
            "30",
            "--topics",
            "3",
            "--publishers",
            "2",
            "--events",
            "60",
            "--rate",
            "200",
            // It ends when they are out.
            "--duration",
            "60s",
        ]);
        assert_eq!(report["publish"]["events"], 60);
        // Each event is of one topic, and each topic has a third of the subscribers.
        assert_complete(&report, 60 * 10);
        let delivery = &report["delivery"];
        assert!(delivery["bytes_received_each"].as_f64().unwrap() > 100.0, "{report}");
        let (p50, max) = (&delivery["latency_ms"]["p50"], &delivery["latency_ms"]["max"]);
        assert!(p50.as_f64().unwrap() > 0.0 && p50.as_f64() <= max.as_f64(), "{report}");
        assert!(report["resources"]["memory"]["idle"].as_u64().unwrap() > 0, "{report}");
    }
}

#[test]
fn batches_flat_out_and_several_threads() {
    let hub = Hub::start();
    let report = hub.report(&["--subscribers", "20", "--threads", "2", "--events", "1000", "--batch", "10"]);
    assert_eq!(report["publish"]["requests"], 100);
    assert_complete(&report, 20 * 1_000);
}

#[test]
fn those_who_return_catch_up() {
    let hub = Hub::start();
    let report = hub.report(&["--return", "250", "--subscribers", "40", "--topics", "2"]);
    assert_eq!(report["publish"]["events"], 500);
    assert_complete(&report, 40 * 250);
}

#[test]
fn publishing_alone_is_compared_with_the_disk() {
    let hub = Hub::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let report =
        hub.report(&["--publish-only", "--publishers", "4", "--events", "200", "--fsync-dir", folder]);
    assert_eq!(report["publish"]["events"], 200);
    assert!(report["disk"]["publish_ratio"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(report.get("delivery"), None);
}

#[test]
fn a_run_that_went_wrong_fails() {
    let hub = Hub::start();
    // A hub has no streams of the other kind, so that no publisher is acknowledged.
    let output = hub.bench(&["--target", "nchan", "--publish-only", "--duration", "1s"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("the server answered a publisher with status 404"), "{errors}");
}

#[test]
fn another_machine_is_put_under_load_only_by_intent() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["bench", "--url", "http://192.0.2.1:80"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--remote"));
}
