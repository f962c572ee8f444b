//! A hub that the system gives few open files.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::hub::{error_file, room};
use crate::support::within;

const STREAM: &[u8] = b"GET /topics/a HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";

/// A stream of events.
struct Reader(BufReader<TcpStream>);

impl Reader {
    async fn open(address: SocketAddr) -> Self {
        let mut socket = within("a connection", TcpStream::connect(address)).await.unwrap();
        socket.write_all(STREAM).await.unwrap();
        Self(BufReader::new(socket))
    }

    /// Reads up to a line; whether it came before the end.
    async fn reads(&mut self, wanted: &str) -> bool {
        let mut line = String::new();
        while self.0.read_line(&mut line).await.is_ok_and(|count| count > 0) {
            if line.trim_end() == wanted {
                return true;
            }
            line.clear();
        }
        false
    }
}

/// Publishes on a connection that is open already.
async fn publish(socket: &mut TcpStream, data: &str) {
    let request =
        format!("POST /topics/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{data}", data.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1_024];
    let count = within("an answer", socket.read(&mut answer)).await.unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&answer[..count]));
}

#[tokio::test]
async fn a_hub_without_open_files_serves_whom_it_has_and_takes_others_when_it_can() {
    let room = room();
    let mut command = Command::new("sh");
    let script = "ulimit -n 64; exec \"$0\" serve --listen 127.0.0.1:0 --log disk:data";
    command.args(["-c", script, env!("CARGO_BIN_EXE_tidings")]).current_dir(room.path()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(error_file(room.path()));
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    within("the hub to say where it listens", out.read_line(&mut line)).await.unwrap();
    let address: SocketAddr = line.trim().rsplit_once('/').unwrap().1.parse().unwrap();

    let mut publisher = within("a connection", TcpStream::connect(address)).await.unwrap();
    publish(&mut publisher, "first").await;
    let (mut served, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let mut reader = Reader::open(address).await;
        // Whoever is let in is answered soon; who comes after that one waits.
        let patience = if waiting.is_empty() { 2_000 } else { 1 };
        match timeout(Duration::from_millis(patience), reader.reads("retry: 2000")).await {
            Ok(answered) => {
                assert!(answered, "it was let in and sent away");
                served.push(reader);
            }
            Err(_) => waiting.push(reader),
        }
    }
    assert!(
        served.len() > 10 && waiting.len() > 30,
        "{} are served and {} wait",
        served.len(),
        waiting.len()
    );

    for number in 0..3 {
        publish(&mut publisher, &format!("while full {number}")).await;
        for reader in &mut served {
            let line = format!("data: while full {number}");
            assert!(within("an event", reader.reads(&line)).await);
        }
    }
    // Several segments are begun, and each needs a file.
    let large = "x".repeat(400_000);
    for _ in 0..12 {
        publish(&mut publisher, &large).await;
        for reader in &mut served {
            assert!(within("a large event", reader.reads(&format!("data: {large}"))).await);
        }
    }
    // Somebody leaves, and somebody is let in, until all have been.
    while !waiting.is_empty() {
        let count = served.len().min(waiting.len());
        served.clear();
        for mut reader in waiting.drain(..count) {
            assert!(within("a reader to be let in", reader.reads("retry: 2000")).await);
            served.push(reader);
        }
    }
    publish(&mut publisher, "last").await;
    for reader in &mut served {
        assert!(within("an event", reader.reads("data: last")).await);
    }
}
