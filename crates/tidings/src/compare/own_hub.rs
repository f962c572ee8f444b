//! A hub of this program's own, for whoever has none to compare at.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

/// A folder in which everything of a comparison is, and which goes with it.
#[derive(Debug)]
pub(crate) struct Room(PathBuf);

/// A hub as a process of its own. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OwnHub {
    process: Child,
    /// Where it listens, as `HOST:PORT`: in clear, and with TLS.
    pub(crate) authority: String,
}

/// The name of its certificate's file, which is also who is to be trusted.
const CERTIFICATE: &str = "hub.pem";
const KEY: &str = "hub.key";
/// What its address comes after, in the line that says that it listens.
const ANNOUNCED: &str = "://";
/// The most of that line.
const LINE_BYTES: u64 = 4 << 10;

/// The folder that is there now, for whoever ends the program before its time.
static PRESENT: Mutex<Option<PathBuf>> = Mutex::new(None);

// === impl Room ===

impl Room {
    /// A new folder, with a certificate for this machine in it.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let path = env::temp_dir().join(format!("tidings-compare-{}-{now:x}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| format!("failed to make the folder {}: {error}", path.display()))?;
        *PRESENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.clone());
        let room = Self(path);
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let own = rcgen::generate_simple_self_signed(names)?;
        fs::write(room.certificate(), own.cert.pem())?;
        fs::write(room.0.join(KEY), own.signing_key.serialize_pem())?;
        Ok(room)
    }

    /// Whom to trust to be the hub.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.join(CERTIFICATE)
    }

    /// Removes the folder that is there, if one is: for a program that is told to end.
    pub(crate) fn clear() {
        let path = PRESENT.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(path) = path {
            drop(fs::remove_dir_all(path));
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        Self::clear();
    }
}

// === impl OwnHub ===

impl OwnHub {
    /// Starts a hub with an empty log of this name, and waits until it listens.
    pub(crate) fn start(room: &Room, log: &str) -> Result<Self, Box<dyn Error>> {
        if !cfg!(feature = "serve") {
            return Err(
                "this program was built without `serve`, so it has no hub of its own: give `--url`".into()
            );
        }
        let data = room.0.join(log);
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let mut process = command(&room.0, log)?
            .spawn()
            .map_err(|error| format!("failed to start a hub of its own: {error}"))?;
        let mut line = String::new();
        let read = process.stdout.take().map(|out| BufReader::new(out.take(LINE_BYTES)).read_line(&mut line));
        read.transpose()?;
        let address = line.trim().rsplit_once(ANNOUNCED).map(|(_, authority)| authority.to_owned());
        let mut hub = Self { process, authority: address.unwrap_or_default() };
        if hub.authority.is_empty() {
            return Err(hub.complaint(&room.0).into());
        }
        Ok(hub)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Why it did not start, in its own words.
    fn complaint(&mut self, room: &Path) -> String {
        drop(self.process.wait());
        let said = fs::read_to_string(room.join("stderr")).unwrap_or_default();
        format!("a hub of its own did not start: {}", said.trim())
    }
}

impl Drop for OwnHub {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn command(room: &Path, log: &str) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    // Nothing of what is set for another hub.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIDINGS_")) {
        command.env_remove(name);
    }
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log",
            &format!("disk:{log}"),
            "--no-console",
            "--end-with-parent",
        ])
        .args(["--tls-certificate", CERTIFICATE, "--tls-key", KEY, "--log-level", "error"])
        .current_dir(room)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(room.join("stderr"))?);
    Ok(command)
}
