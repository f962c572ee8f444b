use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidings_engine_servers::quiet_port;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::hub::{error_file, room};
use super::{tools, within};

/// A proxy of others as a process of its own, in a folder of its own. Dropping it ends it.
pub(crate) struct Proxy {
    kind: Kind,
    program: PathBuf,
    configure: Box<dyn Fn(&ProxySetup) -> String + Send + Sync>,
    place: ProxySetup,
    daemon: Daemon,
    room: TempDir,
}

/// Where a proxy is, for its configuration to name.
#[derive(Debug, Clone)]
pub(crate) struct ProxySetup {
    pub(crate) listen: SocketAddr,
    /// A folder that it may write to.
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nginx,
    HaProxy,
}

/// A process that ends its workers when it is asked to end.
struct Daemon(Child);

/// What Debian's package configures.
const NGINX_DEFAULTS: &str = "/etc/nginx/nginx.conf";
/// Where nginx keeps what it does not hold in memory.
const NGINX_FOLDERS: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
/// How often a proxy is started on another port because somebody else took the first.
const ATTEMPTS: usize = 5;

// === impl Proxy ===

impl Proxy {
    /// nginx as its package configures it, with what `site` gives in its `http` block.
    pub(crate) async fn nginx(site: impl Fn(&ProxySetup) -> String + Send + Sync + 'static) -> Option<Self> {
        let program = tools::program(&["nginx"])?;
        Some(Self::start(Kind::Nginx, program, Box::new(site)).await)
    }

    /// HAProxy with a configuration of its own.
    pub(crate) async fn haproxy(
        configuration: impl Fn(&ProxySetup) -> String + Send + Sync + 'static,
    ) -> Option<Self> {
        let program = tools::program(&["haproxy"])?;
        Some(Self::start(Kind::HaProxy, program, Box::new(configuration)).await)
    }

    async fn start(
        kind: Kind,
        program: PathBuf,
        configure: Box<dyn Fn(&ProxySetup) -> String + Send + Sync>,
    ) -> Self {
        let room = room();
        for name in NGINX_FOLDERS {
            fs::create_dir(room.path().join(name)).unwrap();
        }
        for _ in 0..ATTEMPTS {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, quiet_port()));
            let place = ProxySetup { listen, folder: room.path().to_owned() };
            kind.write(&place, &configure(&place));
            kind.check(&program, room.path());
            let mut command = kind.command(&program, room.path());
            let mut daemon = Daemon(command.stderr(error_file(room.path())).spawn().unwrap());
            if within("the proxy to listen", daemon.listens(listen)).await {
                return Self { kind, program, configure, place, daemon, room };
            }
            eprintln!("{} ended: {}", program.display(), read(&room.path().join("stderr")));
        }
        panic!("{} did not start", program.display());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.listen
    }

    /// The folder that it may write to.
    pub(crate) fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// Has it read its configuration again, and waits until other workers serve.
    pub(crate) async fn reload(&self) {
        self.kind.write(&self.place, &(self.configure)(&self.place));
        self.kind.check(&self.program, self.room.path());
        let before = self.daemon.workers();
        self.daemon.signal(match self.kind {
            Kind::Nginx => Signal::HUP,
            Kind::HaProxy => Signal::USR2,
        });
        let replaced = async {
            while self.daemon.workers().iter().all(|worker| before.contains(worker)) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        within("the proxy to have new workers", replaced).await;
    }

    /// What it wrote on standard error.
    pub(crate) fn log(&self) -> String {
        read(&self.room.path().join("stderr"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the proxy's own log:\n{}", self.log());
        }
    }
}

// === impl Kind ===

impl Kind {
    fn file(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Nginx => "nginx.conf",
            Self::HaProxy => "haproxy.cfg",
        })
    }

    fn write(self, place: &ProxySetup, configuration: &str) {
        let text = match self {
            Self::HaProxy => configuration.to_owned(),
            Self::Nginx => nginx_with(&place.folder, configuration),
        };
        fs::write(self.file(&place.folder), text).unwrap();
    }

    fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        match self {
            Self::Nginx => command.args(["-g", "daemon off;", "-e", "stderr", "-c"]),
            // A master with workers, in the foreground.
            Self::HaProxy => command.args(["-W", "-db", "-f"]),
        };
        command.arg(self.file(folder));
        command
    }

    /// Asks the program what it thinks of its configuration.
    fn check(self, program: &Path, folder: &Path) {
        let flag = match self {
            Self::Nginx => "-t",
            Self::HaProxy => "-c",
        };
        let checked = self.command(program, folder).arg(flag).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        let configuration = read(&self.file(folder));
        assert!(checked.status.success(), "{}: {said}\nof\n{configuration}", program.display());
    }
}

/// Debian's configuration with a site of its own, where the files of the system are another's.
fn nginx_with(folder: &Path, site: &str) -> String {
    let defaults = read(Path::new(NGINX_DEFAULTS));
    assert!(defaults.contains("include /etc/nginx/sites-enabled/*;"), "{NGINX_DEFAULTS} is not Debian's");
    let folder_name = folder.display();
    let paths = NGINX_FOLDERS.map(|name| {
        let directive =
            if name == "client_body" { "client_body_temp_path" } else { &format!("{name}_temp_path") };
        format!("{directive} {folder_name}/{name};")
    });
    // Its workers are whoever runs the tests: the folder is theirs alone.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    defaults
        .replace("user www-data;", user)
        // Room for a crowd.
        .replace("worker_connections 768;", "worker_connections 16384;")
        .replace("/run/nginx.pid", &format!("{folder_name}/nginx.pid"))
        .replace("/var/log/nginx/error.log", "stderr")
        .replace("/var/log/nginx/access.log", &format!("{folder_name}/access.log"))
        .replace("include /etc/nginx/conf.d/*.conf;", &paths.join("\n"))
        .replace("include /etc/nginx/sites-enabled/*;", site)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("{}: {error}", path.display()))
}

// === impl Daemon ===

impl Daemon {
    /// Whether it listens; it may also end.
    async fn listens(&mut self, address: SocketAddr) -> bool {
        while self.0.try_wait().unwrap().is_none() {
            // Another process that has the port is not waited for.
            if TcpStream::connect(address).await.is_ok() && !self.workers().is_empty() {
                return true;
            }
            sleep(Duration::from_millis(5)).await;
        }
        false
    }

    fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).unwrap();
    }

    fn workers(&self) -> Vec<String> {
        let id = self.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            // Not SIGKILL, which would leave the workers behind.
            _ = kill_process(self.process(), Signal::TERM);
            drop(self.0.wait());
        }
    }
}
