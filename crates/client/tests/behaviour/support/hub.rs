use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidings_http::{Api, HttpConfig, Server};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{MemoryLog, Retention};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A hub on a port and a thread of its own. Its log outlives a restart.
pub(crate) struct TestHub {
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
    log: Arc<MemoryLog>,
    running: Option<(oneshot::Sender<()>, JoinHandle<std::io::Result<()>>)>,
}

impl TestHub {
    pub(crate) async fn start() -> Self {
        Self::with(Retention::default()).await
    }

    pub(crate) async fn with(retention: Retention) -> Self {
        let log = Arc::new(MemoryLog::new(retention, Duration::from_secs(3_600)));
        let address = "127.0.0.1:0".parse().unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut hub = Self { address, runtime: Some(runtime), log, running: None };
        hub.resume().await;
        hub
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the hub has counted under a name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("it is counted").parse().unwrap()
    }

    /// Shuts the hub down as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let (shutdown, serving) = self.running.take().unwrap();
        shutdown.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }

    /// Starts the hub again, on the same port and over the same log.
    pub(crate) async fn resume(&mut self) {
        let (log, address) = (self.log.clone(), self.address);
        let (shutdown, asked) = oneshot::channel::<()>();
        let (ready, listening) = oneshot::channel();
        let serving = self.runtime.as_ref().unwrap().spawn(async move {
            let listener = listen(address);
            let hub = Hub::new(log, HubConfig::default());
            hub.warm().await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            let server =
                Server::new(Api::builder(hub, HttpConfig::default()).open_to_everyone().build(), [listener]);
            server.serve(async move { drop(asked.await) }).await
        });
        self.address = listening.await.unwrap();
        self.running = Some((shutdown, serving));
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(128).unwrap()
}
