use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tidings_http::{Api, Auth, AuthConfig, Cors, HttpConfig, Key, Rights, Server, listen};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{DiskConfig, DiskLog, Log, MemoryLog, Retention};
use tidings_mercure::{Mercure, MercureConfig, MercureKeys};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const SECRET: &str = "!ChangeThisMercureHubJWTSecretKey!";
pub(crate) const PATH: &str = "/.well-known/mercure";

/// A hub that answers Mercure.
pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) hub: Hub,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

/// A head and what came of the body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A subscriber.
pub(crate) struct Stream {
    socket: TcpStream,
    pub(crate) status: u16,
    pub(crate) head: String,
    rest: String,
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("no {what} in time"),
    }
}

pub(crate) fn config() -> MercureConfig {
    MercureConfig { anonymous: true, ..MercureConfig::new(keys(SECRET)) }
}

pub(crate) fn keys(secret: &str) -> MercureKeys {
    MercureKeys { keys: vec![Key::hs256(secret.as_bytes()).unwrap()], ..MercureKeys::default() }
}

pub(crate) fn sign(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A token of 1.0.
pub(crate) fn access_token(details: &Value, seconds: u64) -> String {
    let header = Header { typ: Some("at+jwt".to_owned()), ..Header::default() };
    let claims =
        json!({"exp": now() + seconds, "aud": "https://hub.example/", "authorization_details": details});
    encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// Who may publish everything.
pub(crate) fn publisher() -> String {
    sign(&json!({"mercure": {"publish": ["*"]}}))
}

pub(crate) fn reader_of(selectors: &[&str]) -> String {
    sign(&json!({"mercure": {"subscribe": selectors}}))
}

pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect::<String>()
    };
    pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

// === impl Bench ===

impl Bench {
    pub(crate) async fn start(config: MercureConfig) -> Self {
        Self::over(config, Arc::new(MemoryLog::new(Retention::default(), Duration::from_secs(60)))).await
    }

    pub(crate) async fn on_disk(config: MercureConfig, folder: &std::path::Path) -> Self {
        Self::over(config, Arc::new(DiskLog::open(folder, DiskConfig::default()).unwrap())).await
    }

    pub(crate) async fn over(config: MercureConfig, log: Arc<dyn Log>) -> Self {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cors = Cors::new(&["https://app.example".to_owned()], Duration::from_secs(60)).unwrap();
        let http = HttpConfig { heartbeat: Duration::from_secs(1), cors, ..HttpConfig::default() };
        let hub = Hub::new(log, HubConfig::default());
        // Ours has a key and rights of its own.
        let anonymous = Rights {
            publish: vec!["**".parse().unwrap()],
            subscribe: vec!["**".parse().unwrap()],
            ..Rights::none()
        };
        let auth = Auth::new(AuthConfig { anonymous, ..AuthConfig::default() }).unwrap();
        let api = Api::builder(hub.clone(), http).auth(auth).build();
        let mercure = Mercure::new(config).unwrap();
        let server = Server::new(api.clone(), [listener]).and_routes(mercure.router(&api));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            server.serve(async { drop(stopped.await) }).await.unwrap();
        });
        Self { address, hub, stop: Some(stop), server }
    }

    /// Ends the hub, so that its log can be opened again.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        within("end", self.server).await.unwrap();
        self.hub.close().await.unwrap();
    }

    pub(crate) async fn request(&self, method: &str, target: &str, fields: &str, body: &str) -> Answer {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        within("answer", socket.read_to_end(&mut bytes)).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer { status: status(head), head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// As `curl -H 'Authorization: Bearer …' -d … https://…/.well-known/mercure` does it.
    pub(crate) async fn post(&self, token: &str, pairs: &[(&str, &str)]) -> Answer {
        let fields =
            format!("authorization: Bearer {token}\r\ncontent-type: application/x-www-form-urlencoded\r\n");
        self.request("POST", PATH, &fields, &form(pairs)).await
    }

    /// Publishes what is to be taken, and gives its id.
    pub(crate) async fn publish(&self, pairs: &[(&str, &str)]) -> String {
        let answer = self.post(&publisher(), pairs).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) async fn get(&self, query: &[(&str, &str)], fields: &str) -> Stream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {PATH}?{} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n", form(query));
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Stream { socket, status: 0, head: String::new(), rest: String::new() };
        let head = stream.until("\r\n\r\n").await.expect("a head");
        stream.status = status(&head);
        stream.head = head.to_ascii_lowercase();
        stream
    }

    /// A subscriber that is there: whatever is published from now on comes to it.
    pub(crate) async fn subscribe(&self, query: &[(&str, &str)], token: Option<&str>) -> Stream {
        let fields = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let stream = self.get(query, &fields).await;
        assert_eq!(stream.status, 200, "{}", stream.head);
        stream
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

// === impl Answer ===

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// That it refuses with this status, and says why.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, reason: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.json()["detail"].as_str().unwrap().contains(reason), "{reason}: {}", self.body);
    }
}

// === impl Stream ===

impl Stream {
    /// What comes up to a mark, without it; `None` where the stream ends.
    async fn until(&mut self, mark: &str) -> Option<String> {
        within(mark, async {
            loop {
                if let Some((before, after)) = self.rest.split_once(mark) {
                    let (before, after) = (before.to_owned(), after.to_owned());
                    self.rest = after;
                    return Some(before);
                }
                let mut bytes = vec![0; 16_384];
                match self.socket.read(&mut bytes).await.unwrap() {
                    0 => return None,
                    read => self.rest.push_str(std::str::from_utf8(&bytes[..read]).unwrap()),
                }
            }
        })
        .await
    }

    /// The next update, without comments; `None` where the stream ends.
    pub(crate) async fn update(&mut self) -> Option<String> {
        let block = self.until("\n\n").await?;
        let lines: Vec<_> = block.lines().filter(|line| !line.starts_with(':')).collect();
        Some(lines.join("\n"))
    }

    /// The next line, whatever it is; `None` where the stream ends.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.until("\n").await
    }

    /// The data of the next update.
    pub(crate) async fn data(&mut self) -> String {
        let update = self.update().await.expect("an update");
        let lines = update.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(own, _)| *own == name).map(|(_, value)| value).next()
    }

    /// Waits for the end.
    pub(crate) async fn ends(&mut self) {
        within("end", async { while self.until("\n").await.is_some() {} }).await;
    }
}
