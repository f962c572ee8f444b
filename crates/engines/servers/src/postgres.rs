use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rustix::process::{Signal, getuid};
use tempfile::TempDir;

use crate::process::{PATIENCE, Process, SAID, folder, program};
use crate::quiet_port;

/// A `postgres` with a cluster of its own, whose user `postgres` needs no password from this machine.
#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

/// The user that a server runs as where the tests are root, as it refuses to be root itself.
const USER: &str = "postgres";

// === impl PostgresServer ===

impl PostgresServer {
    /// Starts one; `None` where it is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts one with these settings beside where it listens, like `fsync=off`.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        // The others are where the program is, and not where there is a link to it.
        let program = program("postgres", "postgresql", &versions())?.canonicalize().unwrap();
        let (port, folder) = (quiet_port(), folder());
        let mut server = Self {
            programs: program.parent().unwrap().to_owned(),
            arguments: Vec::new(),
            folder,
            port,
            process: None,
        };
        let path = server.folder.path();
        own(path);
        let data = path.join("data");
        let (init, arguments) = server.command(
            "initdb",
            ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"],
        );
        let made = Command::new(init).args(arguments).arg(&data).current_dir(path).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
        let own =
            [format!("port={port}"), "listen_addresses=127.0.0.1".into(), "unix_socket_directories=".into()];
        for setting in own.into_iter().chain(settings.iter().map(ToString::to_string)) {
            arguments.extend(["-c".to_owned(), setting]);
        }
        server.arguments = arguments;
        server.start_again();
        Some(server)
    }

    /// Starts it again on the same port and folder, and waits until it takes connections.
    pub fn start_again(&mut self) {
        let (program, arguments) = self.command("postgres", &self.arguments);
        let folder = self.folder.path();
        // It ends at once and without a word to anybody, as in a crash, and takes its children with it.
        self.process = Some(Process::start(&program, arguments, folder, self.port, Signal::QUIT));
        let ready = || {
            let mut ask = Command::new(self.programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string()).status().unwrap()
        };
        let begun = Instant::now();
        while !ready().success() {
            assert!(begun.elapsed() < PATIENCE, "postgres takes no connections");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.take().expect("the server runs").kill();
    }

    /// Starts it again as if it had been restored from a backup, with all that it wrote: on another timeline.
    pub fn restore(&mut self) {
        self.kill();
        let signal = self.folder.path().join("data/recovery.signal");
        std::fs::write(&signal, "").unwrap();
        own(&signal);
        self.arguments.extend(["-c".to_owned(), "restore_command=false".to_owned()]);
        self.start_again();
    }

    /// What `pg_dump` makes of a schema.
    #[must_use]
    pub fn dump(&self, schema: &str) -> String {
        let mut dump = self.client("pg_dump");
        let dump = dump.args(["--schema", schema]).output().unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        String::from_utf8(dump.stdout).unwrap()
    }

    /// Puts a dump of a schema in its place, in one transaction.
    pub fn load(&self, schema: &str, dump: &str) {
        let file = self.folder.path().join("dump.sql");
        std::fs::write(&file, format!("DROP SCHEMA {schema} CASCADE;\n{dump}")).unwrap();
        let mut load = self.client("psql");
        let load = load
            .args(["--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .args(["-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-p"])
            .arg(self.port.to_string());
        command
    }

    /// Starts it again so that every user but `postgres` needs a password.
    pub fn ask_for_passwords(&mut self) {
        let rules = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        self.kill();
        std::fs::write(self.folder.path().join("data/pg_hba.conf"), rules).unwrap();
        self.start_again();
    }

    /// Starts it again so that it encrypts for those who want that, with a certificate and its key, both as PEM.
    pub fn encrypt(&mut self, certificate: &str, key: &str) {
        self.kill();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = self.folder.path().join("data").join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            own(&file);
        }
        self.arguments.extend(["-c".to_owned(), "ssl=on".to_owned()]);
        self.start_again();
    }

    /// Starts it again so that it asks clients for a certificate of this authority, as PEM. It has to encrypt already.
    pub fn ask_for_certificates(&mut self, authority: &str) {
        self.kill();
        let data = self.folder.path().join("data");
        std::fs::write(data.join("root.crt"), authority).unwrap();
        own(&data.join("root.crt"));
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n")
            .unwrap();
        self.arguments.extend(["-c".to_owned(), "ssl_ca_file=root.crt".to_owned()]);
        self.start_again();
    }

    /// Everything that it has written into its log.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(SAID)).unwrap()
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A program of the server's, run as the user that may.
    fn command<A: AsRef<str>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> (PathBuf, Vec<String>) {
        let program = self.programs.join(name);
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        if !getuid().is_root() {
            return (program, arguments.collect());
        }
        let as_user = [
            format!("--reuid={USER}"),
            format!("--regid={USER}"),
            "--clear-groups".into(),
            program.display().to_string(),
        ];
        (Path::new("setpriv").to_owned(), as_user.into_iter().chain(arguments).collect())
    }
}

/// Gives a file or folder to the user that the server runs as.
fn own(path: &Path) {
    if getuid().is_root() {
        let owned = Command::new("chown").arg(USER).arg(path).status().unwrap();
        assert!(owned.success());
    }
}

/// Where Debian has the programs, the newest version first.
fn versions() -> Vec<PathBuf> {
    let Ok(folders) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut found: Vec<_> = folders.filter_map(|folder| Some(folder.ok()?.path())).collect();
    found.sort_by_key(number);
    found.into_iter().rev().map(|folder| folder.join("bin")).collect()
}
