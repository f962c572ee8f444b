//! Sockets that a service manager keeps open, and what it is told.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use tidings_engine_servers::quiet_port;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::support::hub::{error_file, room};
use crate::support::{Connection, Hub, Version, tools, within};

/// A hub that is given a listening socket, as systemd would give it.
async fn start(folder: &Path, socket: &std::net::TcpListener, address: SocketAddr) -> Child {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve --log disk:data";
    command.args(["-c", script, env!("CARGO_BIN_EXE_tidings")]).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    command.stdout(Stdio::piped()).stderr(error_file(folder));
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    within("the hub to say where it listens", out.read_line(&mut line)).await.unwrap();
    assert_eq!(line, format!("tidings listening on http://{address}\n"));
    child
}

async fn terminate(mut child: Child) {
    let process = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    let status = within("the hub to end", child.wait()).await.unwrap();
    assert!(status.success(), "{status}");
}

/// One publication on a connection of its own.
async fn publish(address: SocketAddr, data: String) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let mut connection = Connection::open(address, Version::Http1).await?;
    let request = Request::post("/topics/a").body(Full::from(data))?;
    Ok(connection.ask(request).await?.status.as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_refuses_no_connection() {
    const PUBLISHERS: usize = 8;
    let room = room();
    let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let mut hub = start(room.path(), &socket, address).await;
    let (done, published) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (done, published) = (Arc::clone(&done), Arc::clone(&published));
            tokio::spawn(async move {
                let mut number = 0;
                while !done.load(Ordering::Relaxed) {
                    let status = publish(address, format!("{publisher}/{number}")).await;
                    assert_eq!(status.unwrap_or_else(|error| panic!("{publisher}/{number}: {error:?}")), 201);
                    number += 1;
                    published.fetch_add(1, Ordering::Relaxed);
                }
                number
            })
        })
        .collect();
    for _ in 0..3 {
        let before = published.load(Ordering::Relaxed);
        let goes_on = async {
            while published.load(Ordering::Relaxed) < before + 200
                && !publishers.iter().any(tokio::task::JoinHandle::is_finished)
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        within("publications", goes_on).await;
        terminate(hub).await;
        hub = start(room.path(), &socket, address).await;
    }
    done.store(true, Ordering::Relaxed);
    let mut expected = HashSet::new();
    for (publisher, task) in publishers.into_iter().enumerate() {
        let count = within("a publisher to end", task).await.unwrap();
        expected.extend((0..count).map(|number| format!("{publisher}/{number}")));
    }
    let mut connection = Connection::open(address, Version::Http1).await.unwrap();
    let (mut seen, mut since) = (Vec::new(), "earliest".to_owned());
    loop {
        let request = Request::get(format!("/topics/a?limit=1000&since={since}"));
        let page = connection.ask(request.body(Full::default()).unwrap()).await.unwrap().json();
        let events = page["events"].as_array().unwrap();
        seen.extend(events.iter().map(|event| event["data"].as_str().unwrap().to_owned()));
        since = page["next"].as_str().unwrap().into();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!((seen.len(), seen.into_iter().collect::<HashSet<_>>()), (expected.len(), expected));
    terminate(hub).await;
}

#[tokio::test]
async fn systemd_hands_its_socket_over() {
    let Some(activate) = tools::program(&["systemd-socket-activate"]) else { return };
    let (room, address) = (room(), SocketAddr::from((Ipv4Addr::LOCALHOST, quiet_port())));
    let mut command = Command::new(activate);
    command.args(["--listen", &address.to_string(), env!("CARGO_BIN_EXE_tidings")]);
    command.args(["serve", "--log", "memory:"]).current_dir(room.path()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(error_file(room.path()));
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    // It starts the hub when somebody comes.
    let connected = async {
        loop {
            match Connection::open(address, Version::Http1).await {
                Ok(connection) => return connection,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let mut connection = within("systemd to listen", connected).await;
    let request = Request::get("/healthz").body(Full::default()).unwrap();
    let answer = within("an answer", connection.ask(request)).await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "ok\n"));
    let mut line = String::new();
    within("the hub to say where it listens", out.read_line(&mut line)).await.unwrap();
    assert_eq!(line, format!("tidings listening on http://{address}\n"));
    drop(connection);
    terminate(child).await;
}

#[tokio::test]
async fn the_service_manager_is_told_when_the_hub_is_ready_and_when_it_stops() {
    let room = room();
    let place = room.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    let mut hub = Hub::in_memory_with(&[], &[("NOTIFY_SOCKET", place.to_str().unwrap())]).await;
    let told = || {
        let mut message = [0; 100];
        let count = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..count].to_vec()).unwrap()
    };
    assert_eq!(told(), "READY=1");
    hub.terminate().await;
    assert_eq!(told(), "STOPPING=1");
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_refused() {
    let room = room();
    let mut command = Command::new("sh");
    let script = "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve --log memory:";
    command.args(["-c", script, env!("CARGO_BIN_EXE_tidings")]).current_dir(room.path());
    let output = within("the hub to refuse", command.output()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("fd 3 is not a socket"), "{said}");
}
