//! What `deploy/` starts: two hubs over a NATS of three nodes, with nginx in front.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tidings_engine_servers::{NatsServer, quiet_ports};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use super::load::Load;
use crate::support::hub::room;
use crate::support::{tools, within};

/// The script, and the processes that it says that it has started.
struct Deployment {
    script: Child,
    processes: HashMap<String, Pid>,
    ports: [u16; 9],
    token: String,
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
            // All but what the test says is closed.
            .env("TIDINGS_AUTH_ANONYMOUS_PUBLISH", "load/**")
            .env("TIDINGS_AUTH_ANONYMOUS_SUBSCRIBE", "load/**")
            .current_dir(room().path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
        let (mut processes, mut token) = (HashMap::new(), String::new());
        while let Some(line) = within("the script to say something", lines.next_line()).await.unwrap() {
            if let Some((name, pid)) = line.split_once(" is process ") {
                processes.insert(name.to_owned(), Pid::from_raw(pid.parse().unwrap()).unwrap());
            } else if let Some(text) = line.strip_prefix("a token for everything, for a day: ") {
                token = text.to_owned();
            } else {
                assert_eq!(line, format!("ready on http://127.0.0.1:{}", ports[0]));
                return Self { script, processes, ports, token };
            }
        }
        panic!("the script ended");
    }

    /// The status of a request that is sent to nginx, from another address of this machine than its own.
    async fn status(&self, method: &str, path: &str, token: Option<&str>) -> u16 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
        let answered = async {
            let mut socket = socket.connect((Ipv4Addr::LOCALHOST, self.ports[0]).into()).await.unwrap();
            let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
            let fields = format!("Host: hub\r\n{token}Content-Length: 0\r\nConnection: close\r\n");
            socket.write_all(format!("{method} {path} HTTP/1.1\r\n{fields}\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = within("an answer", answered).await;
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
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
    for (method, path) in
        [("POST", "/topics/a"), ("GET", "/topics/a"), ("GET", "/topics"), ("GET", "/metrics")]
    {
        assert_eq!(deployment.status(method, path, None).await, 401, "{method} {path}");
        let status = if method == "POST" { 201 } else { 200 };
        assert_eq!(deployment.status(method, path, Some(&deployment.token)).await, status, "{method} {path}");
    }
    let load = Load::at(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, deployment.ports[0]))]);
    load.goes_on(200).await;
    deployment.kill("hub1");
    load.goes_on(200).await;
    deployment.kill("nats2");
    load.goes_on(200).await;
    load.ends().await;
    deployment.end().await;
}
