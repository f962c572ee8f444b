//! What `deploy/` starts: two hubs over a NATS of three nodes, with nginx in front.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tidings_engine_servers::{NatsServer, quiet_ports};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::load::Load;
use crate::support::hub::room;
use crate::support::{tools, within};

/// The script, and the processes that it says that it has started.
struct Deployment {
    script: Child,
    processes: HashMap<String, Pid>,
    ports: [u16; 9],
}

// === impl Deployment ===

impl Deployment {
    async fn start() -> Self {
        let ports = quiet_ports::<9>();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/loopback");
        let list: Vec<_> = ports.iter().map(ToString::to_string).collect();
        let mut script = Command::new(script)
            .env("PORTS", list.join(" "))
            .env("TIDINGS", env!("CARGO_BIN_EXE_tidings"))
            .current_dir(room().path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
        let mut processes = HashMap::new();
        while let Some(line) = within("the script to say something", lines.next_line()).await.unwrap() {
            if let Some((name, pid)) = line.split_once(" is process ") {
                processes.insert(name.to_owned(), Pid::from_raw(pid.parse().unwrap()).unwrap());
            } else {
                assert_eq!(line, format!("ready on http://127.0.0.1:{}", ports[0]));
                return Self { script, processes, ports };
            }
        }
        panic!("the script ended");
    }

    fn kill(&self, name: &str) {
        kill_process(self.processes[name], Signal::KILL).unwrap();
    }

    async fn end(mut self) {
        let script = Pid::from_raw(i32::try_from(self.script.id().unwrap()).unwrap()).unwrap();
        kill_process(script, Signal::TERM).unwrap();
        within("the script to end", self.script.wait()).await.unwrap();
        for port in &self.ports {
            assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err(), "something is left on {port}");
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if let Some(pid) = self.script.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // It ends what it started.
            _ = kill_process(pid, Signal::TERM);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx_a_hub_and_a_node_may_be_killed_and_nothing_is_lost() {
    if !NatsServer::is_installed() || tools::program(&["nginx"]).is_none() {
        return;
    }
    let deployment = Deployment::start().await;
    let load = Load::at(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, deployment.ports[0]))]);
    load.goes_on(200).await;
    deployment.kill("hub1");
    load.goes_on(200).await;
    deployment.kill("nats2");
    load.goes_on(200).await;
    load.ends().await;
    deployment.end().await;
}
