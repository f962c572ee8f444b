use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidings_http::{Face, HttpConfig, Server};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{MemoryLog, Retention};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A hub on a port of its own. Its log outlives a restart.
pub(crate) struct TestHub {
    pub(crate) address: SocketAddr,
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
        let mut hub = Self { address, log, running: None };
        hub.resume().await;
        hub
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Shuts the hub down as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let (shutdown, serving) = self.running.take().unwrap();
        shutdown.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }

    /// Starts the hub again, on the same port and over the same log.
    pub(crate) async fn resume(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener: TcpListener = socket.listen(128).unwrap();
        self.address = listener.local_addr().unwrap();
        let hub = Hub::new(self.log.clone(), HubConfig::default());
        hub.warm().await.unwrap();
        let server = Server::new(Face::new(hub, HttpConfig::default()), listener);
        let (shutdown, asked) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async move { drop(asked.await) }));
        self.running = Some((shutdown, serving));
    }
}
