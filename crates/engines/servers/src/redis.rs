use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Process, folder, program};
use crate::quiet_port;

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

    /// Starts one with these arguments beside where it listens and what it is in.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let program = program("redis-server", "redis-server", &[])?;
        let port = quiet_port();
        let own = format!("--port {port} --bind 127.0.0.1 --save  --daemonize no --dir .");
        let mut server = Self {
            program,
            arguments: own
                .split(' ')
                .map(str::to_owned)
                .chain(arguments.iter().map(ToString::to_string))
                .collect(),
            folder: folder(),
            port,
            process: None,
        };
        server.start_again();
        Some(server)
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
