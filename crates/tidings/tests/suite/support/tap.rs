use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tidings_event_stream::{Event, Item, Parser};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};

use super::{Connection, Version, within};

/// A stream of events that is read as it comes.
pub(crate) struct Tap {
    body: Incoming,
    parser: Parser,
    events: Vec<Event>,
    _connection: Connection,
}

// === impl Tap ===

impl Tap {
    /// Waits until something listens there.
    pub(crate) async fn answers(address: SocketAddr) {
        let connected = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within("a server to listen", connected).await;
    }

    /// The whole answer to a request with a body of JSON.
    pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> String {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let answered = async { Connection::open(address, Version::Http1).await?.ask(request).await };
        within("an answer", answered).await.unwrap().text()
    }

    /// Reads a topic, after an event of it or from its beginning.
    pub(crate) async fn open(address: SocketAddr, path: &str, after: Option<&str>) -> Self {
        let since = after.unwrap_or("earliest");
        let request = Request::get(format!("{path}?since={since}")).header("accept", "text/event-stream");
        let request = request.body(Full::default()).unwrap();
        let opened = async {
            let mut connection = Connection::open(address, Version::Http1).await?;
            let response = connection.send(request).await?;
            Ok::<_, super::connection::Failure>((response, connection))
        };
        let (response, connection) = within("an answer", opened).await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            parser: Parser::new(),
            events: Vec::new(),
            _connection: connection,
        }
    }

    /// Reads until there were so many events.
    pub(crate) async fn until(&mut self, events: usize) {
        while self.events.len() < events {
            assert!(self.read().await, "the stream ended after {} events", self.events.len());
        }
    }

    /// Reads to the end, wherever that is: the events.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        while self.read().await {}
        self.events
    }

    async fn read(&mut self) -> bool {
        match within("events", self.body.frame()).await {
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { return true };
                let events = &mut self.events;
                let take = |item| {
                    if let Item::Event(event) = item {
                        events.push(event);
                    }
                };
                self.parser.feed(&data, take).unwrap();
                true
            }
            Some(Err(_)) | None => false,
        }
    }
}
