//! The program as its users meet it: a process, talked to over sockets.

#![cfg(test)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No wait is longer.
const PATIENCE: Duration = Duration::from_secs(60);

struct Program {
    process: Child,
    address: SocketAddr,
}

impl Program {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_example-embedded"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("open http://").unwrap().parse().unwrap();
        Self { process, address }
    }

    /// Sends a request, and gives the connection with what comes.
    fn open(&self, head: &str, body: &str) -> BufReader<TcpStream> {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let request = format!("{head}\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n{body}", self.address);
        socket.write_all(request.as_bytes()).unwrap();
        BufReader::new(socket)
    }

    /// Sends a request, and gives the whole answer.
    fn ask(&self, head: &str, body: &str) -> String {
        let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let end = if fields.is_empty() { "" } else { "\r\n" };
        let mut answer = String::new();
        let head = format!("{line}\r\nConnection: close{end}{fields}");
        self.open(&head, body).read_to_string(&mut answer).unwrap();
        answer
    }

    /// Logs in, and gives the field with the cookie.
    fn log_in(&self, name: &str) -> String {
        let answer = self.ask("POST /login HTTP/1.1", name);
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        format!("Cookie: {}", cookie.split(';').next().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Reads on until a line is this.
fn expect(stream: &mut BufReader<TcpStream>, expected: &str) {
    let mut seen = String::new();
    while seen.lines().next_back() != Some(expected) {
        assert!(stream.read_line(&mut seen).unwrap() > 0, "{expected} never came: {seen}");
    }
}

#[test]
fn sessions_of_the_program_decide() {
    let program = Program::start();
    let stranger = program.ask("GET /push/topics/news HTTP/1.1", "");
    assert!(stranger.starts_with("HTTP/1.1 401") && stranger.contains("log in first"), "{stranger}");
    let ann = program.log_in("ann");
    for (request, status) in [
        ("GET /push/topics/news", 200),
        ("GET /push/topics/users/ann/notes", 200),
        ("GET /push/topics/users/bob/notes", 403),
        ("POST /push/topics/users/ann/notes", 201),
        ("POST /push/topics/news", 403),
        ("GET /push/metrics", 403),
        ("GET /push/healthz", 200),
    ] {
        let answer = program.ask(&format!("{request} HTTP/1.1\r\n{ann}"), "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(answer.contains("x-program: embedded"), "the middleware sees all: {answer}");
    }
}

#[test]
fn pages_of_another_origin_are_let_in_by_name() {
    let program = Program::start();
    let ann = program.log_in("ann");
    for path in ["/push/topics/news", "/"] {
        let ask =
            |origin: &str| program.ask(&format!("GET {path} HTTP/1.1\r\n{ann}\r\nOrigin: {origin}"), "");
        let named = ask("http://localhost:3000");
        assert_eq!(named.matches("access-control-allow-origin: http://localhost:3000").count(), 1, "{named}");
        assert!(named.contains("access-control-allow-credentials: true"), "{named}");
        assert!(!ask("http://evil.example").contains("access-control-allow-origin: http://evil"));
    }
    let forged =
        format!("POST /push/topics/users/ann/notes HTTP/1.1\r\n{ann}\r\nOrigin: http://evil.example");
    assert!(program.ask(&forged, "x").starts_with("HTTP/1.1 403"));
}

#[test]
fn whoever_reads_is_sent_away_at_the_end() {
    let mut program = Program::start();
    let ann = program.log_in("ann");
    let mut stream =
        program.open(&format!("GET /push/topics/news HTTP/1.1\r\n{ann}\r\nAccept: text/event-stream"), "");
    expect(&mut stream, "retry: 2000");
    assert!(program.ask(&format!("POST /greet HTTP/1.1\r\n{ann}"), "").starts_with("HTTP/1.1 200"));
    expect(&mut stream, "data: ann says hello");
    // It gives up on those who take nothing after a while; nobody here is one of them.
    let pid = Pid::from_child(&program.process);
    kill_process(pid, Signal::TERM).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("retry: ") && rest.ends_with("0\r\n\r\n"), "{rest:?}");
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match program.process.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
        assert!(Instant::now() < deadline, "it does not end");
    };
    assert!(status.success(), "{status}");
}
