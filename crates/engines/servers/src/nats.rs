use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Process, folder, program};
use crate::{Certificates, quiet_port, quiet_ports};

/// A `nats-server` with JetStream.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

/// Three `nats-server`s that are one cluster.
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<NatsServer>,
}

/// How long a client may take to shake hands, in the words of a configuration. By default, these are two seconds, and then
/// a server takes a client on a busy machine for one that it has to refuse.
const IN_TIME: &str = "timeout: 60";
/// How long a cluster may take to find a leader.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks a node, in NATS's own words, which node leads a stream.
fn ask_leader(port: u16, stream: &str) -> std::io::Result<Option<usize>> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(
        socket,
        "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB $JS.API.STREAM.INFO.{stream} answer 0\r\n\r\n"
    )?;
    let mut lines = BufReader::new(socket).lines();
    while let Some(line) = lines.next().transpose()? {
        if let Some((_, rest)) = line.split_once("\"leader\":\"n") {
            return Ok(rest.split('"').next().and_then(|number| number.parse().ok()));
        }
        if line.contains("\"error\"") {
            return Ok(None);
        }
    }
    Ok(None)
}

fn find() -> Option<PathBuf> {
    program("nats-server", "nats-server", &[])
}

// === impl NatsServer ===

impl NatsServer {
    /// Whether there is one to start.
    #[must_use]
    pub fn is_installed() -> bool {
        find().is_some()
    }

    /// Starts one that lets everybody in; `None` where it is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// Starts one with more lines in its configuration.
    #[must_use]
    pub fn start_with(more: &str) -> Option<Self> {
        Some(Self::new(find()?, quiet_port(), "alone", more))
    }

    /// Starts one that speaks TLS, with a certificate for `localhost`.
    #[must_use]
    pub fn start_with_tls() -> Option<(Self, Certificates)> {
        let certificates = Certificates::new();
        let (certificate, key) = (certificates.certificate(), certificates.key());
        let server =
            Self::start_with(&format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, {IN_TIME} }}"))?;
        Some((server, certificates))
    }

    /// Starts one that speaks TLS with whoever has a certificate of the same authority.
    #[must_use]
    pub fn start_with_client_certificates() -> Option<(Self, Certificates)> {
        let certificates = Certificates::new();
        let [authority, certificate, key] =
            [certificates.authority(), certificates.certificate(), certificates.key()];
        let server = Self::start_with(&format!(
            "tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {authority:?}, verify: true, {IN_TIME} }}"
        ))?;
        Some((server, certificates))
    }

    fn new(program: PathBuf, port: u16, name: &str, more: &str) -> Self {
        let mut server = Self { program, folder: folder(), port, process: None };
        let store = server.folder.path().join("store");
        let text = format!(
            "server_name: {name}\nlisten: 127.0.0.1:{port}\nmax_payload: 4MB\njetstream {{ store_dir: {store:?} }}\n{more}\n"
        );
        std::fs::write(server.folder.path().join("nats.conf"), text).unwrap();
        server.start_again();
        server
    }

    /// Starts it again on the same port and folder.
    pub fn start_again(&mut self) {
        let arguments = ["-c", "nats.conf"];
        let folder = self.folder.path();
        self.process = Some(Process::start(&self.program, arguments, folder, self.port, Signal::KILL));
    }

    /// Ends it as a crash would. What the system has of its files stays.
    pub fn kill(&mut self) {
        self.process.take().expect("the server runs").kill();
    }

    /// Whether it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Stops it where it is, and lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        self.process.as_ref().expect("the server runs").signal(signal);
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that it keeps its streams in.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

// === impl NatsCluster ===

impl NatsCluster {
    /// Starts three; `None` where NATS is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = find()?;
        // The routes' ports are listened on only when all nodes run, so they are drawn with the others.
        let [a, b, c, ports @ ..] = quiet_ports::<6>();
        let routes = [a, b, c];
        let list: Vec<_> = routes.iter().map(|route| format!("\"nats://127.0.0.1:{route}\"")).collect();
        let list = list.join(", ");
        let nodes = routes.iter().zip(ports).enumerate().map(|(number, (route, port))| {
            let cluster = format!("cluster {{ name: test, listen: 127.0.0.1:{route}, routes: [{list}] }}");
            NatsServer::new(program.clone(), port, &format!("n{number}"), &cluster)
        });
        Some(Self { nodes: nodes.collect() })
    }

    /// Its nodes, `n0`, `n1` and `n2`.
    pub fn nodes(&mut self) -> &mut [NatsServer] {
        &mut self.nodes
    }

    /// Which node leads a stream.
    #[must_use]
    pub fn leader(&self, stream: &str) -> usize {
        let begun = Instant::now();
        loop {
            for node in self.nodes.iter().filter(|node| node.runs()) {
                if let Ok(Some(number)) = ask_leader(node.port(), stream) {
                    return number;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "the stream {stream} has no leader");
            sleep(Duration::from_millis(50));
        }
    }

    /// The hosts of all nodes, as an address has them.
    #[must_use]
    pub fn hosts(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        hosts.join(",")
    }
}
