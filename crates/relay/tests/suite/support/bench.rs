use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tidings_http::{Api, Auth, HttpConfig, Server, listen};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{Log, MemoryLog, Retention};
use tidings_relay::{RelayConfig, Relays};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Endpoint, within};

/// A hub with the relay `r`, and the endpoint that it leads to.
pub(crate) struct Bench {
    pub(crate) endpoint: Endpoint,
    pub(crate) relays: Relays,
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

/// An answer that is read as it comes.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) text: String,
}

// === impl Bench ===

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut RelayConfig)) -> Self {
        let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
        Self::over(Arc::new(log), Auth::open_to_this_machine(), change).await
    }

    pub(crate) async fn over(log: Arc<dyn Log>, auth: Auth, change: impl FnOnce(&mut RelayConfig)) -> Self {
        let endpoint = Endpoint::start().await;
        let mut config =
            RelayConfig { topic: Some("llm/{id}".to_owned()), ..RelayConfig::to(endpoint.url()) };
        change(&mut config);
        Self::to(endpoint, log, auth, HttpConfig::default(), config).await
    }

    pub(crate) async fn to(
        endpoint: Endpoint,
        log: Arc<dyn Log>,
        auth: Auth,
        http: HttpConfig,
        config: RelayConfig,
    ) -> Self {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // One that leads to the hub itself, too.
        let round = RelayConfig::to(format!("http://{address}/relay/round"));
        let relays = Relays::new([("r".to_owned(), config), ("round".to_owned(), round)]).unwrap();
        let hub = Hub::new(log, HubConfig::default());
        let api = relays.allow(Api::builder(hub, http).auth(auth)).build();
        let server = Server::new(api.clone(), [listener]).and_routes(relays.router(&api));
        let server = tokio::spawn(async move { server.serve(std::future::pending()).await.unwrap() });
        // The tests' own client needs it, whoever is first.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        // Each request on a connection of its own: one that leaves closes it.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0);
        let client = client.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { endpoint, relays, client, address, server }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// Sends a head as it is, for one answer.
    pub(crate) async fn raw(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }

    /// Asks the relay, and begins the endpoint's answer with events.
    pub(crate) async fn run(&mut self) -> (Answer, super::Asked) {
        let request = self.post("/relay/r/v1/chat").body("{}").send();
        let endpoint = async { self.endpoint.asked().await.events().await };
        let (answer, asked) = tokio::join!(within("an answer", request), endpoint);
        (Answer::of(answer.unwrap()), asked)
    }

    /// What a topic has, from its beginning.
    pub(crate) async fn page(&self, location: &str) -> Value {
        let response = within("a page", self.get(location).send()).await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// What a topic has once it has ended.
    pub(crate) async fn ended(&self, location: &str) -> Value {
        within("the topic to end", async {
            let mut next = String::from("since=earliest");
            let mut events = Vec::new();
            loop {
                let mut page = self.page(&format!("{location}?{next}&wait=5")).await;
                events.append(page["events"].as_array_mut().unwrap());
                if page["closed"] == true {
                    page["events"] = events.into();
                    return page;
                }
                next = format!("since={}", page["next"].as_str().unwrap());
            }
        })
        .await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.abort();
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn of(response: Response) -> Self {
        Self { response, text: String::new() }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> String {
        self.field("location").expect("the answer names no topic").to_owned()
    }

    /// Reads until this has come.
    pub(crate) async fn until(&mut self, text: &str) {
        within(&format!("{text:?} after {:?}", self.text), async {
            while !self.text.contains(text) {
                let chunk = self.response.chunk().await.unwrap();
                self.text.push_str(std::str::from_utf8(&chunk.expect("the answer ended")).unwrap());
            }
        })
        .await;
    }

    /// Reads to the end. Whether that was a clean one.
    pub(crate) async fn rest(&mut self) -> bool {
        within("the end of the answer", async {
            loop {
                match self.response.chunk().await {
                    Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        })
        .await
    }
}
