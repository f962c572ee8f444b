use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Process, folder, program};
use crate::{Certificates, quiet_port};

/// A `redis-server`.
#[derive(Debug)]
pub struct RedisServer {
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

// === impl RedisServer ===

impl RedisServer {
    /// Starts one that keeps its data with `appendfsync always`; `None` where it is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts one that speaks TLS only, with a certificate for `localhost`.
    #[must_use]
    pub fn start_with_tls() -> Option<(Self, Certificates)> {
        Self::start_encrypted("no")
    }

    /// Starts one that speaks TLS only, with whoever has a certificate of the same authority.
    #[must_use]
    pub fn start_with_client_certificates() -> Option<(Self, Certificates)> {
        Self::start_encrypted("yes")
    }

    fn start_encrypted(clients: &str) -> Option<(Self, Certificates)> {
        let certificates = Certificates::new();
        let arguments = [
            ("--tls-cert-file", certificates.certificate()),
            ("--tls-key-file", certificates.key()),
            ("--tls-ca-cert-file", certificates.authority()),
        ];
        let files = arguments.iter().map(|(name, file)| (*name, file.to_str().unwrap()));
        let mut arguments: Vec<_> = files.flat_map(|(name, file)| [name, file]).collect();
        arguments.extend(["--tls-auth-clients", clients]);
        Some((Self::new(&arguments, true)?, certificates))
    }

    /// Starts one with these arguments beside where it listens and what it is in.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        Self::new(arguments, false)
    }

    /// Starts a sentinel, with the configuration in a file that it writes to.
    #[must_use]
    pub fn start_sentinel(configuration: &std::path::Path) -> Option<Self> {
        let mut server = Self::prepare(false)?;
        server.arguments.splice(0..0, [configuration.display().to_string()]);
        server.arguments.retain(|argument| !matches!(argument.as_str(), "--save" | ""));
        server.arguments.push("--sentinel".into());
        server.start_again();
        Some(server)
    }

    fn new(arguments: &[&str], tls: bool) -> Option<Self> {
        let mut server = Self::prepare(tls)?;
        server.arguments.extend(arguments.iter().map(ToString::to_string));
        server.start_again();
        Some(server)
    }

    fn prepare(tls: bool) -> Option<Self> {
        let program = program("redis-server", "redis-server", &[])?;
        let port = quiet_port();
        let ports = if tls { format!("--port 0 --tls-port {port}") } else { format!("--port {port}") };
        let own = format!("{ports} --bind 127.0.0.1 --save  --daemonize no --dir .");
        let arguments = own.split(' ').map(str::to_owned).collect();
        Some(Self { program, arguments, folder: folder(), port, process: None })
    }

    /// Starts it again on the same port and folder.
    pub fn start_again(&mut self) {
        let folder = self.folder.path();
        self.process = Some(Process::start(&self.program, &self.arguments, folder, self.port, Signal::KILL));
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.take().expect("the server runs").kill();
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

    /// The folder that it keeps its data in.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
