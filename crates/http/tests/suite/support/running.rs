use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde_json::json;
use tidings_http::{Api, Auth, Cleartext, HttpConfig, Server, Tls};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{MemoryLog, Retention};
use tidings_protocol::Page;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Answer, Request, Socket, Stream, Wire, eventually, upgrade, within};

/// How a hub and its server are set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) hub: HubConfig,
    pub(crate) http: HttpConfig,
    pub(crate) retention: Retention,
    pub(crate) tls: Option<(Tls, Cleartext)>,
    /// Routes beside the hub's own.
    pub(crate) beside: Router,
}

/// A hub that is served on a port of its own.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) hub: Hub,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

// === impl Setup ===

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            hub: HubConfig::default(),
            http: HttpConfig::default(),
            retention: Retention::default(),
            tls: None,
            beside: Router::new(),
        }
    }

    /// A log of not much more than so many events without data to speak of.
    pub(crate) fn keeping(events: u64) -> Self {
        let retention = Retention { bytes: events * 140, ..Retention::default() };
        Self { retention, ..Self::new() }
    }

    /// Heartbeats that a test can wait for.
    pub(crate) fn heartbeat(mut self, interval: Duration) -> Self {
        self.http.heartbeat = interval;
        self
    }

    pub(crate) fn log(&self) -> MemoryLog {
        MemoryLog::new(self.retention, Duration::from_secs(3_600))
    }

    pub(crate) fn hub(&self) -> Hub {
        Hub::new(Arc::new(self.log()), self.hub)
    }

    pub(crate) async fn start(self) -> Running {
        let hub = self.hub();
        self.start_over(hub).await
    }

    /// Serves a hub that exists.
    pub(crate) async fn start_over(self, hub: Hub) -> Running {
        self.start_with(hub, Auth::open()).await
    }

    /// Serves a hub that exists to whoever may use it.
    pub(crate) async fn start_with(self, hub: Hub, auth: Auth) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.start_on(listener, hub, auth)
    }

    /// Serves a hub that exists on a port that exists.
    pub(crate) fn start_on(self, listener: TcpListener, hub: Hub, auth: Auth) -> Running {
        let api = Api::builder(hub.clone(), self.http).auth(auth).build();
        let mut server = Server::new(api, [listener]).and_routes(self.beside);
        if let Some((tls, cleartext)) = self.tls {
            server = server.tls(tls, cleartext);
        }
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async { drop(stopped.await) }));
        Running { address, hub, stop: Some(stop), serving }
    }
}

// === impl Running ===

impl Running {
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// Asks on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: Request) -> impl Future<Output = Answer> + use<> {
        let address = self.address;
        within(async move { Wire::connect(address).await.ask(&request).await })
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> impl Future<Output = Answer> + use<> {
        self.ask(Request::get(target))
    }

    /// A poll that is answered with a page.
    pub(crate) async fn poll(&self, target: &str) -> Page {
        self.get(target).await.page()
    }

    /// The data of every event of a poll, as text.
    pub(crate) async fn read(&self, target: &str) -> Vec<String> {
        texts(&self.poll(target).await)
    }

    /// A request that is answered with a stream.
    pub(crate) async fn open(&self, request: Request) -> Stream {
        let mut wire = self.connect().await;
        wire.send(request.bytes()).await;
        Stream::new(wire).await
    }

    /// An event stream, as soon as there is room for one: who has left counts for a moment longer.
    pub(crate) async fn open_when_there_is_room(&self, request: Request) -> Stream {
        let mut stream = None;
        eventually("there is room again", async || {
            let mut wire = self.connect().await;
            wire.send(request.bytes()).await;
            let head = wire.head().await;
            // One that is put off comes whole.
            stream = head.header("content-length").is_none().then(|| Stream::of(head, wire));
            stream.is_some()
        })
        .await;
        stream.unwrap()
    }

    /// An event stream, past its first block.
    pub(crate) async fn stream(&self, target: &str) -> Stream {
        let mut stream = self.open(Request::stream(target)).await;
        assert!(stream.block().await.retry.is_some());
        stream
    }

    /// A WebSocket.
    pub(crate) async fn socket(&self, target: &str) -> Socket {
        Socket::open(self.connect().await, &upgrade(target)).await
    }

    /// Publishes a text and returns its id.
    pub(crate) async fn publish(&self, topic: &str, text: &str) -> String {
        self.ask(Request::post(&format!("/topics/{topic}"), text)).await.id()
    }

    /// Publishes a text with an event type and returns its id.
    pub(crate) async fn publish_typed(&self, topic: &str, event: &str, text: &str) -> String {
        self.ask(Request::post(&format!("/topics/{topic}?event={event}"), text)).await.id()
    }

    /// Publishes the numbers of a range as texts, in one batch, and returns their ids.
    pub(crate) async fn publish_numbers(&self, topic: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
        let lines: String = numbers.map(|n| json!({"data": n.to_string()}).to_string() + "\n").collect();
        self.ask(Request::post(&format!("/topics/{topic}"), lines).ndjson()).await.ids()
    }

    /// Ends a topic without an event and returns the cursor after its end.
    pub(crate) async fn close_topic(&self, topic: &str) -> String {
        self.ask(Request::post(&format!("/topics/{topic}?close=true"), "")).await.id()
    }

    /// The cursor after so many entries.
    pub(crate) fn cursor(&self, sequence: u64) -> String {
        self.hub.lineage().id(sequence).to_string()
    }

    /// The number on a line of `GET /metrics`; 0 where there is no such line.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let answer = self.get("/metrics").await;
        let lines = answer.text().lines().filter_map(|line| line.rsplit_once(' '));
        lines.filter(|(own, _)| *own == name).map(|(_, value)| value.parse().unwrap()).next().unwrap_or(0)
    }

    /// Waits until so many readers of a transport are counted.
    pub(crate) async fn readers(&self, transport: &str, count: u64) {
        let name = format!("tidings_subscribers{{transport=\"{transport}\"}}");
        eventually(&format!("{name} is {count}"), async || self.metric(&name).await == count).await;
    }

    /// Waits until so many readers wait for events of a topic.
    pub(crate) async fn waiting(&self, topic: &str, count: usize) {
        let topic = topic.parse().unwrap();
        eventually("they wait", async || self.hub.subscribers(&topic) == count).await;
    }

    /// Begins to shut down.
    pub(crate) fn shut_down(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(self) {
        within(self.serving).await.unwrap().unwrap();
    }
}

/// The data of every event on a page, as text.
pub(crate) fn texts(page: &Page) -> Vec<String> {
    page.events.iter().map(|event| String::from_utf8(event.bytes().into_owned()).unwrap()).collect()
}
