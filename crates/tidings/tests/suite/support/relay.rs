use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::within;

/// Stands between HTTP/1.1 clients and a hub, passes everything on at once, and hears what they say.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<RelayState>,
    _tasks: JoinSet<()>,
}

struct RelayState {
    heard: watch::Sender<Heard>,
    cut: Notify,
}

#[derive(Default)]
struct Heard {
    /// The heads of the requests for events.
    requests: Vec<String>,
    /// Everything that the hub answered on any connection.
    answers: String,
}

// === impl Relay ===

impl Relay {
    pub(crate) async fn to(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(RelayState { heard: watch::Sender::default(), cut: Notify::new() });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, hub, Arc::clone(&shared)));
        Self { address, shared, _tasks: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Cuts every connection that is open.
    pub(crate) fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// The head of a request for events, in lowercase, counted from 0, once there is one.
    pub(crate) async fn request(&self, number: usize) -> String {
        let mut heard = self.shared.heard.subscribe();
        let heard = within("a request", heard.wait_for(|heard| heard.requests.len() > number)).await.unwrap();
        heard.requests[number].clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.heard.borrow().requests.len()
    }

    /// Waits until the hub has answered with this text.
    pub(crate) async fn answered(&self, text: &str) {
        let mut heard = self.shared.heard.subscribe();
        let what = format!("the hub to answer with {text:?}");
        drop(within(&what, heard.wait_for(|heard| heard.answers.contains(text))).await.unwrap());
    }
}

async fn accept(listener: TcpListener, hub: SocketAddr, shared: Arc<RelayState>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, hub, Arc::clone(&shared)));
    }
}

async fn pass(client: TcpStream, hub: SocketAddr, shared: Arc<RelayState>) {
    let cut = shared.cut.notified();
    let Ok(hub) = TcpStream::connect(hub).await else { return };
    drop((client.set_nodelay(true), hub.set_nodelay(true)));
    let (client_out, client_in) = client.into_split();
    let (hub_out, hub_in) = hub.into_split();
    let head = Mutex::new(String::new());
    let requests = copy(client_out, hub_in, |text| {
        let mut head = head.lock().unwrap();
        head.push_str(&text.to_lowercase());
        while let Some(end) = head.find("\r\n\r\n") {
            let request: String = head.drain(..end + 4).collect();
            if request.starts_with("get /topics/") || request.starts_with("get /events") {
                shared.heard.send_modify(|heard| heard.requests.push(request));
            }
        }
    });
    let answers = copy(hub_out, client_in, |text| {
        shared.heard.send_modify(|heard| heard.answers.push_str(text));
    });
    tokio::select! {
        _ = async { tokio::join!(requests, answers) } => {}
        () = cut => {}
    }
}

/// Passes bytes on until one side ends.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, tell: impl Fn(&str)) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        // Only now: whoever hears of it and cuts the connection cuts it after these bytes.
        tell(&String::from_utf8_lossy(&buffer[..length]));
    }
    drop(to.shutdown().await);
}
